"""The guarded client against names, certificates and servers that mean harm."""

import asyncio
import gzip
import socket
import ssl
import struct
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from socket import AF_INET, AF_INET6

import pytest
import trustme

from app.utils import http, resolver, tls
from app.utils.addresses import Network
from app.utils.clock import utc_now
from app.utils.http import GuardedClient, RequestFailed
from app.utils.resolver import Lookup, ResolvedAddresses
from app.utils.response_head import Answer
from tests.kits.receivers import Answer as Script
from tests.kits.receivers import Receiver, Request, drip, http_receiver, raw_server, respond, say, silent
from tests.kits.waiting import PATIENCE_SECONDS

HERE = [ip_network("127.0.0.1/32")]
OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
UNTIL_THE_STATUS_IS_READ_SECONDS = 3.0
"""Time out after this, when a machine with much to do has read the status line, too."""


def names(**answers: list[str]) -> Lookup:
    """Resolve names as told; the last answer is given for ever."""
    asked = {name.replace("_", "."): list(found) for name, found in answers.items()}

    def lookup(host: str, port: int) -> ResolvedAddresses:
        if host not in asked:
            raise OSError("no such name")
        answer = asked[host].pop(0) if len(asked[host]) > 1 else asked[host][0]
        return [(AF_INET6 if ":" in each else AF_INET, each) for each in answer.split()]

    return lookup


async def post(
    url: str,
    *,
    allowed: Sequence[Network] = HERE,
    lookup: Lookup = resolver.system_lookup,
    seconds: float = PATIENCE_SECONDS,
) -> Answer:
    async with GuardedClient(allowed, seconds, lookup) as client:
        return await client.request("POST", url, {"Content-Type": "application/json"}, b"{}")


async def test_a_name_that_leads_to_this_machine_is_blocked_before_a_connection(receiver: Receiver) -> None:
    for answer in ("127.0.0.1", "10.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1", "1.1.1.1 10.0.0.1"):
        with pytest.raises(RequestFailed) as blocked:
            await post(f"http://evil.test:{receiver.port}/", allowed=[], lookup=names(evil_test=[answer]))
        assert blocked.value.reason == "blocked"
    assert receiver.connections == 0


async def test_an_address_in_the_url_is_judged_where_the_socket_opens(receiver: Receiver) -> None:
    for host in ("127.0.0.1", "[::1]", "[::ffff:7f00:1]", "10.0.0.1"):
        with pytest.raises(RequestFailed) as blocked:
            await post(f"http://{host}:{receiver.port}/", allowed=[])
        assert blocked.value.reason == "blocked"
    for host in ("2130706433", "127.1", "0x7f.1"):
        with pytest.raises(RequestFailed):
            await post(f"http://{host}:{receiver.port}/", allowed=[])
    assert receiver.connections == 0


async def test_one_bad_address_among_good_ones_blocks_the_name(receiver: Receiver) -> None:
    with pytest.raises(RequestFailed) as blocked:
        await post(f"http://mixed.test:{receiver.port}/", lookup=names(mixed_test=["127.0.0.1 10.0.0.1"]))
    assert blocked.value.reason == "blocked"
    assert receiver.connections == 0


async def test_a_name_is_looked_up_once_and_that_address_is_used(receiver: Receiver) -> None:
    lookup = names(turning_test=["127.0.0.1", "10.0.0.1"])
    url = f"http://turning.test:{receiver.port}/"
    assert (await post(url, lookup=lookup)).status == 200
    with pytest.raises(RequestFailed) as blocked:
        await post(url, lookup=lookup)
    assert blocked.value.reason == "blocked"
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answers = [respond(status, b"", Location=receiver.url)]
    assert (await post(receiver.url)).status == status
    assert len(receiver.requests) == 1


async def test_proxies_and_netrc_of_the_environment_are_not_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with http_receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        await post(receiver.url)
        assert proxy.connections == 0
    assert "authorization" not in receiver.requests[0].headers


@pytest.mark.parametrize("body", [b"", b"ok", b"x" * http.MAX_BODY_BYTES])
async def test_connections_are_reused_for_one_host(receiver: Receiver, body: bytes) -> None:
    receiver.answers = [respond(200, body)]
    async with GuardedClient(HERE, 2.0) as client:
        for _ in range(3):
            await client.request("POST", receiver.url, {}, b"{}")
    assert (receiver.connections, len(receiver.requests)) == (1, 3)


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[trustme.CA]:
    """An authority that the product trusts in this test."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls.tls_context.cache_clear()
    yield made
    tls.tls_context.cache_clear()


def server_context(authority: trustme.CA, *hosts: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts).configure_cert(context)
    return context


async def test_each_name_at_one_address_is_checked_by_itself(authority: trustme.CA) -> None:
    lookup = names(one_test=["127.0.0.1"], two_test=["127.0.0.1"])
    with http_receiver(tls=server_context(authority, "one.test")) as receiver:
        async with GuardedClient(HERE, 2.0, lookup) as client:
            assert (await client.request("POST", f"https://one.test:{receiver.port}/", {}, b"{}")).status == 200
            with pytest.raises(RequestFailed) as refused:
                await client.request("POST", f"https://two.test:{receiver.port}/", {}, b"{}")
    assert refused.value.reason == "tls"
    assert len(receiver.requests) == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(authority: trustme.CA) -> None:
    with (
        http_receiver(tls=server_context(trustme.CA(), "127.0.0.1")) as receiver,
        pytest.raises(RequestFailed) as refused,
    ):
        await post(receiver.url)
    assert refused.value.reason == "tls"
    assert receiver.requests == []


async def test_a_certificate_that_has_expired_is_refused(authority: trustme.CA) -> None:
    expired = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", not_after=utc_now() - timedelta(minutes=1)).configure_cert(expired)
    with http_receiver(tls=expired) as receiver, pytest.raises(RequestFailed) as refused:
        await post(receiver.url)
    assert refused.value.reason == "tls"
    assert receiver.requests == []


async def test_tls_to_a_plain_server_fails_and_nothing_is_sent_in_clear() -> None:
    heard: list[bytes] = []

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65_536))
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    with raw_server(plain) as port, pytest.raises(RequestFailed) as refused:
        await post(f"https://127.0.0.1:{port}/hook")
    assert refused.value.reason == "tls"
    assert not [each for each in heard if b"hook" in each]


async def reset(request: Request, writer: asyncio.StreamWriter) -> None:
    """Read a request, and cut the connection off without a goodbye."""
    opened: socket.socket = writer.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (reset, "protocol"),
        (silent, "timeout"),
        (drip(b"HTTP/1.1 103 Early Hints\r\n\r\n", b"", every=0.1), "timeout"),
        (drip(b"HTTP/1.1 2", b"", every=0.1), "timeout"),
        (say(b""), "protocol"),
        (say(b"SSH-2.0-OpenSSH_9.2\r\n"), "protocol"),
        (say(b"X-A: 1\r\nHTTP/1.1 200 OK\r\n\r\n"), "protocol"),
        (say(b"HTTP/1.1 999999 No\r\n\r\n"), "protocol"),
        (say(b"HTTP/1.1 20"), "protocol"),
        (say(b"HTTP/1.1 200OK\r\n\r\n"), "protocol"),
        (say(b"HTTP/1.1 2000"), "protocol"),
        (say(b"HTTP/2 -200 OK\r\n\r\n"), "protocol"),
        (say(b"HTTP/2 OK 200\r\n\r\n"), "protocol"),
        (say(b"HTTP/2\r\n200 OK\r\n\r\n"), "protocol"),
        (say(b"HTTP/x 200 OK\r\n\r\n"), "protocol"),
        (say(b"HTTP/2 103 Early Hints\r\n\r\n"), "protocol"),
        (say(b"HTTPS/2 200 OK\r\n\r\n"), "protocol"),
        (say(b"RTSP/1.0 200 OK\r\n\r\n"), "protocol"),
        (say(b"<html>HTTP/2 200 OK</html>"), "protocol"),
        (say(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00HTTP/2 200"), "protocol"),
    ],
)
async def test_an_incomplete_response_fails_in_time(receiver: Receiver, script: Script, reason: str) -> None:
    receiver.answers = [script]
    with pytest.raises(RequestFailed) as failed:
        await post(receiver.url, seconds=1.0 if reason == "timeout" else PATIENCE_SECONDS)
    assert failed.value.reason == reason


@pytest.mark.parametrize(
    "script",
    [
        drip(OK_HEAD, b"a", every=0.1),
        say(OK_HEAD, then_wait=PATIENCE_SECONDS),
        say(OK_HEAD + b"cut short"),
        say(b"HTTP/1.1 204 No Content\r\n\r\n"),
        say(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"),
        say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok\r\n"),
        say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n\r\n"),
    ],
)
async def test_a_body_that_stalls_or_breaks_after_its_status_is_an_answer(receiver: Receiver, script: Script) -> None:
    receiver.answers = [script]
    assert (await post(receiver.url, seconds=UNTIL_THE_STATUS_IS_READ_SECONDS)).status in (200, 204)


async def test_a_body_that_breaks_its_encoding_is_not_waited_for(receiver: Receiver) -> None:
    script = say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno chunk\r\n\r\n")
    receiver.answers = [script]
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        assert (await post(receiver.url, seconds=PATIENCE_SECONDS)).status == 200


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        b"X-A: " + b"a" * 9_000 + b"\r\n\r\n",
        b"X-A: " + b"a" * 300_000 + b"\r\n\r\n",
        b"".join(b"X-%d: 1\r\n" % number for number in range(5_000)) + b"\r\n",
        b"no header\r\n\r\n",
        b"X A: 1\r\n\r\n",
        b"X-A: \x00\x01\r\n\r\n",
        b"Content-Length: many\r\n\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        b"Content-Length: -1\r\n\r\n",
        b"Transfer-Encoding: odd\r\nContent-Length: 2\r\n\r\nok",
        b"Content-Encoding: \xff\r\n\r\n",
        b"Set-Cookie: \xff=;;;=\r\n\r\n",
        b"X-A: 1\r\n  folded\r\n\r\n",
        b"X-A: cut sh",
        b"",
    ],
)
@pytest.mark.parametrize("before", [b"", HINTS])
async def test_a_status_decides_whatever_follows_it(receiver: Receiver, before: bytes, rest: bytes) -> None:
    for status in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n"):
        receiver.answers = [say(before + status + rest)]
        assert (await post(receiver.url)).status == 200


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/3 200\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1 200 OK\r\n\r\n",
        b"HTTP/1.10 200 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1\t200 OK\r\n\r\n",
        b"HTTP/1.1 \t 200\tOK\r\n\r\n",
        b"HTTP/1.1 200 \xff\x00\r\n\r\n",
        b"HTTP/1.1 200\r\r\n\r\n",
        b"HTTP/1.1 200 " + b"a" * 90_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 " + b"a" * 300_000,
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r",
        b"HTTP/1.1 200 OK\n",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200",
        b"\r\nHTTP/2 200 OK\r\n\r\n",
    ],
)
@pytest.mark.parametrize("before", [b"", HINTS, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/2 103\r\nLink: </x>\r\n\r\n"])
async def test_a_status_line_that_is_not_quite_the_standards_decides(
    receiver: Receiver, before: bytes, line: bytes
) -> None:
    for status in (b"200", b"503"):
        receiver.answers = [say(before + line.replace(b"200", status))]
        assert (await post(receiver.url)).status == int(status)


async def test_a_status_line_that_is_not_quite_the_standards_still_says_how_long_to_wait(receiver: Receiver) -> None:
    receiver.answers = [say(b"HTTP/2 503\r\nRetry-After: 7\r\n\r\n")]
    assert (await post(receiver.url)).headers == {"retry-after": "7"}


async def test_a_head_that_never_ends_is_an_answer_at_the_deadline(receiver: Receiver) -> None:
    receiver.answers = [drip(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n", every=0.1)]
    assert (await post(receiver.url, seconds=UNTIL_THE_STATUS_IS_READ_SECONDS)).status == 200


async def test_a_broken_head_still_says_how_long_to_wait(receiver: Receiver) -> None:
    receiver.answers = [say(b"HTTP/1.1 503 Busy\r\nX-A: " + b"a" * 9_000 + b"\r\nRETRY-AFTER: 7\r\n\r\n")]
    answer = await post(receiver.url)
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")


async def test_headers_are_known_by_names_in_lower_case_with_all_their_values(receiver: Receiver) -> None:
    receiver.answers = [say(b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n")]
    assert (await post(receiver.url)).headers["retry-after"] == "7, 90"


async def test_the_next_answer_on_a_connection_is_not_taken_for_the_last(receiver: Receiver) -> None:
    receiver.answers = [respond(200), say(b"")]
    async with GuardedClient(HERE, 2.0) as client:
        assert (await client.request("POST", receiver.url, {}, b"{}")).status == 200
        with pytest.raises(RequestFailed):
            await client.request("POST", receiver.url, {}, b"{}")


async def test_answers_are_read_raw_and_no_further_than_needed(receiver: Receiver) -> None:
    bomb = gzip.compress(b"\0" * 100_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"
    # Not the process's own size: its peak would be that of whatever ran before, and hide what an answer takes.
    tracemalloc.start()
    try:
        for script in (say(head + bomb), drip(endless, b"a" * 100_000, every=0, times=500)):
            receiver.answers = [script]
            answer = await post(receiver.url)
            assert len(answer.body) <= http.MAX_BODY_BYTES
            assert answer.body[:2] in (bomb[:2], b"aa"), "as it came, not unpacked"
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


async def test_a_resolver_that_is_stuck_delays_nobody(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered = threading.Event(), threading.Event()
    assert resolver.DNS_SECONDS <= 3
    monkeypatch.setattr(resolver, "DNS_SECONDS", 1.0)

    def lookup(host: str, port: int) -> ResolvedAddresses:
        asked.set()
        answered.wait(PATIENCE_SECONDS)
        return []

    slow = asyncio.create_task(post("http://slow.test/", lookup=lookup))
    assert (await post(receiver.url)).status == 200, "the loop goes on while the resolver is stuck"
    try:
        with pytest.raises(RequestFailed) as failed:
            await slow
    finally:
        answered.set()
    assert asked.is_set()
    assert failed.value.reason == "dns"


async def test_a_name_that_does_not_exist_is_reported() -> None:
    with pytest.raises(RequestFailed) as failed:
        await post("http://nowhere.test/", lookup=names())
    assert failed.value.reason == "dns"
    assert "nowhere" not in str(failed.value)


async def test_a_closed_port_is_reported() -> None:
    with http_receiver() as gone:
        url = gone.url
    with pytest.raises(RequestFailed) as failed:
        await post(url)
    assert failed.value.reason == "connect"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as opened:
        yield opened
