"""Alerts and deliveries through the API."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from app.database import session_scope
from app.enums import Scope
from app.utils.clock import cut_to_second, rfc3339, utc_now
from tests.feeding import ACCOUNT, Feed, evaluate, log
from tests.integration.api.conftest import EMAIL, RULE, Api, fields


@pytest.fixture
async def alert_id(api: Api) -> str:
    """An alert about three messages, told to one receiver; nothing is sent."""
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(hours=1))
    await api.post("/api/rules", json=RULE | {"group_by": ["to_country"], "severity": "critical"})
    await api.post("/api/actions", json=EMAIL)
    feed.store([log(number, now + timedelta(seconds=number)) for number in range(1, 4)], now)
    feed.complete(now)
    evaluate(now + timedelta(seconds=5))
    (alert,) = (await api.get("/api/alerts")).json()["items"]
    return str(alert["id"])


async def test_an_alert_is_shown_with_its_deliveries_logs_and_meaning(api: Api, alert_id: str) -> None:
    alert = (await api.get(f"/api/alerts/{alert_id}")).json()
    assert (alert["status"], alert["severity"], alert["occurrences"]) == ("firing", "critical", 3)
    assert (alert["group"], alert["error"]["code"]) == ({"to_country": "GB"}, 30003)
    assert set(alert["error"]) == {"code", "message", "cause", "docs"}
    assert [(each["type"], each["recipient"], each["status"]) for each in alert["deliveries"]] == [
        ("alert.firing", "ops@example.com", "pending")
    ]
    page = (await api.get(f"/api/alerts/{alert_id}/logs?limit=2")).json()
    rest = (await api.get(f"/api/alerts/{alert_id}/logs", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [int(each["sid"][-8:], 16) for each in page["items"] + rest["items"]] == [3, 2, 1]
    counted = (await api.get(f"/api/logs/{page['items'][0]['sid']}")).json()["alerts"]
    assert [each["id"] for each in counted] == [alert_id]


async def test_alerts_are_filtered(api: Api, alert_id: str) -> None:
    alert = (await api.get(f"/api/alerts/{alert_id}")).json()
    rule_id, started_at = alert["rule_id"], alert["started_at"]
    found = [
        "status=firing,resolved",
        "severity=critical",
        f"rule_id={rule_id}",
        f"account_sid={ACCOUNT}",
        f"since={started_at}",
    ]
    not_found = [
        "status=resolved",
        "severity=info",
        f"rule_id={alert_id}",
        "account_sid=AC" + "f" * 32,
        f"until={started_at}",
    ]
    for query in found:
        assert [each["id"] for each in (await api.get(f"/api/alerts?{query}")).json()["items"]] == [alert_id], query
    for query in not_found:
        assert (await api.get(f"/api/alerts?{query}")).json()["items"] == [], query


async def test_an_alert_is_acknowledged_and_resolved_once(api: Api, alert_id: str) -> None:
    taken = await api.post(f"/api/alerts/{alert_id}/acknowledge", json={"by": "maria", "note": "on it"})
    assert (taken.status_code, taken.json()["status"]) == (200, "acknowledged")
    assert (taken.json()["acknowledged_by"], taken.json()["note"]) == ("maria", "on it")
    ended = await api.post(f"/api/alerts/{alert_id}/resolve")
    assert (ended.json()["status"], ended.json()["resolve_reason"]) == ("resolved", "manual")
    assert ended.json()["acknowledged_by"] == "maria"
    for act in ("acknowledge", "resolve"):
        assert (await api.post(f"/api/alerts/{alert_id}/{act}")).status_code == 409
    types = [each["type"] for each in (await api.get(f"/api/alerts/{alert_id}")).json()["deliveries"]]
    assert types == ["alert.resolved", "alert.firing"]
    actions = [each["action"] for each in (await api.get(f"/api/audit?target=alert:{alert_id}")).json()["items"]]
    assert actions == ["alert.resolve", "alert.acknowledge"]


async def test_without_a_name_the_key_has_taken_it(api: Api, alert_id: str) -> None:
    answer = await api.post(f"/api/alerts/{alert_id}/acknowledge")
    assert answer.json()["acknowledged_by"] == "API_KEY"


async def test_the_first_acknowledgement_stays_and_the_audit_records_the_second(api: Api, alert_id: str) -> None:
    url = f"/api/alerts/{alert_id}/acknowledge"
    first = (await api.post(url, json={"by": "bob", "note": "on it"})).json()
    for again in ({}, {"by": "bob", "note": "still"}, {"by": "eve", "note": "me too"}):
        answer = await api.post(url, json=again)
        assert (answer.status_code, answer.json()) == (200, first), again
        (entry, *_) = (await api.get(f"/api/audit?target=alert:{alert_id}")).json()["items"]
        assert (entry["action"], entry["after"]["sent"]) == ("alert.acknowledge", again)
    await api.post(f"/api/alerts/{alert_id}/resolve", json={"by": "eve"})
    (entry, *_) = (await api.get(f"/api/audit?target=alert:{alert_id}")).json()["items"]
    assert (entry["after"]["acknowledged_by"], entry["after"]["sent"]) == ("bob", {"by": "eve"})


async def test_an_invalid_note_is_rejected(api: Api, alert_id: str) -> None:
    url = f"/api/alerts/{alert_id}/acknowledge"
    assert fields(await api.post(url, json={"by": ""})) == ["by"]
    assert fields(await api.post(url, json={"note": 5})) == ["note"]
    assert fields(await api.post(url, json={"role": "x"})) == ["role"]
    assert fields(await api.post(url, json=[])) == ["body"]
    assert (await api.post(url, content=b"x", headers={"Content-Type": "text/plain"})).status_code == 415


async def test_a_silence_shows_the_alerts_that_it_holds(api: Api, alert_id: str) -> None:
    ends_at = rfc3339(utc_now() + timedelta(hours=1))
    made = (await api.post("/api/silences", json={"group": {"to_country": "GB"}, "ends_at": ends_at})).json()
    other = (await api.post("/api/silences", json={"group": {"to_country": "FR"}, "ends_at": ends_at})).json()
    assert (made["alert_ids"], other["alert_ids"]) == ([alert_id], [])


async def test_deliveries_are_filtered_shown_and_retried_when_failed(api: Api, alert_id: str) -> None:
    (delivery,) = (await api.get("/api/deliveries")).json()["items"]
    for query in (f"alert_id={alert_id}", f"action_id={delivery['action_id']}", "status=pending,failed"):
        assert len((await api.get(f"/api/deliveries?{query}")).json()["items"]) == 1, query
    assert (await api.get("/api/deliveries?status=failed")).json()["items"] == []
    assert (await api.get(f"/api/deliveries/{delivery['id']}")).json()["attempts"] == []
    assert (await api.post(f"/api/deliveries/{delivery['id']}/retry")).status_code == 409
    await api.patch(f"/api/actions/{delivery['action_id']}", json={"enabled": False})
    assert (await api.get(f"/api/deliveries/{delivery['id']}")).json()["status"] == "failed"
    again = await api.post(f"/api/deliveries/{delivery['id']}/retry")
    assert (again.status_code, again.json()["status"]) == (200, "pending")
    await api.delete(f"/api/actions/{delivery['action_id']}")
    gone = await api.post(f"/api/deliveries/{delivery['id']}/retry")
    assert (gone.status_code, "its action was deleted" in gone.json()["detail"]) == (409, True)


async def test_a_test_of_an_action_answers_with_its_deliveries_whatever_becomes_of_them(api: Api) -> None:
    action = (await api.post("/api/actions", json=EMAIL)).json()
    answer = await api.post(f"/api/actions/{action['id']}/test")
    (delivery,) = answer.json()["deliveries"]
    assert (answer.status_code, delivery["type"], delivery["status"]) == (200, "action.test", "failed")
    assert "SMTP_HOST" in delivery["attempts"][0]["error"]


async def test_the_endpoint_returns_shared_traits_or_why_there_are_none(api: Api, alert_id: str) -> None:
    url = f"/api/alerts/{alert_id}/common"
    assert (await api.get(url)).json() == {
        "matched": 3,
        "others": 0,
        "items": [],
        "detail": "There are 3 logs of this alert: at least 20 are needed on each side to compare them.",
    }
    assert (await api.get(f"/api/alerts/{'0' * 8}-0000-0000-0000-{'0' * 12}/common")).status_code == 404
    assert (await api.get(f"{url}?limit=3")).status_code == 422
    async with Api(api.app, None) as nobody:
        assert (await nobody.get(url)).status_code == 401


async def test_what_the_logs_have_in_common_is_answered_in_the_documented_shape(api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(hours=1))
    await api.post("/api/rules", json=RULE)
    good = {"status": "delivered", "error_code": None, "from_": "+14155550111"}
    feed.store([log(number, now + timedelta(seconds=number)) for number in range(1, 31)], now)
    feed.store([log(100 + number, now + timedelta(seconds=number), **good) for number in range(1, 31)], now)
    feed.complete(now)
    evaluate(now + timedelta(seconds=60))
    (alert,) = (await api.get("/api/alerts")).json()["items"]
    found = (await api.get(f"/api/alerts/{alert['id']}/common")).json()
    assert (found["matched"], found["others"]) == (30, 30)
    assert found["items"][0] == {"field": "from", "value": "+14155550100", "share": 1.0, "share_of_others": 0.0}
    assert found["finding"] == "100% of them came from +14155550100, but none of the others."
    assert "detail" not in found


async def test_the_series_of_an_alert_is_answered_with_why_it_may_be_empty(api: Api, alert_id: str) -> None:
    url = f"/api/alerts/{alert_id}/series"
    found = (await api.get(url)).json()
    assert (found["limit"], found["waits_for"], "detail" in found) == (None, [], False)
    assert set(found["items"][0]) == {"at", "value", "firing", "known"}
    assert any(point["firing"] for point in found["items"])
    assert (await api.get(f"/api/alerts/{'0' * 8}-0000-0000-0000-{'0' * 12}/series")).status_code == 404
    assert (await api.get(f"{url}?limit=3")).status_code == 422
    async with Api(api.app, None) as nobody:
        assert (await nobody.get(url)).status_code == 401
    (rule,) = (await api.get("/api/rules")).json()["items"]
    await api.delete(f"/api/rules/{rule['id']}")
    with session_scope() as session:
        session.execute(text("UPDATE alerts SET recorded_at = recorded_at + interval '1 hour'"))
    assert (await api.get(url)).json() == {
        "limit": None,
        "items": [],
        "waits_for": [],
        "detail": "The rule of this alert was deleted, and the audit does not say how it was.",
    }


async def test_an_acknowledgement_is_taken_back(api: Api, alert_id: str) -> None:
    url = f"/api/alerts/{alert_id}"
    taken = (await api.post(f"{url}/acknowledge", json={"by": "maria", "for_minutes": 60})).json()
    until, since = (datetime.fromisoformat(taken[f"acknowledged_{name}"]) for name in ("until", "at"))
    assert until - since == timedelta(hours=1)
    assert fields(await api.post(f"{url}/unacknowledge", json={"zzz": 1})) == ["zzz"]
    headers = {"Content-Type": "application/json"}
    assert (await api.post(f"{url}/unacknowledge", content=b"[[[not json", headers=headers)).status_code == 400
    bodies: list[dict[str, str] | None] = [None, {}]
    for empty in bodies:
        again = await api.post(f"{url}/unacknowledge", json=empty)
        assert (again.status_code, again.json()["status"]) == (200, "firing")
        assert {again.json()[f"acknowledged_{name}"] for name in ("at", "by", "until")} == {None}
    actions = [each["action"] for each in (await api.get(f"/api/audit?target=alert:{alert_id}")).json()["items"]]
    assert actions == ["alert.unacknowledge", "alert.unacknowledge", "alert.acknowledge"]
    await api.post(f"{url}/resolve")
    assert (await api.post(f"{url}/unacknowledge")).status_code == 409
    for minutes in (0, 44_641, 1.5, "60"):
        assert fields(await api.post(f"{url}/acknowledge", json={"for_minutes": minutes})) == ["for_minutes"]


async def test_notes_are_kept_with_who_wrote_them_on_resolved_alerts_too(api: Api, alert_id: str) -> None:
    url = f"/api/alerts/{alert_id}"
    assert (await api.get(url)).json()["notes"] == []
    version = (await api.get(url)).headers["etag"]
    added = await api.post(f"{url}/notes", json={"note": "carrier is informed"})
    assert (added.status_code, added.json()["by"], added.json()["note"]) == (201, "API_KEY", "carrier is informed")
    assert (await api.get(url)).headers["etag"] == version
    await api.post(f"{url}/acknowledge", json={"by": "maria", "note": "on it"})
    await api.post(f"{url}/resolve", json={"by": "maria", "note": "they fixed it"})
    await api.post(f"{url}/notes", json={"note": "write a report", "by": "jonas"})
    notes = (await api.get(url)).json()["notes"]
    assert [(each["by"], each["note"]) for each in notes] == [
        ("API_KEY", "carrier is informed"),
        ("maria", "on it"),
        ("maria", "they fixed it"),
        ("jonas", "write a report"),
    ]
    (entry, *_) = (await api.get(f"/api/audit?target=alert:{alert_id}")).json()["items"]
    assert (entry["action"], entry["after"]["note"]) == ("alert.note", "write a report")


async def test_a_note_that_says_nothing_is_refused(api: Api, alert_id: str) -> None:
    url = f"/api/alerts/{alert_id}/notes"
    for sent in ({}, {"note": ""}, {"note": " \n"}, {"note": None}, {"note": "x" * 10_001}):
        assert fields(await api.post(url, json=sent)) == ["note"], sent
    assert (await api.post(f"/api/alerts/{'0' * 8}-{alert_id[9:]}/notes", json={"note": "x"})).status_code == 404
    async with Api(api.app, await api.key(Scope.READ)) as reader:
        assert (await reader.post(url, json={"note": "x"})).status_code == 403
        assert (await reader.post(f"/api/alerts/{alert_id}/unacknowledge")).status_code == 403
