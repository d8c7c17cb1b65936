"""Every kind of action sits the exam of senders, against a real server."""

import math
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from app.actions import smtp
from app.actions.apprise import Apprise
from app.actions.base import ActionKind, SendError
from app.actions.email import Email
from app.actions.webhook import Webhook
from app.config import Settings
from app.errors import InvalidInput
from tests.integration.actions.conftest import Configure
from tests.kits.mailboxes import Mailbox, mail_server
from tests.kits.receivers import Receiver, echo, http_receiver, respond, say, silent
from tests.kits.senders import SenderExam, send

CANARY = "canary0123456789canary"
FORMATS: dict[str, dict[str, Any]] = {
    "standard": {"headers": {"X-Key": CANARY}},
    "slack": {},
    "teams": {},
    "google_chat": {},
    "discord": {},
    "pagerduty": {"routing_key": CANARY},
}


class OverHttp:
    """A candidate whose server speaks HTTP."""

    def __init__(
        self,
        make: Callable[[Callable[[], Settings]], ActionKind],
        configure: Configure,
        config: dict[str, Any],
        receiver: Receiver,
    ) -> None:
        self._impatient = make(configure(webhook_timeout_seconds=1))
        self.kind = make(configure())
        self.config, self._receiver = self.kind.check(config), receiver
        self.canaries = [CANARY, *([self.config["secret"]] if "secret" in self.config else [])]

    def accept(self) -> None:
        self._receiver.answers = [respond(202)]

    def refuse_for_good(self) -> None:
        self._receiver.answers = [echo(403)]

    def refuse_for_now(self) -> None:
        self._receiver.answers = [echo(503)]

    def redirect(self) -> None:
        self._receiver.answers = [respond(302, Location="/elsewhere"), respond(200)]

    def fall_silent(self) -> None:
        self._receiver.answers = [silent]
        self.kind = self._impatient

    def hang_up(self) -> None:
        self._receiver.answers = [say(b"")]

    def received(self) -> int:
        return len(self._receiver.requests)


class OverSmtp:
    """A candidate whose server speaks SMTP."""

    canaries = [CANARY]  # noqa: RUF012 - shared on purpose

    def __init__(self, kind: ActionKind, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind, self._mailbox, self._monkeypatch = kind, mailbox, monkeypatch
        self.config = kind.check({"recipients": ["ops@example.com"]})

    def accept(self) -> None:
        self._mailbox.codes = {}

    def refuse_for_good(self) -> None:
        self._mailbox.codes = {"ops@example.com": ["550 no such user"]}

    def refuse_for_now(self) -> None:
        self._mailbox.codes = {"ops@example.com": ["451 later"]}

    def fall_silent(self) -> None:
        self._mailbox.codes, self._mailbox.slow = {}, math.inf
        self._monkeypatch.setattr(smtp, "ATTEMPT_SECONDS", 1.0)

    def hang_up(self) -> None:
        self._mailbox.codes = {"DATA": ["drop"]}

    def received(self) -> int:
        return len(self._mailbox.mails)


class TestWebhook(SenderExam):
    @pytest.fixture(params=FORMATS)
    def candidate(self, request: pytest.FixtureRequest, configure: Configure) -> Iterator[OverHttp]:
        with http_receiver() as receiver:
            url = f"http://user:{CANARY}@127.0.0.1:{receiver.port}/hook?token={CANARY}"
            config = {"url": url, "format": request.param} | FORMATS[request.param]
            yield OverHttp(Webhook, configure, config, receiver)


def test_a_login_given_as_a_header_is_hidden_also_where_the_receiver_has_read_it(configure: Configure) -> None:
    given = b64encode(f"someone:{CANARY}".encode()).decode()
    said = f"no such login: someone:{CANARY} ({given}), {CANARY} is no password".encode()
    with http_receiver(respond(401, said)) as receiver:
        candidate = OverHttp(
            Webhook, configure, {"url": receiver.url, "headers": {"Authorization": f"Basic {given}"}}, receiver
        )
        with pytest.raises(SendError) as refused:
            send(candidate)
    assert refused.value.response == "no such login: ••• (•••), ••• is no password"


FAILED = b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error %d with ContextId x"


@pytest.mark.parametrize(
    ("said", "permanent"),
    [(b"1", None), (b"", None), (FAILED % 429, False), (FAILED % 500, False), (FAILED % 413, True), (b"Error", False)],
)
def test_a_connector_of_teams_tells_of_a_failure_within_a_200(
    configure: Configure, said: bytes, permanent: bool | None
) -> None:
    with http_receiver(respond(200, said)) as receiver:
        candidate = OverHttp(Webhook, configure, {"url": receiver.url, "format": "teams"}, receiver)
        if permanent is None:
            assert send(candidate).status_code == 200
            return
        with pytest.raises(SendError) as failed:
            send(candidate)
    assert (failed.value.permanent, failed.value.status_code) == (permanent, 200)
    assert failed.value.response == said.decode()


def test_only_teams_reports_failures_within_a_200(configure: Configure) -> None:
    with http_receiver(respond(200, FAILED % 429)) as receiver:
        assert send(OverHttp(Webhook, configure, {"url": receiver.url}, receiver)).status_code == 200


class TestWebhookWithTemplate(SenderExam):
    @pytest.fixture
    def candidate(self, configure: Configure) -> Iterator[OverHttp]:
        with http_receiver() as receiver:
            config = {"url": f"{receiver.url}?key={CANARY}", "body": '{"text": "{{ alert.summary }}"}'}
            yield OverHttp(Webhook, configure, config, receiver)


class TestEmail(SenderExam):
    @pytest.fixture
    def candidate(self, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Iterator[OverSmtp]:
        monkeypatch.setattr(smtp, "ATTEMPT_SECONDS", 60.0)
        with mail_server(password=CANARY) as mailbox:
            password = SecretStr(CANARY)
            settings = configure(
                smtp_host="127.0.0.1",
                smtp_port=mailbox.port,
                smtp_from="alerts@example.com",
                smtp_security="none",
                smtp_user="alerts",
                smtp_password=password,
            )
            yield OverSmtp(Email(settings), mailbox, monkeypatch)


class TestApprise(SenderExam):
    def test_a_url_that_turns_off_the_check_of_certificates_is_refused(self, configure: Configure) -> None:
        with pytest.raises(InvalidInput) as refused:
            Apprise(configure()).check({"urls": ["jsons://hooks.example.com/x?verify=no"]})
        assert refused.value.errors[0].field == "config.urls.0"

    def test_urls_that_lead_to_metadata_or_act_on_this_machine_are_refused(self, configure: Configure) -> None:
        for urls in (["json://[fd00:ec2::254]/", "json://169.254.169.254/", "nosuch://x"], ["syslog://localhost"]):
            with pytest.raises(InvalidInput) as refused:
                Apprise(configure()).check({"urls": urls})
            fields = [error.field for error in refused.value.errors]
            assert fields == [f"config.urls.{number}" for number in range(len(urls))]

    @pytest.fixture
    def candidate(self, configure: Configure) -> Iterator[OverHttp]:
        with http_receiver() as receiver:
            config = {"urls": [f"json://user:{CANARY}@127.0.0.1:{receiver.port}/hook"]}
            yield OverHttp(Apprise, configure, config, receiver)

    def test_a_redirect_is_not_followed(self, candidate: OverHttp) -> None:
        candidate.redirect()
        with pytest.raises(SendError) as refused:
            send(candidate)
        assert refused.value.permanent
        assert refused.value.status_code == 302
        assert candidate.received() == 1

    def test_an_authority_of_the_operator_is_trusted_and_no_other(
        self, configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        ours = trustme.CA()
        ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        for authority, taken in ((ours, 1), (trustme.CA(), 0)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            with http_receiver(tls=context) as receiver:
                config = {"urls": [f"jsons://127.0.0.1:{receiver.port}/hook"]}
                candidate = OverHttp(Apprise, configure, config, receiver)
                with nullcontext() if taken else pytest.raises(SendError):
                    send(candidate)
                assert candidate.received() == taken
