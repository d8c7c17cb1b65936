"""Addresses of records in Twilio's Console."""

from app.services.twilio.console_links import record_url

ACCOUNT = "AC" + "0" * 32


def test_each_kind_of_record_has_its_page() -> None:
    assert record_url("SM1", ACCOUNT) == f"https://www.twilio.com/console/sms/logs/{ACCOUNT}/SM1"
    assert record_url("MM1", ACCOUNT) == f"https://www.twilio.com/console/sms/logs/{ACCOUNT}/MM1"
    assert record_url("CA1", ACCOUNT) == "https://www.twilio.com/console/voice/calls/logs/CA1"
    assert record_url("NO1", ACCOUNT) == "https://www.twilio.com/console/runtime/debugger/NO1"
    assert record_url("ZZ1", ACCOUNT) is None
