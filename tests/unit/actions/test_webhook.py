"""The config of a webhook: what is refused at which field, what is masked, and how a secret is changed."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from app.actions.base import Envelope
from app.actions.webhook import Webhook
from app.actions.webhook_sender import _headers
from app.config import Settings
from app.enums import NotificationType
from app.errors import InvalidInput

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
URL = "https://example.com/hook"
CANARY = "whsec_canarycanarycanary"


@pytest.fixture
def kind(settings: Settings) -> Webhook:
    return Webhook(lambda: settings)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "config.url"),
        ({"url": "ftp://example.com"}, "config.url"),
        ({"url": "http://127.0.0.1/"}, "config.url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "config.url"),
        ({"url": 5}, "config.url"),
        ({"url": URL, "method": "GET"}, "config.method"),
        ({"url": URL, "format": "fax"}, "config.format"),
        ({"url": URL, "unknown": 1}, "config.unknown"),
        ({"url": URL, "old_secrets": []}, "config.old_secrets"),
        ({"url": URL, "secret": CANARY}, "config.secret"),
        ({"url": URL, "secret": "whsec_AAAA"}, "config.secret"),
        ({"url": URL, "secret": 5}, "config.secret"),
        ({"url": URL, "headers": {"X-A": "a\r\nX-B: 1"}}, "config.headers.X-A"),
        ({"url": URL, "headers": {"X-A": "é"}}, "config.headers.X-A"),
        ({"url": URL, "headers": {"X-A": "\x00"}}, "config.headers.X-A"),
        ({"url": URL, "headers": {"X-A": "a" * 5000}}, "config.headers.X-A"),
        ({"url": URL, "headers": {"X-A": 1}}, "config.headers.X-A"),
        ({"url": URL, "headers": {"Host": "evil.com"}}, "config.headers.Host"),
        ({"url": URL, "headers": {"Content-Length": "1"}}, "config.headers.Content-Length"),
        ({"url": URL, "headers": {"Transfer-Encoding": "chunked"}}, "config.headers.Transfer-Encoding"),
        ({"url": URL, "headers": {"webhook-id": "1"}}, "config.headers.webhook-id"),
        ({"url": URL, "headers": {"Proxy-Authorization": "1"}}, "config.headers.Proxy-Authorization"),
        ({"url": URL, "headers": {"X-Amz-Security-Token": "1"}}, "config.headers.X-Amz-Security-Token"),
        ({"url": URL, "headers": {"Metadata-Flavor": "Google"}}, "config.headers.Metadata-Flavor"),
        ({"url": URL, "headers": {"a b": "1"}}, "config.headers"),
        ({"url": URL, "headers": {"X-A": "1", "x-a": "2"}}, "config.headers.x-a"),
        ({"url": URL, "headers": {f"X-{i}": "1" for i in range(21)}}, "config.headers"),
        ({"url": "https://a:b@example.com/", "headers": {"Authorization": "x"}}, "config.headers.Authorization"),
        ({"url": URL, "body": "{{"}, "config.body"),
        ({"url": URL, "body": "not json"}, "config.body"),
        ({"url": URL, "body": '{"a": "{{ "".__class__ }}"}'}, "config.body"),
        ({"url": URL, "body": "{}", "format": "slack"}, "config.body"),
        ({"url": URL, "format": "pagerduty"}, "config.routing_key"),
        ({"url": URL, "routing_key": "abc"}, "config.routing_key"),
        ({"format": "pagerduty", "routing_key": "a b"}, "config.routing_key"),
    ],
)
def test_an_invalid_config_is_refused_at_its_field(kind: Webhook, config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        kind.check(config)
    assert [error.field for error in refused.value.errors] == [field]
    assert CANARY not in str(refused.value)


def test_defaults_are_filled_in_and_a_secret_is_made(kind: Webhook) -> None:
    checked = kind.check({"url": URL})
    assert checked["secret"].startswith("whsec_")
    assert {name: checked[name] for name in ("method", "headers", "format")} == {
        "method": "POST",
        "headers": {},
        "format": "standard",
    }


def test_pagerduty_has_its_own_address_and_chats_need_no_secret(kind: Webhook) -> None:
    checked = kind.check({"format": "pagerduty", "routing_key": "a" * 32})
    assert checked["url"] == "https://events.pagerduty.com/v2/enqueue"
    assert "secret" not in kind.check({"url": "https://hooks.slack.com/services/T/B/x", "format": "slack"})


def test_an_allowed_network_opens_private_addresses(settings: Settings) -> None:
    opened = settings.model_copy(update={"webhook_allowed_networks": (ip_network("10.0.0.0/8"),)})
    assert Webhook(lambda: opened).check({"url": "http://10.1.2.3:9000/"})


def test_secrets_are_masked(kind: Webhook) -> None:
    config = kind.check({"url": "https://u:canary1@example.com/hook?k=canary2", "headers": {"X-Key": "canary3"}})
    shown = str(kind.mask(config)) + str(kind.recipients(config))
    assert "canary" not in shown
    assert config["secret"][6:20] not in shown
    slack = kind.check({"url": "https://hooks.slack.com/services/T/B/canary", "format": "slack"})
    assert kind.mask(slack)["url"] == "https://hooks.slack.com/•••"
    assert "canary" not in str(kind.recipients(slack))


def test_masked_values_keep_what_is_stored_and_others_replace_it(kind: Webhook) -> None:
    stored = kind.check({"url": "https://example.com/hook?k=1", "headers": {"X-A": "1", "X-B": "2"}})
    masked = kind.mask(stored)
    assert kind.check(kind.unmask(masked, stored)) == stored
    edited = kind.unmask(masked | {"headers": {"X-A": "•••", "X-C": "3"}, "method": "PUT"}, stored)
    assert edited["headers"] == {"X-A": "1", "X-C": "3"}
    without = {name: value for name, value in masked.items() if name != "secret"}
    assert kind.unmask(without, stored)["secret"] == stored["secret"], "left out, it stays"
    renewed = kind.check(kind.unmask(masked | {"secret": None}, stored))
    assert renewed["secret"] != stored["secret"]


@pytest.mark.parametrize(
    "change",
    [{"url": "https://other.com/hook?•••"}, {"secret": "whsec_•••XXXX"}, {"headers": {"X-New": "•••"}}],
)
def test_a_mask_of_something_else_is_refused(kind: Webhook, change: dict[str, Any]) -> None:
    stored = kind.check({"url": "https://example.com/hook?k=1"})
    with pytest.raises(InvalidInput):
        kind.check(kind.unmask(kind.mask(stored) | change, stored))


def test_an_old_secret_signs_for_a_day_more(kind: Webhook) -> None:
    first = kind.check({"url": URL})
    second = kind.carry_over(kind.check({"url": URL}), first, NOW)
    assert "old_secrets" not in kind.mask(second)
    envelope = Envelope(
        delivery_id="d", alert_id=None, type=NotificationType.TEST, recipient="", content={}, created_at=NOW
    )

    def signatures(at: datetime) -> int:
        return len(_headers(second, envelope, b"{}", at)["webhook-signature"].split(" "))

    assert signatures(NOW + timedelta(hours=23)) == 2
    assert signatures(NOW + timedelta(hours=25)) == 1
    third = kind.carry_over(kind.check({"url": URL}), second, NOW + timedelta(hours=25))
    assert [old["secret"] for old in third["old_secrets"]] == [second["secret"]]
    back = kind.carry_over(kind.check({"url": URL, "secret": first["secret"]}), second, NOW)
    assert first["secret"] not in [old["secret"] for old in back["old_secrets"]]


def test_an_edit_without_a_new_secret_keeps_the_old_ones_signing(kind: Webhook) -> None:
    first = kind.check({"url": URL})
    second = kind.carry_over(kind.check({"url": URL}), first, NOW)
    edited = kind.check(kind.unmask(kind.mask(second) | {"method": "PUT"}, second))
    assert kind.carry_over(edited, second, NOW)["old_secrets"] == second["old_secrets"]
