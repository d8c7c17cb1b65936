"""Silences: which alerts are recorded and told to nobody, until when."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.enums import AlertStatus
from app.errors import FieldError, InvalidInput, NotFound
from app.models import Alert, Rule, Silence
from app.services.logs.doubts import unwatched
from app.services.paging import Page, Position, read_page
from app.services.rules.groups import OTHER_VALUE
from app.services.serializers import silence_json
from app.services.twilio.vocabulary import country_fault, log_types_of, value_doubts

SORT_KEY = (Silence.created_at, Silence.id)


def active_silences(session: Session, now: datetime) -> Sequence[Silence]:
    """List the silences that hold alerts now."""
    return session.scalars(select(Silence).where(Silence.starts_at <= now, Silence.ends_at > now)).all()


def is_silenced(silences: Sequence[Silence], rule_id: UUID | None, group: Mapping[str, Any]) -> bool:
    """Say whether one of these silences holds the alerts of a rule and group."""
    return any(_covers(silence, rule_id, group) for silence in silences)


def _covers(silence: Silence, rule_id: UUID | None, group: Mapping[str, Any]) -> bool:
    """A group is held where it has all the pairs of the silence; a number and its text are not the same."""
    pairs = (name in group and group[name] == value for name, value in silence.group.items())
    return (silence.rule_id is None or silence.rule_id == rule_id) and all(pairs)


def within(session: Session, since: datetime, until: datetime) -> Sequence[Silence]:
    """List the silences that hold alerts at some time of a span."""
    return session.scalars(select(Silence).where(Silence.starts_at < until, Silence.ends_at > since)).all()


def cover(
    silences: Sequence[Silence], rule_id: UUID | None, group: Mapping[str, Any], since: datetime, until: datetime
) -> bool:
    """Say whether silences hold the alerts of a rule and group without a break from `since` to `until`."""
    free_from = since
    for silence in sorted(silences, key=lambda silence: silence.starts_at):
        if silence.starts_at <= free_from < silence.ends_at and _covers(silence, rule_id, group):
            free_from = silence.ends_at
    return free_from > until or free_from == until > since


def create(
    session: Session,
    rule_id: UUID | None,
    group: dict[str, Any],
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    created_by: str,
    now: datetime,
) -> Silence:
    """Make a silence; the alerts it holds are marked at the next tick.

    Raises: InvalidInput where there is no such rule, or the end is not after the start and the present.
    """
    errors = []
    group = dict(group)
    if isinstance(country := group.get("to_country"), str) and country != OTHER_VALUE:
        group["to_country"] = country.upper()
        if (why := country_fault(country.upper())) is not None:
            errors.append(FieldError("group", f"to_country {why}"))
    if rule_id is not None and session.get(Rule, rule_id) is None:
        errors.append(FieldError("rule_id", "there is no such rule; null holds every rule"))
    if ends_at <= starts_at:
        errors.append(FieldError("ends_at", "must be after starts_at"))
    elif ends_at <= now:
        errors.append(FieldError("ends_at", "must lie in the future"))
    if errors:
        raise InvalidInput(errors)
    silence = Silence(
        rule_id=rule_id,
        group=group,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        created_by=created_by,
        created_at=now,
    )
    session.add(silence)
    session.flush()
    return silence


def warnings(session: Session, silence: Silence) -> list[FieldError]:
    """List the pairs of a silence's group that no alert is known ever to have."""
    rule = None if silence.rule_id is None else session.get(Rule, silence.rule_id)
    log_types = log_types_of("any" if rule is None else rule.log_type)
    pairs = [(name, value) for name, value in silence.group.items() if value is not None and value != OTHER_VALUE]
    found = [doubt for name, value in pairs for doubt in value_doubts(f"group.{name}", name, [value], log_types)]
    return [*found, *unwatched(session, "group.account_sid", [value for name, value in pairs if name == "account_sid"])]


def get(session: Session, silence_id: UUID) -> Silence:
    """Return a silence.

    Raises: NotFound.
    """
    silence = session.get(Silence, silence_id)
    if silence is None:
        raise NotFound(f"there is no silence {silence_id}")
    return silence


def list_silences(session: Session, position: Position | None, limit: int) -> Page[Silence]:
    """List silences, newest first, ended ones included."""
    return read_page(session, select(Silence), SORT_KEY, position, limit)


def delete(session: Session, silence_id: UUID) -> None:
    """End a silence at once; what it held is told at the next tick if it still fires.

    Raises: NotFound.
    """
    session.delete(get(session, silence_id))
    session.flush()


def to_json(session: Session, silences: Sequence[Silence], now: datetime) -> list[dict[str, Any]]:
    """Serialize silences, each with the open alerts that it holds now."""
    held = silenced_alerts(session, silences, now)
    warned = {silence.id: [asdict(warning) for warning in warnings(session, silence)] for silence in silences}
    return [
        silence_json(silence, held[silence.id]) | ({"warnings": found} if (found := warned[silence.id]) else {})
        for silence in silences
    ]


def silenced_alerts(session: Session, silences: Sequence[Silence], now: datetime) -> dict[UUID, list[str]]:
    """List the open alerts that each silence holds now, by silence."""
    rows = session.execute(
        select(Alert.id, Alert.rule_id, Alert.group).where(Alert.status != AlertStatus.RESOLVED).order_by(Alert.number)
    ).all()
    return {
        silence.id: [str(alert_id) for alert_id, rule_id, group in rows if _covers(silence, rule_id, group)]
        if silence.starts_at <= now < silence.ends_at
        else []
        for silence in silences
    }
