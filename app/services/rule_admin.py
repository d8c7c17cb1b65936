"""Creates, edits and deletes rules under the rule set's lock: an evaluation sees a rule completely or not at all.

An edit that changes what a rule matches resolves its alerts and restarts it; other edits do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import ResolveReason, Severity
from app.errors import NotFound
from app.models import Rule, RuleGroup
from app.services import rule_checks
from app.services.alerts import alert_rows, manual
from app.services.evaluation import completeness, due_minutes, rule_set
from app.services.paging import Page, Position, read_page
from app.services.rules import definition
from app.services.rules.definition import RuleDefinition
from app.services.rules.packs import find_pack
from app.services.serializers import rule_json
from app.utils.clock import rfc3339, utc_now

HEALTH_FIELDS = definition.HEALTH_FIELDS
"""The fields of `health`."""
SORT_KEY = (Rule.created_at, Rule.id)


def create(session: Session, body: object, settings: Settings, now: datetime) -> Rule:
    """Create a rule. It evaluates changes from now on.

    Raises: InvalidInput.
    """
    parsed = definition.parse_rule(body)
    rule_checks.check(parsed, settings)
    started_at = _lock_rule_set(session)
    rule_checks.check_dependencies(session, None, parsed)
    rule = _insert(parsed, started_at, now)
    session.add(rule)
    session.flush()
    return rule


def replace(
    session: Session, rule_id: UUID, body: object, settings: Settings, now: datetime, *, allow_cycle: bool = False
) -> Rule:
    """Replace a rule. Read-only fields are ignored.

    Args:    allow_cycle: the caller edits several rules, and looks for cycles when all are edited: `rules_in_cycles`.
    Raises: NotFound, InvalidInput.
    """
    parsed = definition.parse_rule(definition.writable(body))
    return _apply_edit(session, get(session, rule_id, lock=True), parsed, settings, now, allow_cycle=allow_cycle)


def patch(session: Session, rule_id: UUID, body: object, settings: Settings, now: datetime) -> Rule:
    """Update some fields of a rule. Objects are replaced as a whole; read-only fields are ignored.

    Raises: NotFound, InvalidInput.
    """
    rule = get(session, rule_id, lock=True)
    wanted = definition.merge(definition.from_row(rule), definition.writable(body))
    return _apply_edit(session, rule, wanted, settings, now)


def delete(session: Session, rule_id: UUID, settings: Settings, now: datetime) -> None:
    """Delete a rule. Its open alerts are resolved; its alerts are kept. No rule depends on it any more.

    Raises: NotFound.
    """
    rule = get(session, rule_id, lock=True)
    manual.resolve_rule_alerts(session, rule_id, ResolveReason.RULE_DELETED, settings, now)
    for dependent in dependents(session, rule_id):
        dependent.depends_on = [each for each in dependent.depends_on if each != rule_id]
        dependent.updated_at = now
    session.delete(rule)
    session.flush()


def dependents(session: Session, rule_id: UUID) -> Sequence[Rule]:
    """List the rules that depend on a rule, and change when it is deleted."""
    return session.scalars(select(Rule).where(Rule.depends_on.contains([rule_id])).order_by(Rule.id)).all()


def list_rules(session: Session, position: Position | None, limit: int) -> Page[Rule]:
    """List rules, newest first."""
    return read_page(session, select(Rule), SORT_KEY, position, limit)


def get(session: Session, rule_id: UUID, *, lock: bool = False) -> Rule:
    """Return a rule. `lock` locks it and the rule set until the transaction ends.

    Raises: NotFound.
    """
    if lock:
        _lock_rule_set(session)
    rule = session.get(Rule, rule_id, with_for_update=lock or None)
    if rule is None:
        raise NotFound(f"there is no rule {rule_id}")
    return rule


def lock_all(session: Session) -> None:
    """Lock the rule set and the open alerts of all rules until the transaction ends, for edits of several rules.

    An edit notifies of alerts that it resolves. Whoever locks the next rule's alerts after that would lock them in
    another order than everybody else.
    """
    rule_set.lock(session)
    alert_rows.lock_open_of_rules(session)


def installed_slugs(session: Session) -> dict[str, UUID]:
    """Return the rules that packs installed, by slug."""
    rows = session.execute(select(Rule.slug, Rule.id).where(Rule.slug.is_not(None)))
    return {slug: rule_id for slug, rule_id in rows if slug is not None}


def install_pack(
    session: Session, name: str, now: datetime, chosen: Mapping[str, Severity | None] | None = None
) -> list[Rule]:
    """Create the missing rules of a pack. Existing rules keep their edits.

    Args:    chosen: the slugs to install, each with its severity or None for the pack's own; None installs all.
    Returns: the rules that were created; none if the pack was installed already.
    Raises: NotFound.
    """
    pack = find_pack(name)
    started_at = _lock_rule_set(session)
    installed = installed_slugs(session)
    made = [
        _insert(rule.definition, started_at, now, rule.slug)
        for rule in pack.rules
        if rule.slug not in installed and (chosen is None or rule.slug in chosen)
    ]
    for rule in made:
        rule.severity = (chosen or {}).get(rule.slug or "") or Severity(rule.severity)
    session.add_all(made)
    session.flush()
    return made


def health(session: Session, rule: Rule, settings: Settings) -> dict[str, Any]:
    """Return a rule's health: first and last evaluation, last match, errors, warnings and groups.

    Returns: one item for each of `HEALTH_FIELDS`.
    """
    groups = select(func.count()).where(RuleGroup.rule_id == rule.id, RuleGroup.epoch == rule.epoch)
    known, value = completeness.load_completeness(session, settings, utc_now()), rule_set.to_rule(rule)
    found = {
        "groups": session.scalar(groups) or 0,
        "left_out_accounts": known.left_out_accounts_of(value),
        "first_judged_at": due_minutes.first_judged_at(value, known.known_from(value)) if rule.enabled else None,
        "warnings": [asdict(warning) for warning in rule_checks.warnings(session, definition.from_row(rule), settings)],
    }
    return {name: getattr(rule, name) for name in HEALTH_FIELDS if name not in found} | found


def detail_json(session: Session, rule: Rule, settings: Settings) -> dict[str, Any]:
    """Serialize a rule with its health."""
    shown = rule_json(rule) | health(session, rule, settings)
    return {name: rfc3339(value) if isinstance(value, datetime) else value for name, value in shown.items()}


def _insert(parsed: RuleDefinition, started_at: datetime, now: datetime, slug: str | None = None) -> Rule:
    return Rule(**definition.columns(parsed), slug=slug, started_at=started_at, created_at=now, updated_at=now)


def _apply_edit(
    session: Session,
    rule: Rule,
    parsed: RuleDefinition,
    settings: Settings,
    now: datetime,
    *,
    allow_cycle: bool = False,
) -> Rule:
    """Apply an edit to a locked rule. Restart it if its meaning changed or it was enabled."""
    before = definition.from_row(rule)
    rule_checks.check(parsed, settings, before)
    rule_checks.check_dependencies(session, rule.id, parsed, allow_cycle=allow_cycle)
    changed = definition.meaning_changed(before, parsed)
    if before.enabled and not parsed.enabled:
        manual.resolve_rule_alerts(session, rule.id, ResolveReason.RULE_DISABLED, settings, now)
    elif changed:
        manual.resolve_rule_alerts(session, rule.id, ResolveReason.RULE_CHANGED, settings, now)
    else:
        alert_rows.recheck_notifications(session, rule.id, now)
    if changed or (parsed.enabled and not before.enabled):
        _restart(rule)
    for name, value in definition.columns(parsed).items():
        setattr(rule, name, value)
    rule.updated_at = now
    session.flush()
    return rule


def _restart(rule: Rule) -> None:
    """Restart a rule, as if it had just been created. The caller holds the rule set's lock."""
    rule.epoch += 1
    rule.started_at = utc_now()
    rule.last_error = rule.last_error_at = rule.failed_at = rule.judged_until = None
    rule.error_count, rule.groups_capped, rule.seeded = 0, False, False


def _lock_rule_set(session: Session) -> datetime:
    """Wait for running evaluations, then bump the version of the rule set.

    Returns: the time from which a rule that is created or changed now counts.
    """
    rule_set.bump_version(session)
    return utc_now()
