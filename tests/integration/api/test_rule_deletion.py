"""Deleting a rule that others depend on: each rule that changes has its own entry in the audit."""

from typing import Any

from tests.integration.api.conftest import RULE, Api
from tests.integration.api.test_transfer import import_document


async def audited(api: Api) -> list[tuple[str, str, list[str] | None, list[str] | None]]:
    """Action, target, and what the rule depended on before and after, newest first."""
    entries: list[dict[str, Any]] = (await api.get("/api/audit")).json()["items"]
    return [
        (each["action"], each["target"], *((each[state] or {}).get("depends_on") for state in ("before", "after")))
        for each in entries
    ]


async def make(api: Api, *depends_on: str) -> str:
    return str((await api.post("/api/rules", json=RULE | {"depends_on": depends_on})).json()["id"])


async def test_each_rule_that_depended_on_it_has_an_entry(api: Api) -> None:
    cause, other = await make(api), await make(api)
    both, one = await make(api, cause, other), await make(api, cause)
    await make(api, other)
    assert (await api.delete(f"/api/rules/{cause}")).status_code == 204
    entries = await audited(api)
    assert sorted(entries[:2]) == sorted(
        [("rule.update", f"rule:{both}", [cause, other], [other]), ("rule.update", f"rule:{one}", [cause], [])]
    )
    assert entries[2][:2] == ("rule.delete", f"rule:{cause}")


async def test_pruning_a_rule_removes_it_from_its_dependents(api: Api) -> None:
    await import_document(api, "version: 1\nrules:\n  - {slug: cause, name: A, log_type: call, pattern_type: any}\n")
    cause = (await api.get("/api/rules")).json()["items"][0]["id"]
    dependent = await make(api, cause)
    changes = await import_document(api, "version: 1\n", "?prune=true")
    assert [(each["change"], each["fields"].get("depends_on")) for each in changes] == [
        ("delete", {"before": [], "after": None}),
        ("update", {"before": ["cause"], "after": []}),
    ]
    assert (await audited(api))[0] == ("rule.update", f"rule:{dependent}", ["cause"], [])
