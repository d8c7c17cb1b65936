"""The pages of silences: the list, creating and ending."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console import texts
from app.api.console.access import Form, PostedForm, SignedIn, Viewer, Writer, safe_next
from app.api.console.filters import neighbours
from app.api.console.flash import Flash
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.deps import parse
from app.api.lists import read_position
from app.api.schemas.silences import RepeatBody, SilenceFilters
from app.database import session_scope
from app.errors import FieldError, InvalidInput, NotFound
from app.models import Alert, Rule, Silence
from app.services import audit, rule_admin
from app.services.alerts import silences
from app.services.alerts.recurrence import Validity, is_active, next_start
from app.services.rules.description import DAY_NAMES
from app.services.rules.fields import GROUP_FIELDS
from app.services.rules.words import NEW_VALUE_NAMES
from app.utils.calendar_edges import shift
from app.utils.clock import utc_now
from app.utils.digits import read_digits
from app.utils.quantities import counted
from app.utils.zones import zone_names

router = make_router()
SilenceId = Annotated[UUID, Path()]
PAGE_SIZE = 50
MAX_RULES = 1000
EVERY_RULE = "every"
FOREVER = "ever"
LONG = timedelta(days=7)
"""A silence that lasts longer is easily forgotten."""
LENGTHS = {
    "1": "an hour",
    "8": "8 hours",
    "24": "a day",
    "168": "a week",
    "720": "30 days",
    FOREVER: "ever, at the hours below",
}
"""Hours, and how they are called."""


@router.get("/silences")
def list_silences(request: Request, viewer: SignedIn) -> Response:
    """List silences, with the alerts that each silences now. `like=ID` fills in the form as that silence was made."""
    like = request.query_params.get("like")
    return _page(request, viewer, _form_like(like, viewer) if like else None)


def _page(
    request: Request,
    viewer: SignedIn,
    typed: Form | None = None,
    errors: Mapping[str, str] | None = None,
    status: int = 200,
    preview: Sequence[Alert] | None = None,
) -> Response:
    query = SilenceFilters(cursor=request.query_params.get("cursor"), limit=PAGE_SIZE)
    now = utc_now()
    with session_scope() as session:
        page = silences.list_silences(session, read_position("silences", query, silences.SORT_KEY), PAGE_SIZE)
        silenced = silences.silenced_alerts(session, page.items, now)
        summaries = silences.alert_summaries(session, silenced)
        rules = list(rule_admin.list_rules(session, None, MAX_RULES).items)
        session.expunge_all()
    context = {
        "section": "silences",
        **_list_context(page.items, now),
        "silenced": silenced,
        "summaries": summaries,
        "names": {rule.id: rule.name for rule in rules},
        "beside": neighbours("silences", query, page, "/silences"),
        **_form_context(typed, rules),
        "errors": errors or {},
        "preview": preview,
    }
    return render(request, viewer, "silences.html", context, status)


def _list_context(listed: Sequence[Silence], now: datetime) -> dict[str, Any]:
    validity = {silence.id: silences.validity(silence) for silence in listed}
    return {
        "silences": listed,
        "active": {silence_id: is_active(each, now) for silence_id, each in validity.items()},
        "next_starts": {silence_id: next_start(each, now) for silence_id, each in validity.items()},
        "ended": {silence.id for silence in listed if silence.ends_at is not None and silence.ends_at <= now},
        "now": now,
    }


def _form_context(typed: Form | None, rules: Sequence[Rule]) -> dict[str, Any]:
    return {
        "rules": sorted(rules, key=lambda rule: rule.name.lower()),
        "fields": {field: NEW_VALUE_NAMES[field] for field in GROUP_FIELDS},
        "lengths": LENGTHS,
        "day_names": DAY_NAMES,
        "zones": sorted(zone_names()),
        "typed_in": typed is not None,
        "typed": {"hours": "1", **(typed.typed() if typed else {})},
        "typed_days": typed.all("days") if typed else [],
    }


@router.post("/silences")
def create_silence(request: Request, viewer: Writer, form: PostedForm) -> Response:
    """Create a silence that starts now, or preview which open alerts it would match."""
    now = utc_now()
    try:
        rule_id, group, wanted = _read(form, viewer, now)
        with session_scope() as session:
            if form.get("do") == "preview":
                matched = silences.alerts_matched_by(session, silences.draft(session, rule_id, group, wanted, now))
                session.expunge_all()
                return _page(request, viewer, form, preview=matched)
            silence = silences.create(session, rule_id, group, wanted, form.get("reason"), viewer.principal.name, now)
            shown = silences.to_json(session, [silence], now)[0]
            AuditedChange(session, viewer.principal, f"silence:{silence.id}").record("silence.create", shown)
    except InvalidInput as error:
        errors = {each.field.partition(".")[0]: each.message for each in error.errors}
        return _page(request, viewer, form, errors, 422)
    return redirect(request, "/silences", _made(shown, wanted, now))


def _made(shown: Mapping[str, Any], wanted: Validity, now: datetime) -> Flash:
    """Describe the effect of a new silence."""
    if wanted.starts_at > now:
        return Flash("It will silence what fires once it has started.")
    alerts = counted(len(shown["alert_ids"]), "open alert")
    if wanted.repeat is None and wanted.ends_at is not None and wanted.ends_at - wanted.starts_at > LONG:
        return Flash(f"It silences {alerts} now. It lasts longer than a week: will you remember it?", "warn")
    return Flash(f"It silences {alerts} now.")


def _form_like(silence_id: str, viewer: Viewer) -> Form | None:
    """Return the form of a silence to repeat: the same rule, group, length and hours, from now on."""
    try:
        with session_scope() as session:
            silence = silences.get(session, UUID(silence_id))
            session.expunge(silence)
    except (ValueError, NotFound):
        return None
    field, value = next(iter(silence.group.items()), ("", ""))
    repeat = silence.repeat or {}
    length = None if silence.ends_at is None else silence.ends_at - silence.starts_at
    hours = next((hours for hours in LENGTHS if length == _length(hours)), "1")
    typed = {
        "rule_id": str(silence.rule_id or EVERY_RULE),
        "field": field,
        "value": str(value),
        "hours": hours,
        "reason": silence.reason,
        **{name: str(repeat.get(name, "")) for name in ("start", "end")},
        "timezone": str(repeat.get("timezone", viewer.zone.key)),
    }
    return Form([*typed.items(), *(("days", day) for day in repeat.get("days", []))])


def _length(hours: str) -> timedelta | None:
    return None if hours == FOREVER else timedelta(hours=int(hours))


def _read(form: Form, viewer: Viewer, now: datetime) -> tuple[UUID | None, dict[str, Any], Validity]:
    """Parse the form: the rule, the group, and when the silence is active.

    Raises: InvalidInput.
    """
    group: dict[str, Any] = {}
    field, value = form.get("field"), form.get("value")
    if field in GROUP_FIELDS and value:
        code = read_digits(value) if field == "error_code" else None
        group[field] = value if code is None else code
    hours = form.get("hours")
    length = _length(hours if hours in LENGTHS else "1")
    errors = []
    starts_at = texts.read_local_field(form.get("from"), viewer.zone) if form.get("from") else now
    if starts_at is None:
        errors.append(FieldError("from", "must be a date and a time, such as 2026-11-23T06:00"))
    try:
        rule_id = None if form.get("rule_id") == EVERY_RULE else UUID(form.get("rule_id"))
    except ValueError:
        errors.append(FieldError("rule_id", "must be one of the rules, or every rule"))
    if errors or starts_at is None:
        raise InvalidInput(errors)
    ends_at = None if length is None else shift(starts_at, length)
    return rule_id, group, Validity(starts_at, ends_at, _repeat(form))


def _repeat(form: Form) -> dict[str, Any] | None:
    """Parse the hours of the repeat; None if neither is filled in.

    Raises: InvalidInput.
    """
    typed = {name: form.get(name) for name in ("start", "end", "timezone")}
    if not typed["start"] and not typed["end"]:
        return None
    return parse(RepeatBody, {"repeat": typed | {"days": form.all("days")}}).repeat.model_dump()


@router.post("/silences/{silence_id}/end")
def end_silence(request: Request, viewer: Writer, silence_id: SilenceId, form: PostedForm) -> Response:
    """End a silence now, and return to the page that was open."""
    page = safe_next(form.get("next") or "/silences")
    with session_scope() as session:
        ended = audit.find_deletion(session, f"silence:{silence_id}")
        if ended is not None:
            by = "You have" if ended.by == viewer.principal.name else f"{ended.by} has"
            return redirect(request, page, Flash(f"{by} ended this silence before.", "info"))
        shown = silences.to_json(session, [silences.get(session, silence_id)], utc_now())[0]
        silences.delete(session, silence_id)
        AuditedChange(session, viewer.principal, f"silence:{silence_id}", shown).record("silence.delete", None)
    return redirect(request, page, Flash("The silence has ended. What still fires is sent in a moment."))
