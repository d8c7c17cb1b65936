"""Requests through a proxy: what the operator names is used, what must not be reached is still refused."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from app.config import get_settings
from app.errors import ConfigError, TwilioUnavailable
from app.services import health
from app.services.twilio import error_code_updates, transport
from app.services.twilio.transport import PooledHttp
from app.utils.http import GuardedClient, RequestFailed
from app.utils.proxies import Proxy, parse_exceptions
from app.utils.response_head import Answer
from app.utils.tls import tls_context
from tests.conftest import forget
from tests.fakes import FrozenClock
from tests.integration.actions.test_guard import HERE, authority, names, server_context
from tests.integration.test_health import watched  # noqa: F401  # a fixture
from tests.kits.forward_proxy import ForwardProxy, forward_proxy
from tests.kits.receivers import Receiver, http_receiver, respond

__all__ = ["authority"]
ROOT = Path(__file__).parents[3]
NOBODY_KNOWS = names()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as made:
        yield made


@pytest.fixture
def proxy(receiver: Receiver) -> Iterator[ForwardProxy]:
    with forward_proxy(receiver.port) as made:
        yield made


async def post(url: str, proxy: ForwardProxy | None, exceptions: str = "", allowed: bool = False) -> Answer:
    through = Proxy(proxy.url if proxy else None, parse_exceptions(exceptions))
    async with GuardedClient(HERE if allowed else [], 5.0, NOBODY_KNOWS, through) as client:
        return await client.request("POST", url, {}, b"{}")


async def test_a_webhook_goes_through_the_proxy_which_looks_its_name_up(
    receiver: Receiver, proxy: ForwardProxy
) -> None:
    assert (await post("http://hooks.test/x?y=1", proxy)).status == 200
    assert proxy.asked == ["POST http://hooks.test/x?y=1"]
    assert len(proxy.authorized) == 1
    assert (receiver.requests[0].target, receiver.requests[0].body) == ("/x?y=1", b"{}")


async def test_a_certificate_is_checked_at_the_far_end_of_the_proxy(authority: trustme.CA) -> None:
    with (
        http_receiver(tls=server_context(authority, "hooks.test")) as receiver,
        forward_proxy(receiver.port) as proxy,
    ):
        assert (await post("https://hooks.test/x", proxy)).status == 200
        with pytest.raises(RequestFailed) as refused:
            await post("https://other.test/x", proxy)
    assert refused.value.reason == "tls"
    assert proxy.asked == ["CONNECT hooks.test:443", "CONNECT other.test:443"]
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_what_the_proxy_refuses_is_no_answer_of_the_receiver(receiver: Receiver, status: int) -> None:
    with forward_proxy(receiver.port, status) as proxy, pytest.raises(RequestFailed, match="WEBHOOK_PROXY") as refused:
        await post("https://hooks.test/x", proxy)
    assert refused.value.reason == "connect"
    assert "canary" not in str(refused.value)


async def test_a_proxy_that_asks_for_a_password_is_no_answer_of_the_receiver(receiver: Receiver) -> None:
    with forward_proxy(receiver.port, 407) as proxy, pytest.raises(RequestFailed, match="WEBHOOK_PROXY"):
        await post("http://hooks.test/x", proxy)


async def test_a_connection_that_breaks_after_the_proxy_took_it_is_no_success(receiver: Receiver) -> None:
    with forward_proxy(receiver.port) as proxy, pytest.raises(RequestFailed):
        await post("https://hooks.test/x", proxy)  # the receiver speaks no TLS
    assert receiver.requests == []


async def test_an_unreachable_proxy_is_named_as_the_cause(receiver: Receiver) -> None:
    gone = ForwardProxy(receiver.port, port=9)
    with pytest.raises(RequestFailed, match="the proxy could not be reached: see WEBHOOK_PROXY"):
        await post("https://hooks.test/x", gone)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "http://169.254.169.254/", "http://[fd00::1]/", "http://2130706433/", "http://127.1/"]
)
async def test_a_private_address_is_refused_before_the_proxy_is_asked(proxy: ForwardProxy, url: str) -> None:
    with pytest.raises(RequestFailed) as refused:
        await post(url, proxy)
    assert (refused.value.reason, proxy.asked) == ("blocked", [])


async def test_a_name_that_leads_to_a_private_address_from_here_is_refused(proxy: ForwardProxy) -> None:
    async with GuardedClient([], 5.0, names(inside_test=["10.0.0.1"]), Proxy(proxy.url)) as client:
        with pytest.raises(RequestFailed) as refused:
            await client.request("POST", "http://inside.test/", {}, b"{}")
    assert (refused.value.reason, proxy.asked) == ("blocked", [])


async def test_hosts_in_no_proxy_and_this_machine_are_reached_directly_and_checked(
    receiver: Receiver, proxy: ForwardProxy
) -> None:
    assert (await post(receiver.url, proxy, allowed=True)).status == 200
    with pytest.raises(RequestFailed) as refused:
        await post(receiver.url, proxy)
    assert refused.value.reason == "blocked"
    with pytest.raises(RequestFailed) as unknown:
        await post("http://hooks.test/", proxy, exceptions=".test")
    assert (unknown.value.reason, proxy.asked) == ("dns", [])


def test_twilio_is_asked_through_the_proxy_but_for_what_is_listed(receiver: Receiver, proxy: ForwardProxy) -> None:
    receiver.answers = [respond(200, b"{}")]
    http = PooledHttp(5.0, proxy=Proxy(proxy.url, parse_exceptions("listed.test")))
    assert http.request("GET", "http://api.twilio.test/2010").status_code == 200
    assert proxy.asked == ["GET http://api.twilio.test/2010"]
    with pytest.raises(TwilioUnavailable):
        http.request("GET", "http://listed.test/2010")
    assert http.request("GET", f"{receiver.url}/here").status_code == 200
    assert len(proxy.asked) == 1
    http.close()


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_the_certificate_of_a_proxy_is_checked_like_any_other(scheme: str) -> None:
    assert transport._proxy(f"{scheme}://proxy.test:3128").ssl_context is tls_context()


@pytest.mark.parametrize("status", [403, 407])
def test_a_proxy_that_refuses_is_reported_by_the_settings_name(receiver: Receiver, status: int) -> None:
    with forward_proxy(receiver.port, status) as proxy:
        http = PooledHttp(5.0, proxy=Proxy(proxy.url))
        with pytest.raises(TwilioUnavailable, match="HTTPS_PROXY") as refused:
            http.request("GET", "https://api.twilio.test/x")
        http.close()
    assert "canary" not in str(refused.value)


def test_no_client_fails_on_proxy_variables(
    receiver: Receiver, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"):
        environment.setenv(name, "socks5://proxy.test:1080")
    environment.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    environment.setenv("NO_PROXY", "fd00::/8,localhost")
    environment.setenv("HEARTBEAT_URL", receiver.url)
    forget()
    http = transport.PooledHttp(5.0, proxy=get_settings().twilio_proxy)
    assert http.request("GET", receiver.url).status_code == 200
    http.close()
    with pytest.raises(ConfigError, match="no catalogue"):
        error_code_updates.refresh(receiver.url, tmp_path / "codes.json", get_settings().outgoing_proxy)
    assert len(receiver.requests) == 2


def test_apprise_goes_through_the_proxy(receiver: Receiver, proxy: ForwardProxy) -> None:
    def send(url: str, allowed: list[str]) -> dict[str, object]:
        task = {
            "do": "send",
            "url": url,
            "allowed": allowed,
            "deadline_seconds": 20,
            "proxy": proxy.url,
            "no_proxy": "",
            "title": "t",
            "body": "b",
            "kind": "info",
        }
        command = [sys.executable, "-m", "app.actions.apprise_child"]
        done = subprocess.run(command, input=json.dumps(task).encode(), cwd=ROOT, capture_output=True, check=True)
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    assert send("json://hooks.test/x", [])["sent"] is True
    assert proxy.asked == ["POST http://hooks.test/x"]
    answer = send("json://10.0.0.1/x", [])
    assert (answer["sent"], answer["blocked"], len(proxy.asked)) == (False, True, 1)


@pytest.mark.usefixtures("watched")
def test_the_heartbeat_goes_through_the_proxy(
    receiver: Receiver, proxy: ForwardProxy, clock: FrozenClock, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("WEBHOOK_PROXY", proxy.url)
    environment.setenv("HEARTBEAT_URL", "http://checks.test/ping")
    forget()
    assert health.send_heartbeat(get_settings(), clock.now)
    assert proxy.asked == ["GET http://checks.test/ping"]
