"""Erasing a number: nothing holds it any more, whatever it was written into; what is not its own stays."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, text

from app.api.idempotency import RESERVED
from app.config import get_settings
from app.database import session_scope
from app.errors import Conflict, InvalidInput
from app.models import AlertNote, Base, Delivery, IdempotentAnswer, PushedRecord, SenderTally
from app.services import erasure
from app.services.logs import tallies, text_index
from app.services.outbox import actions
from app.utils.clock import utc_now
from app.utils.crypto import encrypt
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate, log
from tests.integration.alerts.stories import make_action, make_rule, silence

NUMBER, OTHER = "+14155550100", "+447700900123"
SPELLINGS = (
    "+14155550100",
    "%2B14155550100",
    "14155550100",
    "+1 415 555 0100",
    "+1 (415) 555-0100",
    "whatsapp:+14155550100",
)


def erase(number: str = NUMBER) -> dict[str, int]:
    return erasure.erase(number, get_settings(), "ann", utc_now())


def holding(number: str = "4155550100") -> dict[str, list[str]]:
    """The tables with rows that hold these digits, whatever stands between them, and the rows."""
    found = {}
    with session_scope() as session:
        for table in Base.metadata.sorted_tables:
            query = f'SELECT CAST(t AS text) FROM "{table.name}" AS t'  # the product's own tables
            rows = [row for row in session.scalars(text(query)) if number in _digits(row)]
            if rows:
                found[table.name] = rows
        raw = session.scalars(text("SELECT convert_from(rest, 'UTF8') FROM logs WHERE rest IS NOT NULL"))
        if rows := [row for row in raw if number in _digits(row)]:
            found["raw"] = rows
    return found


def _digits(row: str) -> str:
    for separator in "-. ()/":
        row = row.replace(separator, "")
    return row


def fill(feed: Feed) -> None:
    """Write the number wherever the product writes one."""
    make_rule(group_by=["from", "to"])
    make_rule(condition={"type": "new_value", "field": "from", "lookback_days": 1}, group_by=["to"])
    make_rule(condition={"type": "ratio", "percent": 1, "window_minutes": 5, "min_total": 1, "settle_minutes": 0},
              group_by=["from"])  # fmt: skip
    make_action()
    make_action(bundle_seconds=3600)
    now = minutes(20)
    raw = {"rest": json.dumps({"variables": f"From=%2B14155550100&Body=secret {NUMBER}"}).encode()}
    feed.store(
        [log(1, minutes(1), text="my secret word"), log(2, minutes(1), from_=OTHER, to=NUMBER, text="secret")], now
    )
    feed.store([log(3 + n, minutes(2), from_=OTHER, text=f"call {each}.") for n, each in enumerate(SPELLINGS)], now)
    feed.store([log(20, minutes(3), from_=f"whatsapp:{NUMBER}", to=OTHER, text="secret")], now)
    feed.store([log(1, minutes(3), log_type="error", from_=None, to=None, text="secret to 14155550100", **raw)], now)
    feed.complete(minutes(15), START - timedelta(days=1))
    evaluate(minutes(18))
    text_index.catch_up(get_settings(), 60)
    tallies.catch_up(START + timedelta(days=9), START - timedelta(days=9), 60)
    with session_scope() as session:
        alert_id = session.scalar(text("SELECT id FROM alerts LIMIT 1"))
        session.add(AlertNote(alert_id=alert_id, at=now, by="ann", note=f"asked {NUMBER}"))
        session.add(PushedRecord(account_id=feed.account_id, log_type="message", sid="SM" + "9" * 32, digest=1,
                                 fields={"From": NUMBER, "Body": "secret"}, received_at=now))  # fmt: skip
        session.execute(insert(Delivery), [_delivery(status) for status in ("succeeded", "pending", "folded")])


def _delivery(status: str) -> dict[str, Any]:
    return {
        "alert_id": None,
        "action_id": uuid4(),
        "action_type": "email",
        "type": "alert.firing",
        "recipient": "ops@example.com",
        "status": status,
        "content": {"text": f"secret to {NUMBER}", "subject": "s", "domain": "example.com"},
        "bundle_item": {"summary": f"3 messages to {NUMBER}", "finding": "text begins with secret"},
        "created_at": minutes(9),
    }


def test_nothing_but_the_audit_knows_it_afterwards(feed: Feed) -> None:
    fill(feed)
    before = holding()
    assert {
        "raw",
        "logs",
        "log_texts",
        "sender_tallies",
        "alerts",
        "matches",
        "rule_groups",
        "deliveries",
    } <= before.keys()
    changed = erase()
    assert holding() == {}
    assert changed["logs"] == 10
    assert erase() == {}, "a second time finds nothing"
    with session_scope() as session:
        [entry, _] = session.execute(text('SELECT "by", action, target, after FROM audit_entries ORDER BY id')).all()
    assert (entry.by, entry.action) == ("ann", "number.erase")
    assert entry.target == "number:+1415•••0100"
    assert entry.after["rows"] == changed


def test_texts_to_and_from_it_go_and_others_lose_the_number_alone(feed: Feed) -> None:
    fill(feed)
    erase()
    with session_scope() as session:
        logs = {row.sid: row for row in session.execute(text("SELECT * FROM logs"))}
        words = " ".join(session.scalars(text("SELECT words FROM log_texts")))
        sent = "SELECT concat(content, bundle_item) FROM deliveries WHERE status <> 'pending'"
        contents = session.scalars(text(sent)).all()
    assert [logs[f"SM{number:032x}"].text_ for number in (1, 2, 20)] == [None, None, None]
    assert logs[f"NO{1:032x}"].text_ is logs[f"NO{1:032x}"].rest is None
    assert logs[f"SM{3:032x}"].text_.startswith("call erased-")
    assert logs[f"SM{1:032x}"].to_ == OTHER, "the other side stays"
    assert (logs[f"SM{1:032x}"].status, logs[f"SM{1:032x}"].error_code) == ("undelivered", 30003)
    assert "secret" not in words
    assert not [content for content in contents if "secret" in content]


def test_longer_and_other_numbers_stay(feed: Feed) -> None:
    feed.store(
        [log(1, minutes(1), from_="+141555501001", to="+24155550100", text="214155550100 141555501009")], minutes(2)
    )
    assert erase() == {}
    assert set(holding()) >= {"logs"}


def test_tallies_stay_under_one_pseudonym(feed: Feed) -> None:
    fill(feed)
    erase()
    with session_scope() as session:
        senders = session.query(SenderTally.sender, SenderTally.logs).all()
        total = session.execute(text("SELECT count(*) FROM logs")).scalar_one()
    assert sum(count for _, count in senders) == total
    assert [count for sender, count in senders if sender.startswith("erased-")]


def test_a_rule_or_silence_that_names_it_is_left_to_people(feed: Feed) -> None:
    make_rule(name="Watch one", filters={"to": [NUMBER]})
    with pytest.raises(Conflict, match="the rule Watch one: remove it there first"):
        erase()
    with session_scope() as session:
        session.execute(text("DELETE FROM rules"))
    silence(0, 9, to=NUMBER)
    with pytest.raises(Conflict, match="the silence"):
        erase()


@pytest.mark.parametrize(
    "config",
    [
        {
            "action_type": "email",
            "config": {"recipients": ["14155550100@txt.example.com"]},
        },
        {"action_type": "webhook", "config": {"url": "https://sms.example.com/send?to=%2B1-415-555-0100"}},
        {"action_type": "webhook", "config": {"url": "https://a.example.com", "headers": {"X-Page": NUMBER}}},
    ],
)
def test_an_action_that_names_it_is_left_to_people(feed: Feed, config: dict[str, Any]) -> None:
    feed.store([log(1, minutes(1))], minutes(2))
    with session_scope() as session:
        action = actions.create(session, config, get_settings(), utc_now())[0].id
    with pytest.raises(Conflict, match=f"it is named by the action {action}: remove it there first"):
        erase()
    assert "logs" in holding(), "nothing is erased yet"
    with session_scope() as session:
        actions.delete(session, action, utc_now())
    assert erase()["logs"] == 1


def test_configs_that_no_key_decrypts_do_not_stop_it(feed: Feed) -> None:
    feed.store([log(1, minutes(1))], minutes(2))
    make_action()
    with session_scope() as session:
        session.execute(text("UPDATE actions SET config = 'no token'"))
    assert erase()["logs"] == 1


def test_answers_kept_for_retries_go_and_reservations_stay(feed: Feed) -> None:
    shared = {"caller": "key:1", "request_hash": "0" * 64, "created_at": utc_now()}
    answer = encrypt(get_settings().secret_keys, json.dumps({"headers": {}, "body": f"to {NUMBER}"}))
    with session_scope() as session:
        session.add(IdempotentAnswer(key="answered", status=201, answer=answer, **shared))
        session.add(IdempotentAnswer(key="in progress", status=RESERVED, answer=answer, **shared))
    assert erase() == {"idempotent_answers": 1}
    with session_scope() as session:
        assert session.scalars(text("SELECT key FROM idempotent_answers")).all() == ["in progress"]


@pytest.mark.parametrize("typed", ["14155550100", "+1", "+1415555010012345678", "nobody", "+0155550100", ""])
def test_what_is_no_number_is_refused(database: str, typed: str) -> None:
    with pytest.raises(InvalidInput):
        erase(typed)


def test_it_is_typed_as_people_write_it(feed: Feed) -> None:
    feed.store([log(1, minutes(1))], minutes(2))
    assert erase("+1 (415) 555-0100")["logs"] == 1
