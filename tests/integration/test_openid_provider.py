"""How the product reaches the sign-in provider: by TLS, through the proxy, and not for ever."""

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from app.config import get_settings
from app.errors import SignInUnavailable
from app.services.openid.provider import MAX_AT_ONCE, Provider
from app.utils import tls
from tests.conftest import forget
from tests.kits.forward_proxy import forward_proxy
from tests.kits.identity_provider import CLIENT_ID, CLIENT_SECRET, identity_provider
from tests.kits.receivers import Answer, drip, respond, silent
from tests.kits.waiting import wait_until


def provider_of(environment: pytest.MonkeyPatch, issuer: str, **settings: str) -> Provider:
    given = {"OIDC_ISSUER": issuer, "OIDC_CLIENT_ID": CLIENT_ID, "OIDC_CLIENT_SECRET": CLIENT_SECRET}
    for name, value in (given | {"OIDC_READ_GROUPS": "*"} | settings).items():
        environment.setenv(name, value)
    forget()
    return Provider(get_settings())


@pytest.fixture
def authority(environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ssl.SSLContext]:
    """What a server shows whose authority is in ca.pem; the product does not trust it yet."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    tls.tls_context.cache_clear()
    yield context
    tls.tls_context.cache_clear()


def test_a_certificate_is_checked_and_the_cure_is_named(
    environment: pytest.MonkeyPatch, authority: ssl.SSLContext, tmp_path: Path
) -> None:
    with identity_provider(authority) as found:
        with pytest.raises(SignInUnavailable, match="see SSL_CERT_FILE"):
            provider_of(environment, found.issuer).examine()
        assert found.asked(".well-known/openid-configuration") == []
        tls.tls_context.cache_clear()
        provider_of(environment, found.issuer, SSL_CERT_FILE=str(tmp_path / "ca.pem")).examine()


@pytest.mark.parametrize("endpoint", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
def test_from_an_issuer_with_tls_no_address_without_it_is_followed(
    environment: pytest.MonkeyPatch, authority: ssl.SSLContext, tmp_path: Path, endpoint: str
) -> None:
    with identity_provider(authority) as found:
        found.document = {endpoint: "http://login.example.com/x"}
        provider = provider_of(environment, found.issuer, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
        with pytest.raises(SignInUnavailable, match="without TLS"):
            provider.start("/")


@pytest.mark.parametrize(
    "address", ["", "x", "ftp://login.test/x", "http://[login.test/x", "http://a:b@c@d/", "http://x/\r\nA: b"]
)
@pytest.mark.parametrize("endpoint", ["authorization_endpoint", "jwks_uri"])
def test_an_address_that_is_none_is_not_used(environment: pytest.MonkeyPatch, endpoint: str, address: str) -> None:
    with identity_provider() as found:
        found.document = {endpoint: address}
        with pytest.raises(SignInUnavailable, match="one that is none"):
            provider_of(environment, found.issuer).start("/")


def test_the_provider_is_asked_through_the_proxy(environment: pytest.MonkeyPatch) -> None:
    with identity_provider() as found, forward_proxy(urlsplit(found.issuer).port or 0) as proxy:
        found.document = {"issuer": "http://login.test/realm", "jwks_uri": "http://login.test/realm/keys"}
        provider = provider_of(environment, found.issuer, WEBHOOK_PROXY=proxy.url)
        provider._issuer = "http://login.test/realm"  # no other name than this machine's is accepted without TLS
        provider.examine()
    assert proxy.asked == [
        "GET http://login.test/realm/.well-known/openid-configuration",
        "GET http://login.test/realm/keys",
    ]


HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "its head": drip(HEAD, b"A: b\r\n", every=0.1),
    "its body": drip(HEAD + b"Content-Length: 9999\r\n\r\n", b" ", every=0.1),
}


@pytest.mark.parametrize("answer", [silent, *DRIPS.values()], ids=["silence", *DRIPS])
@pytest.mark.parametrize("path", [".well-known/openid-configuration", "keys"])
def test_an_answer_that_takes_too_long_ends(
    environment: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch, path: str, answer: Answer
) -> None:
    monkeypatch.setattr("app.services.openid.requests.TIMEOUT_SECONDS", 0.5)
    with identity_provider() as found:
        found.broken[path] = answer
        with pytest.raises(SignInUnavailable, match="Timeout"):
            provider_of(environment, found.issuer).examine()


def test_few_sign_ins_at_once_wait_for_a_provider_that_hangs(environment: pytest.MonkeyPatch) -> None:
    answers: list[str] = []

    def start() -> None:
        try:
            provider.start("/")
        except SignInUnavailable as error:
            answers.append(str(error))

    with identity_provider() as found:
        found.broken[".well-known/openid-configuration"] = silent
        provider = provider_of(environment, found.issuer)
        waiting = [threading.Thread(target=start) for _ in range(20)]
        for thread in waiting:
            thread.start()
        wait_until(lambda: len(answers) >= 20 - MAX_AT_ONCE, "all but a few are told at once")
        assert set(answers) == {"too many sign-ins wait for it"}
        found.broken.clear()
        for thread in waiting:
            thread.join()
        provider.start("/")


def test_a_redirect_is_not_followed(environment: pytest.MonkeyPatch) -> None:
    with identity_provider() as found, identity_provider() as elsewhere:
        found.broken["keys"] = respond(302, b"{}", Location=f"{elsewhere.issuer}/keys")
        with pytest.raises(SignInUnavailable, match="302"):
            provider_of(environment, found.issuer).examine()
        assert elsewhere.asked("keys") == []
