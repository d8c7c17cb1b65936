"""Logs: filters, pages, search, one log whole, CSV, and counts for plots."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.enums import LogType
from app.models import LogText
from app.services.logs import search, text_index
from app.utils.clock import cut_to_second, rfc3339, utc_now
from tests.feeding import ACCOUNT, Feed, log
from tests.integration.api.conftest import RULE, Api, fields

NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)
OTHER = "AC" + "1" * 32


def at(minute: int) -> datetime:
    return NINE + timedelta(minutes=minute)


@pytest.fixture
def feed(database: str) -> Feed:
    return Feed(NINE - timedelta(days=1))


async def numbers(api: Api, **params: Any) -> list[int]:
    """The numbers of the logs found, in their order."""
    answer = await api.get("/api/logs", params=params)
    assert answer.status_code == 200, answer.text
    return [int(item["sid"][-8:], 16) for item in answer.json()["items"]]


async def test_a_log_is_shown_as_the_documentation_has_it(api: Api, feed: Feed) -> None:
    feed.store([log(1, at(0))], at(1))
    (shown,) = (await api.get("/api/logs")).json()["items"]
    assert shown == {
        "sid": "SM" + "0" * 31 + "1",
        "account_sid": ACCOUNT,
        "log_type": "message",
        "status": "undelivered",
        "level": None,
        "direction": "outbound-api",
        "from": "+14155550100",
        "to": "+447700900123",
        "to_country": "GB",
        "error_code": 30003,
        "error_message": None,
        "text": "hello",
        "price": "-0.0075",
        "price_unit": "USD",
        "duration_seconds": None,
        "segments": 1,
        "messaging_service_sid": None,
        "resource_sid": None,
        "occurred_at": "2026-11-23T09:00:00Z",
        "changed_at": "2026-11-23T09:00:00Z",
        "final": True,
        "first_seen_at": "2026-11-23T09:01:00Z",
        "source": "poll",
    }


async def test_filters_narrow_and_several_values_go_by_commas(api: Api, feed: Feed) -> None:
    service = "MG" + "a" * 32
    feed.store(
        [
            log(1, at(1), status="sent", error_code=None),
            log(2, at(2), to="+4915112345678", to_country="DE", text="Ihr Paket 100% fertig"),
            log(3, at(3), error_code=30005, from_="GiftPulse", messaging_service_sid=service),
        ],
        at(9),
    )
    feed.store([log(4, at(4), log_type="call", status="completed", direction="inbound", error_code=None)], at(9))
    feed.store(
        [log(5, at(5), log_type="error", level="warning", error_code=11200, text="HTTP retrieval failure")], at(9)
    )
    Feed(NINE, OTHER).store([log(6, at(6))], at(9))
    feed.store(
        [log(7, at(7), log_type="call", status="busy", error_code=None, to="+88299123456", to_country=None)], at(9)
    )
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [7, 6, 5, 4, 3, 2, 1]),
        ({"log_type": "call,error"}, [7, 5, 4]),
        ({"status": "sent,completed"}, [4, 1]),
        ({"error_code": "30005,11200"}, [5, 3]),
        ({"level": "warning"}, [5]),
        ({"direction": "inbound"}, [4]),
        ({"from": "GiftPulse"}, [3]),
        ({"to": "+4915112345678"}, [2]),
        ({"to_country": "DE,FR"}, [2]),
        ({"account_sid": OTHER}, [6]),
        ({"account_sid": "AC" + "f" * 32}, []),
        ({"messaging_service_sid": service}, [3]),
        ({"messaging_service_sid": f"{service},none", "log_type": "message"}, [6, 3, 2, 1]),
        ({"to_country": "none"}, [7]),
        ({"to_country": "none,de"}, [7, 2]),
        ({"from": "none"}, []),
        ({"since": rfc3339(at(3)), "until": rfc3339(at(5))}, [4, 3]),
        ({"final": "false"}, [1]),
        ({"q": "PAKET"}, [2]),
        ({"q": "100%"}, [2]),
        ({"q": "0_%"}, []),
        ({"q": "retrieval"}, [5]),
        ({"q": "4915112"}, [2]),
        ({"q": "sm" + "0" * 31 + "3"}, [3]),
        ({"status": "undelivered", "to_country": "GB", "account_sid": ACCOUNT}, [3]),
    ]
    for params, wanted in cases:
        assert await numbers(api, **params) == wanted, params


async def test_pages_hold_each_log_once_and_in_order_while_new_ones_come(api: Api, feed: Feed) -> None:
    feed.store([log(number, at(number // 3)) for number in range(10)], at(9))
    found: list[str] = []
    params: dict[str, Any] = {"limit": 3}
    while True:
        page = (await api.get("/api/logs", params=params)).json()
        found += [item["sid"] for item in page["items"]]
        feed.store([log(100 + len(found), at(60))], at(61))
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    times = {item["sid"]: item["occurred_at"] for item in (await api.get("/api/logs")).json()["items"]}
    assert len(found) == len(set(found)) == 10
    assert [times[sid] for sid in found] == sorted((times[sid] for sid in found), reverse=True)


async def test_a_cursor_of_other_filters_is_refused(api: Api, feed: Feed) -> None:
    feed.store([log(number, at(number)) for number in range(3)], at(9))
    cursor = (await api.get("/api/logs?limit=1")).json()["next_cursor"]
    assert (await api.get("/api/logs", params={"limit": 2, "cursor": cursor})).status_code == 200
    assert fields(await api.get("/api/logs", params={"status": "sent", "cursor": cursor})) == ["cursor"]
    assert fields(await api.get("/api/alerts", params={"cursor": cursor})) == ["cursor"]


async def test_one_log_comes_with_its_raw_record_history_and_relations(api: Api, feed: Feed) -> None:
    call = log(1, at(0), log_type="call", status="in-progress", error_code=None, text=None, segments=None)
    feed.store([call], at(1))
    feed.store(
        [log(1, at(0), log_type="call", status="failed", error_code=None, text=None, segments=None, changed_at=at(2))],
        at(3),
    )
    feed.store([log(2, at(1), log_type="error", error_code=30001, resource_sid=call.sid)], at(4))
    shown = (await api.get(f"/api/logs/{call.sid}")).json()
    assert (shown["status"], shown["error_code"], shown["raw"]["sid"]) == ("failed", 30001, call.sid)
    assert [(change["status"], change["error_code"]) for change in shown["history"]] == [
        ("in-progress", None),
        ("failed", None),
        ("failed", 30001),
    ]
    assert [each["sid"] for each in shown["related"]] == ["NO" + "0" * 31 + "2"]
    assert shown["alerts"] == []
    entry = (await api.get(f"/api/logs/{shown['related'][0]['sid']}")).json()
    assert [each["sid"] for each in entry["related"]] == [call.sid]


async def test_a_message_shows_the_encoding_of_its_text(api: Api, feed: Feed) -> None:
    accented, plain, call, silent = [
        log(1, at(0), text="ë" + "x" * 79),
        log(2, at(1), text="plain"),
        log(3, at(2), log_type="call", status="completed", text=None),
        log(4, at(3), text=None),
    ]
    feed.store([accented, plain, call, silent], at(9))
    found = [(await api.get(f"/api/logs/{each.sid}")).json()["encoding"] for each in (accented, plain, call, silent)]
    assert found == [
        {"name": "UCS-2", "units": 80, "segments": 2, "foreign": "ë"},
        {"name": "GSM-7", "units": 5, "segments": 1, "foreign": ""},
        None,
        None,
    ]


async def test_logs_are_downloaded_as_csv_without_formulas(api: Api, feed: Feed) -> None:
    feed.store([log(number, at(number), text="=cmd()" if number else 'a "b",\nc') for number in range(3)], at(9))
    answer = await api.get("/api/logs.csv?status=undelivered")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert answer.headers["content-type"].startswith("text/csv")
    assert [row["text"] for row in rows] == ["'=cmd()", "'=cmd()", 'a "b",\nc']
    assert (rows[0]["from"], rows[0]["price"], rows[0]["final"]) == ("'+14155550100", "'-0.0075", "true")
    assert list(rows[0]) == list((await api.get("/api/logs")).json()["items"][0])


async def test_a_download_longer_than_one_chunk_holds_every_log(
    api: Api, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.api import log_download

    monkeypatch.setattr(log_download, "CHUNK_ROWS", 4)
    feed.store([log(number, at(number)) for number in range(11)], at(20))
    rows = list(csv.DictReader(io.StringIO((await api.get("/api/logs.csv")).text)))
    assert [int(row["sid"][-8:], 16) for row in rows] == list(range(10, -1, -1))


async def test_logs_are_counted_by_bucket_and_field(api: Api, feed: Feed) -> None:
    feed.store(
        [log(number, at(number * 20), status="delivered" if number % 2 else "undelivered") for number in range(6)],
        at(200),
    )
    span = {"since": rfc3339(at(-60)), "until": rfc3339(at(600))}
    counted = (await api.get("/api/stats", params=span | {"by": "status"})).json()
    assert (counted["bucket"], counted["by"]) == ("hour", "status")
    assert [(item["at"], item["value"], item["count"]) for item in counted["items"]] == [
        ("2026-11-23T09:00:00Z", "delivered", 1),
        ("2026-11-23T09:00:00Z", "undelivered", 2),
        ("2026-11-23T10:00:00Z", "delivered", 2),
        ("2026-11-23T10:00:00Z", "undelivered", 1),
    ]
    for by, value in (
        ("log_type", "message"),
        ("error_code", 30003),
        ("from", "+14155550100"),
        ("account_sid", ACCOUNT),
        ("messaging_service_sid", None),
    ):
        answer = (await api.get("/api/stats", params=span | {"by": by, "bucket": "day"})).json()
        assert [(item["value"], item["count"]) for item in answer["items"]] == [(value, 6)], by
    total = (await api.get("/api/stats", params=span | {"bucket": "minute", "status": "delivered"})).json()
    assert [(item["value"], item["count"]) for item in total["items"]] == [(None, 1)] * 3


async def test_values_beyond_the_most_frequent_are_counted_together(api: Api, feed: Feed) -> None:
    logs = [log(number, at(0), from_=f"+1415555{number:04}") for number in range(105)]
    feed.store([*logs, log(200, at(0), from_="+14155550000")], at(1))
    items = (
        await api.get("/api/stats", params={"by": "from", "since": rfc3339(at(-1)), "until": rfc3339(at(1))})
    ).json()["items"]
    assert len(items) == 101
    assert {item["value"]: item["count"] for item in items}["__other__"] == 5


async def test_too_many_buckets_are_refused(api: Api) -> None:
    assert fields(await api.get("/api/stats?bucket=minute&since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z")) == [
        "since"
    ]
    assert fields(await api.get("/api/stats?bucket=week")) == ["bucket"]
    assert fields(await api.get("/api/stats?by=text")) == ["by"]


async def test_delivery_is_measured(api: Api, feed: Feed) -> None:
    feed.store(
        [
            log(
                number,
                at(0),
                status="delivered" if number < 8 else "undelivered",
                changed_at=at(0) + timedelta(seconds=number + 1),
            )
            for number in range(10)
        ],
        at(5),
    )
    feed.store([log(20, at(0), status="sent"), log(21, at(0), direction="inbound", status="received")], at(5))
    (item,) = (await api.get("/api/stats/delivery", params={"since": rfc3339(at(-1)), "until": rfc3339(at(9))})).json()[
        "items"
    ]
    assert item == {
        "at": "2026-11-23T09:00:00Z",
        "final": 10,
        "delivered": 8,
        "delivered_percent": 80.0,
        "p50_seconds": 5.5,
        "p95_seconds": 9.55,
    }


def test_the_log_types_of_the_api_are_all_there_are() -> None:
    assert {each.value for each in LogType} == {"call", "message", "error"}


async def test_a_search_finds_the_same_before_and_after_the_text_is_indexed(
    api: Api, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SCAN_LIMIT", 3)
    monkeypatch.setattr(search, "CHUNK", 2)
    wordy = [log(number, at(number), text=f"Parcel {number} of Größe {number % 3}") for number in range(12)]
    feed.store(wordy, at(30))
    searches = ["parcel", "größe 1", "PARCEL 7", "absent", "of", "44770", "sm" + "0" * 30, "0000a", "%", "el 1"]
    before = [await numbers(api, q=text) for text in searches]
    assert before[:4] == [list(range(11, -1, -1)), [10, 7, 4, 1], [7], []]
    assert text_index.catch_up(get_settings(), 60) == 12
    assert text_index.catch_up(get_settings(), 60) == 0
    assert [await numbers(api, q=text) for text in searches] == before
    feed.store([log(7, at(7), text="Something else", changed_at=at(40), updated_at=at(40))], at(41))
    assert (await numbers(api, q="parcel 7"), await numbers(api, q="something")) == ([], [7])
    text_index.catch_up(get_settings(), 60)
    assert (await numbers(api, q="parcel 7"), await numbers(api, q="something")) == ([], [7])
    found, params = [], {"q": "parcel", "limit": "4"}
    while True:
        page = (await api.get("/api/logs", params=params)).json()
        found += [int(item["sid"][-8:], 16) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert found == [number for number in range(11, -1, -1) if number != 7]
    assert await numbers(api, q="parcel", since=rfc3339(at(3)), until=rfc3339(at(6)), to_country="GB") == [5, 4, 3]


async def test_rare_numbers_are_found_the_same_before_and_after_they_are_indexed(
    api: Api, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SCAN_LIMIT", 2)
    ours, customer = "+14155550100", "+447700900123"
    feed.store(
        [log(number, at(number), from_=ours, to=f"+4477009001{number % 4 + 20}") for number in range(12)], at(30)
    )
    # Its text names the customer, and it is to somebody else.
    feed.store([log(20, at(20), text=f"Call {customer} back", to="+447700900199")], at(30))
    searches: list[dict[str, str]] = [
        {"to": customer},
        {"to": f"{customer},+447700900120"},
        {"to": customer, "from": ours},
        {"from": customer},
        {"to": customer, "q": "hello"},
        {"to": customer, "q": "absent"},
        {"to": customer, "limit": "1"},
        {"to": customer, "until": rfc3339(at(8))},
        {"to": "44"},
    ]
    wanted = [[11, 7, 3], [11, 8, 7, 4, 3, 0], [11, 7, 3], [], [11, 7, 3], [], [11], [7, 3], []]
    assert [await numbers(api, **params) for params in searches] == wanted
    assert text_index.catch_up(get_settings(), 60) == 13
    assert [await numbers(api, **params) for params in searches] == wanted


async def test_bodies_that_are_not_kept_are_not_written_down(api: Api, feed: Feed) -> None:
    feed.store([log(1, at(1), text="a secret")], at(2))
    text_index.catch_up(get_settings().model_copy(update={"store_message_bodies": False}), 60)
    with session_scope() as session:
        kept = session.scalars(select(LogText.words)).one()
    assert "secret" not in kept
    assert "+447700900123" in kept


async def test_an_unescaped_plus_finds_what_an_escaped_one_finds(api: Api, feed: Feed) -> None:
    feed.store([log(1, at(1), from_="+14155550124", to="+447700900123")], at(9))
    for query in ("from=+14155550124", "from=%2B14155550124", "to=+447700900123", "q=+4477009"):
        answer = await api.get(f"/api/logs?{query}")
        assert [item["from"] for item in answer.json()["items"]] == ["+14155550124"], query
    since = "2026-11-23T10:00:00+01:00"
    assert len((await api.get(f"/api/logs?since={since}")).json()["items"]) == 1
    assert (
        len((await api.get(f"/api/stats?from=+14155550124&since={since}&until=2026-11-24T00:00:00Z")).json()["items"])
        == 1
    )


async def test_the_next_page_of_an_age_continues(api: Api, feed: Feed) -> None:
    now = utc_now()
    feed.store([log(number, now - timedelta(minutes=number)) for number in range(1, 4)], now)
    seen: list[str] = []
    more = ""
    for _ in range(3):
        answer = (await api.get(f"/api/logs?since=1d&limit=1{more}")).json()
        seen += [item["sid"] for item in answer["items"]]
        more = f"&cursor={answer['next_cursor']}"
    assert (len(set(seen)), more) == (3, "&cursor=None")
    for address in ("/api/alerts", "/api/deliveries", "/api/audit", "/api/stats", "/api/stats/delivery"):
        assert (await api.get(address, params={"since": "7d"})).status_code == 200, address
        assert fields(await api.get(address, params={"since": "7y"})) == ["since"]


async def test_unwatched_codes_are_listed_with_what_they_mean(api: Api) -> None:
    now = cut_to_second(utc_now())
    Feed(now - timedelta(hours=1)).store([log(1, now - timedelta(minutes=5), error_code=30005)], now)
    expected = {
        "error_code": 30005,
        "message": "Unknown destination handset",
        "count": 1,
        "last_at": rfc3339(now - timedelta(minutes=5)),
        "log_type": "message",
        "pack": "delivery",
    }
    assert (await api.get("/api/unwatched")).json() == {"items": [expected]}
    await api.post("/api/rules", json=RULE | {"pattern_value": "30005"})
    assert (await api.get("/api/unwatched?since=1d")).json() == {"items": []}
    assert fields(await api.get("/api/unwatched?since=100d")) == ["since"]


async def test_logs_are_broken_down_in_the_documented_shape(api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(hours=1))
    created = now - timedelta(minutes=5)
    good = {"status": "delivered", "error_code": None, "changed_at": created + timedelta(seconds=4)}
    feed.store([log(1, created, **good), log(2, created, to_country="US", error_code=30005)], now)
    answer = (await api.get("/api/breakdown?by=to_country")).json()
    assert (answer["by"], len(answer["items"])) == ("to_country", 2)
    assert answer["items"][0] == {
        "value": "GB",
        "total": 1,
        "final": 1,
        "final_before": None,
        "delivered_share": 1.0,
        "delivered_share_before": None,
        "p50_seconds": 4.0,
        "p95_seconds": 4.0,
        "top_error_code": None,
        "price": {"USD": "0.0075"},
        "price_per_delivered": {"USD": "0.007500"},
    }
    narrowed = (await api.get("/api/breakdown?by=error_code&to_country=us&since=1h")).json()
    assert [(each["value"], each["total"]) for each in narrowed["items"]] == [(30005, 1)]
    assert fields(await api.get("/api/breakdown")) == ["by"]
    assert fields(await api.get("/api/breakdown?by=to")) == ["by"]
    assert fields(await api.get("/api/breakdown?by=from&bucket=day")) == ["bucket"]
    assert fields(await api.get("/api/breakdown?by=from&since=100d")) == ["since"]


async def test_a_rule_explains_what_it_made_of_a_log(api: Api) -> None:
    now = cut_to_second(utc_now())
    rule_id = (await api.post("/api/rules", json=RULE | {"pattern_value": "30005"})).json()["id"]
    Feed(now - timedelta(hours=1)).store([log(1, now)], now)
    url = f"/api/logs/SM{1:032x}/explain"
    answer = (await api.get(f"{url}?rule_id={rule_id}")).json()
    assert answer["verdict"] == "no_match"
    assert [(step["step"], step["passed"]) for step in answer["steps"]] == [
        ("rule", True),
        ("population", True),
        ("pattern", False),
    ]
    assert fields(await api.get(url)) == ["rule_id"]
    assert fields(await api.get(f"{url}?rule_id=x")) == ["rule_id"]
    assert (await api.get(f"{url}?rule_id={'0' * 8}{rule_id[8:]}")).status_code == 404
    assert (await api.get(f"/api/logs/SM{2:032x}/explain?rule_id={rule_id}")).status_code == 404


async def test_the_rules_of_its_type_say_what_they_made_of_a_log(api: Api) -> None:
    now = cut_to_second(utc_now())
    Feed(now - timedelta(hours=1)).store([log(1, now)], now)
    url = f"/api/logs/SM{1:032x}/rules"
    assert (await api.get(url)).json() == {"items": []}
    rule = (await api.post("/api/rules", json=RULE | {"pattern_value": "30005"})).json()
    (outcome,) = (await api.get(url)).json()["items"]
    assert (outcome["rule_id"], outcome["name"]) == (rule["id"], rule["name"])
    assert (outcome["stopped_by"]["step"], outcome["stopped_by"]["passed"]) == ("pattern", False)
    assert "error code 30003" in outcome["stopped_by"]["detail"]
    assert fields(await api.get(f"{url}?rule_id={rule['id']}")) == ["rule_id"]
    assert (await api.get("/api/logs/nothing/rules")).status_code == 422
    assert (await api.get(f"/api/logs/SM{2:032x}/rules")).status_code == 404


async def test_names_of_families_and_faults_are_listed_and_previewed(api: Api) -> None:
    names = {each["name"]: each for each in (await api.get("/api/error-codes?limit=1")).json()["names"]}
    assert names["family:messaging-filtering"]["codes"] >= 4
    assert names["fault:your-server"]["description"].startswith("Your server")
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(hours=1))
    feed.store([log(1, now - timedelta(minutes=5), error_code=30007), log(2, now - timedelta(minutes=5))], now)
    rule = RULE | {"pattern_value": "family:messaging-filtering"}
    previewed = await api.post("/api/rules/preview", json=rule | {"since": "30m"})
    assert (previewed.json()["population"], previewed.json()["matches"]) == (2, 1)
    assert "warnings" not in previewed.json() or not previewed.json()["warnings"]
    wrong = await api.post("/api/rules", json=RULE | {"pattern_value": "family:message-filtering"})
    assert fields(wrong) == ["pattern_value"]
    assert "did you mean family:messaging-filtering?" in wrong.json()["errors"][0]["message"]


async def test_a_number_copied_from_a_chat_finds_what_the_plain_one_finds(api: Api, feed: Feed) -> None:
    feed.store([log(1, at(1), to="+447700900123"), log(2, at(2), to="+14155550124")], at(9))
    found = (await api.get("/api/logs", params={"to": "+447700900123"})).json()["items"]
    assert len(found) == 1
    for query in (
        {"to": "\u202a+447700900123\u202c"},
        {"to": "\u2068+447700900123\u2069,\u202a+14155550199\u202c"},
        {"q": "\u202d+447700900123\u202c"},
    ):
        answer = await api.get("/api/logs", params=query)
        assert answer.status_code == 200, answer.text
        assert answer.json()["items"] == found, query
    for query in ({"to": "+4477\u202e00900123"}, {"q": "a\u202eb"}, {"status": "\u202afailed\u202c"}):
        assert fields(await api.get("/api/logs", params=query)) == [*query]
