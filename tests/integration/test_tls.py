"""TLS to the broker and to servers of one's own authority: checked by default, and the doctor names the cure."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from app import wake
from app.config import get_settings
from app.errors import ConfigError
from app.services import doctor
from app.services.twilio import read_advice
from app.utils import tls
from scripts.local.processes import LOOPBACK
from scripts.local.valkey import Valkey
from tests.conftest import forget
from tests.integration.ingest.world import a_world
from tests.kits.receivers import http_receiver, raw_server


@pytest.fixture
def authority() -> Iterator[trustme.CA]:
    tls.tls_context.cache_clear()
    yield trustme.CA()
    tls.tls_context.cache_clear()


def _server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@contextlib.contextmanager
def _tls_before(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Speak TLS before a server that does not; what is yielded is the port."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(LOOPBACK, port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    with raw_server(serve, context) as outside:
        yield outside


def _use_broker(environment: pytest.MonkeyPatch, url: str, trusted: Path | None = None) -> None:
    environment.setenv("REDIS_URL", url)
    if trusted is not None:
        environment.setenv("SSL_CERT_FILE", str(trusted))
    forget()
    tls.tls_context.cache_clear()


@pytest.mark.parametrize(
    ("name", "trusts", "query", "answers"),
    [
        ("127.0.0.1", True, "", True),
        ("127.0.0.1", False, "", False),
        ("other.example.com", True, "", False),
        ("127.0.0.1", False, "?ssl_cert_reqs=none", True),
    ],
)
def test_the_certificate_of_the_broker_is_checked_unless_that_is_turned_off(
    valkey: Valkey,
    environment: pytest.MonkeyPatch,
    authority: trustme.CA,
    tmp_path: Path,
    name: str,
    trusts: bool,
    query: str,
    answers: bool,
) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    with _tls_before(valkey.port, _server_context(authority, name)) as port:
        url = valkey.url().replace("redis://", "rediss://").replace(f":{valkey.port}/", f":{port}/")
        _use_broker(environment, url + query, file if trusts else None)
        assert wake.broker_answers() is answers
        said = doctor._broker().detail
    assert ("SSL_CERT_FILE" in said) is not answers


@pytest.mark.parametrize(
    "query",
    [
        "",
        "ssl_cert_reqs=required&ssl_check_hostname=true",
        "ssl_cert_reqs=CERT_NONE",
        "ssl_cert_reqs=optional&ssl_ca_data={data}",
        "ssl_ca_certs={ca}&ssl_certfile={client}&ssl_keyfile={client}&ssl_password=unused",
        "ssl_ca_path={folder}&ssl_ciphers=ECDHE%2BAESGCM",
    ],
)
def test_every_parameter_that_the_broker_url_may_have_works(
    valkey: Valkey, environment: pytest.MonkeyPatch, authority: trustme.CA, tmp_path: Path, query: str
) -> None:
    ca, client = tmp_path / "ca.pem", tmp_path / "client.pem"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("client.example.com").private_key_and_cert_chain_pem.write_to_path(client)
    query = query.format(ca=ca, client=client, folder=tmp_path, data=quote(ca.read_text()))
    with _tls_before(valkey.port, _server_context(authority, "127.0.0.1")) as port:
        url = valkey.url().replace("redis://", "rediss://").replace(f":{valkey.port}/", f":{port}/")
        _use_broker(environment, f"{url}?{query}", ca)
        assert wake.broker_fault() is None


@pytest.mark.parametrize("path", ["", "/", "/0", "/15"])
def test_the_broker_url_may_leave_the_number_of_the_database_out(
    valkey: Valkey, environment: pytest.MonkeyPatch, path: str
) -> None:
    _use_broker(environment, valkey.url().removesuffix("/0") + path)
    assert wake.broker_fault() is None


@pytest.mark.parametrize(
    "url", ["sentinel://h:26379/0", "amqp://u:p@h/", "amqps://u:p@h/", "unix:///run/redis.sock", "sqs://"]
)
def test_a_broker_that_does_not_work_is_refused_at_start(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("REDIS_URL", url)
    forget()
    with pytest.raises(ConfigError, match="REDIS_URL must look like redis://"):
        get_settings()


def test_certificates_of_the_settings_file_hold_for_every_client(
    environment: pytest.MonkeyPatch, authority: trustme.CA, tmp_path: Path
) -> None:
    trusted, file = tmp_path / "ca.pem", tmp_path / ".env"
    authority.cert_pem.write_to_path(trusted)
    with http_receiver(tls=_server_context(authority, "localhost")) as receiver:
        environment.setenv("PUBLIC_BASE_URL", f"https://localhost:{receiver.port}")
        forget()
        refused = doctor._public_address(get_settings())
        assert (refused.result, "SSL_CERT_FILE" in refused.detail) == ("wrong", True)
        file.write_text(f"SSL_CERT_FILE={trusted}\n")
        environment.setattr(type(get_settings()), "env_file", file)
        forget()
        tls.tls_context.cache_clear()
        assert "SSL_CERT_FILE" not in doctor._public_address(get_settings()).detail


def test_an_unknown_authority_before_twilio_is_named_with_what_to_do(
    database: str, environment: pytest.MonkeyPatch, authority: trustme.CA
) -> None:
    environment.setattr("app.services.twilio.responses.FIRST_WAIT_SECONDS", 0.0)
    with http_receiver(tls=_server_context(authority, "localhost")) as receiver, a_world(environment, forget) as world:
        address = f"https://localhost:{receiver.port}"
        settings = world.configured(twilio_api_base_url=address, twilio_monitor_base_url=address)
        found = next(iter(doctor._accounts(settings, world.clock)))
    assert (found.result, found.next_step) == ("wrong", read_advice.CERTIFICATE)
    assert "see SSL_CERT_FILE" in found.detail


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_invalid_file_of_certificates_is_refused_at_start(
    environment: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    environment.setenv("SSL_CERT_FILE", str(file))
    forget()
    with pytest.raises(ConfigError, match="SSL_CERT_FILE must be the path of a file of certificates"):
        get_settings()


def test_an_invalid_file_of_tls_keys_is_refused_at_start(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "keys"))
    forget()
    with pytest.raises(ConfigError, match=r"^SSLKEYLOGFILE must be the path of a file that this user can write"):
        get_settings()
    environment.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert get_settings()
