"""How the product reaches the sign-in provider: by TLS, through the proxy, and not for ever."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from app.config import get_settings
from app.errors import SignInUnavailable
from app.services.openid.provider import Provider
from app.utils import tls
from tests.conftest import forget
from tests.kits.forward_proxy import forward_proxy
from tests.kits.identity_provider import CLIENT_ID, CLIENT_SECRET, identity_provider
from tests.kits.receivers import drip, respond


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


def test_an_answer_that_drips_ends(environment: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.openid.requests.TIMEOUT_SECONDS", 1)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    with identity_provider() as found:
        found.broken[".well-known/openid-configuration"] = drip(head, b" ", every=0.1)
        with pytest.raises(SignInUnavailable, match="too slow"):
            provider_of(environment, found.issuer).start("/")


def test_a_redirect_is_not_followed(environment: pytest.MonkeyPatch) -> None:
    with identity_provider() as found, identity_provider() as elsewhere:
        found.broken["keys"] = respond(302, b"{}", Location=f"{elsewhere.issuer}/keys")
        with pytest.raises(SignInUnavailable, match="302"):
            provider_of(environment, found.issuer).examine()
        assert elsewhere.asked("keys") == []
