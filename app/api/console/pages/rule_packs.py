"""The pages of rule packs, and previews over the last seven days: of a pack's rules, and of all own rules."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console import texts, week
from app.api.console.access import PostedForm, SignedIn, Viewer, Writer
from app.api.console.flash import Flash
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.console.week import WeekRow
from app.api.deps import settings_of
from app.api.problems import Refused
from app.database import session_scope
from app.enums import Severity
from app.services import rule_admin
from app.services.rules import definition, packs
from app.services.serializers import rule_json
from app.utils.clock import utc_now
from app.utils.quantities import counted

router = make_router()
PackName = Annotated[str, Path()]
MAX_RULES = 200


@router.get("/rules/packs")
def list_packs(request: Request, viewer: SignedIn) -> Response:
    """List the packs, and how many of their rules are installed."""
    with session_scope() as session:
        installed = rule_admin.installed_slugs(session)
    rows = [
        (pack, texts.pack_title(pack.name), sum(rule.slug in installed for rule in pack.rules))
        for pack in packs.list_packs()
    ]
    return render(request, viewer, "rule_packs.html", {"section": "rules", "rows": rows})


@router.get("/rules/packs/{name}")
def show_pack(request: Request, viewer: SignedIn, name: PackName) -> Response:
    """Preview the rules of a pack, and offer to install them."""
    pack = packs.find_pack(name)
    with session_scope() as session:
        installed = rule_admin.installed_slugs(session)
    rows = [
        week.make_row(rule.slug.partition("/")[2], rule.definition, _text(installed.get(rule.slug)))
        for rule in pack.rules
    ]
    context = {
        "title": texts.pack_title(pack.name),
        "description": pack.description,
        "pack": pack.name,
        "missing": sum(row.rule_id is None for row in rows),
        "severities": list(Severity),
    }
    return _page(request, viewer, rows, context)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


@router.get("/rules/week")
def show_week(request: Request, viewer: SignedIn) -> Response:
    """Preview all own rules."""
    with session_scope() as session:
        found = [rule for rule in rule_admin.list_rules(session, None, MAX_RULES).items if rule.enabled]
        rows = [week.make_row(str(rule.id), definition.from_row(rule), str(rule.id)) for rule in found]
    rows.sort(key=lambda row: row.name.lower())
    return _page(request, viewer, rows, {"title": "Your rules", "description": "", "pack": "", "missing": 0})


def _page(request: Request, viewer: Viewer, rows: Sequence[WeekRow], context: Mapping[str, object]) -> Response:
    """Run the previews in `run`. The script requests row by row, then all, which are cached for some minutes."""
    now = utc_now()
    shown_week = week.make_week(viewer, now)
    with session_scope() as session:
        targets = week.list_targets(session)
    wanted = request.query_params.get("run", "")
    shown = week.run_rows(viewer, rows, wanted, targets, shown_week, settings_of(request))
    values = {
        "section": "rules",
        "rows": shown,
        "row": next((row for row in shown if row.key == wanted), shown[0] if shown else None),
        "week": shown_week,
        "days": f"{texts.day(shown_week.since, viewer.zone)} to {texts.day(now, viewer.zone)}",
        "totals": week.add_up(shown) if wanted == week.ALL else None,
        "targets": len(targets),
        **context,
    }
    return render(request, viewer, "rule_week.html", values)


@router.post("/rules/packs/{name}")
def install_pack(request: Request, viewer: Writer, name: PackName, form: PostedForm) -> Response:
    """Create the ticked rules of a pack, with the severities that were chosen."""
    chosen = {f"{name}/{key}" for key in form.all("rule")}
    if not chosen:
        return redirect(request, f"/rules/packs/{name}", Flash("Nothing is ticked, so nothing was installed.", "warn"))
    severities = {slug: _severity(form.get(f"severity.{slug.partition('/')[2]}")) for slug in chosen}
    with session_scope() as session:
        made = rule_admin.install_pack(session, name, utc_now(), severities)
        for rule in made:
            AuditedChange(session, viewer.principal, f"rule:{rule.id}").record("rule.create", rule_json(rule))
        count = len(made)
    text = f"{counted(count, 'rule is', 'rules are')} installed. They evaluate changes from now on."
    return redirect(request, "/rules", Flash(text))


def _severity(sent: str) -> Severity | None:
    """Read a chosen severity; None for the pack's own."""
    if not sent:
        return None
    if sent not in list(Severity):
        raise Refused(422, "A severity is critical, warning or info.")
    return Severity(sent)
