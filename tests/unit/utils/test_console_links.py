"""Addresses of records in Twilio's Console."""

import pytest

from app.utils.console_links import console_url, record_url

ACCOUNT = "AC" + "0" * 32


@pytest.mark.parametrize(
    ("sid", "path"),
    [
        ("SM1", f"sms/logs/{ACCOUNT}/SM1"),
        ("MM1", f"sms/logs/{ACCOUNT}/MM1"),
        ("CA1", "voice/calls/logs/CA1"),
        ("NO1", "runtime/debugger/NO1"),
    ],
)
def test_each_kind_of_record_has_its_page(sid: str, path: str) -> None:
    assert record_url(sid, ACCOUNT) == console_url(sid, ACCOUNT) == f"https://www.twilio.com/console/{path}"


def test_a_message_has_a_page_where_its_account_is_not_given() -> None:
    assert record_url("SM1") == console_url("SM1") == "https://www.twilio.com/console/sms/logs/SM1"


def test_a_kind_without_a_page_leads_to_the_console() -> None:
    assert record_url("ZZ1", ACCOUNT) is None
    assert console_url("ZZ1", ACCOUNT) == "https://www.twilio.com/console"
