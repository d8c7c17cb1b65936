"""Twilio's answers, however odd they are: an account's record, and the code of an error."""

from datetime import UTC, datetime

import httpx
import msgspec
import pytest

from app.errors import TwilioRefused, TwilioUnavailable
from app.services.twilio.client import TwilioReader
from app.services.twilio.responses import error_of, parse_account
from app.services.twilio.transport import Answer

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "read_as"),
    [('"Shop"', "Shop"), ("5", None), ("null", None), ("[1]", None), (r'"\ud800"', "\ufffd"), ("5.5", None)],
)
def test_an_odd_name_of_an_account_costs_only_itself(name: str, read_as: str | None) -> None:
    record = msgspec.Raw(f'{{"sid": "AC1", "friendly_name": {name}, "status": "active", "auth_token": 7}}'.encode())
    account = parse_account(record)
    assert (account.sid, account.friendly_name, account.status) == ("AC1", read_as, "active")


@pytest.mark.parametrize("record", [b'{"friendly_name": "Shop"}', b'{"sid": 5}', b"[]"])
def test_a_record_that_names_no_account_is_read_again(record: bytes) -> None:
    with pytest.raises(TwilioUnavailable):
        parse_account(msgspec.Raw(record))


RESOURCE = b'{"sid": "MG1", "friendly_name": "Caf\xe9 \\ud800", "deep": ' + b"[" * 100 + b"]" * 100 + b"}"


def test_an_odd_text_of_a_resource_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = b'{"services": [' + RESOURCE + b', {"sid": "MG2"}], "meta": {"next_page_url": null}}'
    with TwilioReader("AC1", "AC1", "token", "https://twilio.invalid", "https://twilio.invalid") as reader:
        monkeypatch.setattr(reader, "_send", lambda *_, **__: Answer(200, listing, httpx.Headers()))
        first, second = reader.list_resources(reader.messaging_url, "/v1/Services", "services")
        monkeypatch.setattr(reader, "_send", lambda *_, **__: Answer(201, RESOURCE, httpx.Headers()))
        created = reader.change("POST", f"{reader.messaging_url}/v1/Services", {})
    assert (first["sid"], first["friendly_name"], second) == ("MG1", "Caf\ufffd \ufffd", {"sid": "MG2"})
    assert created["friendly_name"] == "Caf\ufffd \ufffd"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"code": 20003, "message": "Authenticate"}', 20003),
        ('{"code": "20003", "message": 5}', 20003),
        ('{"code": "\u00b2"}', None),
        ('{"code": true}', None),
        ("{}", None),
        ("<html>", None),
    ],
)
def test_the_code_of_an_error_is_read_whatever_is_beside_it(body: str, code: int | None) -> None:
    error = error_of(Answer(400, body.encode(), httpx.Headers()), "/path", NOW)
    assert isinstance(error, TwilioRefused)
    assert error.code == code
