"""Silences: they withhold the notifications of matching alerts for a time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.enums import OTHER_VALUE, AlertStatus
from app.errors import FieldError, InvalidInput, NotFound
from app.models import Alert, Rule, Silence
from app.services.alerts.recurrence import ActiveSpan, Validity, is_active, next_start, spans
from app.services.logs.filter_warnings import warn_of_accounts, watched_accounts
from app.services.paging import Page, Position, read_page
from app.services.serializers import silence_json
from app.services.twilio.vocabulary import country_error, log_types_of, value_warnings
from app.utils.clock import rfc3339_or_none

SORT_KEY = (Silence.created_at, Silence.id)


def active_silences(session: Session, now: datetime) -> Sequence[Silence]:
    """List the silences that are active now."""
    found = session.scalars(select(Silence).where(Silence.starts_at <= now, _ends_after(now)))
    return [silence for silence in found if is_active(validity(silence), now)]


class ActiveSilence(NamedTuple):
    """A silence that matches an alert now."""

    silence: Silence
    span: ActiveSpan
    """Its current active span."""


def silences_of_alert(session: Session, alert: Alert, now: datetime) -> Sequence[ActiveSilence]:
    """List the active silences that match an alert, even before the next tick marks it."""
    covering = [each for each in active_silences(session, now) if _matches(each, alert.rule_id, alert.group)]
    moment = timedelta(microseconds=1)
    return [
        ActiveSilence(silence, span)
        for silence in covering
        for span in spans(validity(silence), now, now + moment)
        if span.begins_at <= now and (span.ends_at is None or span.ends_at > now)
    ]


def validity(silence: Silence) -> Validity:
    """Return when a silence is active."""
    return Validity(silence.starts_at, silence.ends_at, silence.repeat)


def _ends_after(at: datetime) -> ColumnElement[bool]:
    return Silence.ends_at.is_(None) | (Silence.ends_at > at)


def not_ended(session: Session, now: datetime) -> Sequence[Silence]:
    """List the silences that have not ended, in the order of their creation."""
    query = select(Silence).where(_ends_after(now))
    return session.scalars(query.order_by(Silence.created_at, Silence.id)).all()


def is_silenced(silences: Sequence[Silence], rule_id: UUID | None, group: Mapping[str, Any]) -> bool:
    """Return whether one of these silences matches the alerts of a rule and group."""
    return any(_matches(silence, rule_id, group) for silence in silences)


def _matches(silence: Silence, rule_id: UUID | None, group: Mapping[str, Any]) -> bool:
    """A silence matches a group that has all its pairs. A number and its text differ."""
    pairs = (name in group and group[name] == value for name, value in silence.group.items())
    return (silence.rule_id is None or silence.rule_id == rule_id) and all(pairs)


def overlapping(session: Session, since: datetime, until: datetime) -> Sequence[Silence]:
    """List the silences whose validity overlaps a span."""
    return session.scalars(select(Silence).where(Silence.starts_at < until, _ends_after(since))).all()


def silenced_throughout(
    silences: Sequence[Silence], rule_id: UUID | None, group: Mapping[str, Any], since: datetime, until: datetime
) -> bool:
    """Return whether silences match the alerts of a rule and group without a break from `since` to `until`."""
    covering = [validity(silence) for silence in silences if _matches(silence, rule_id, group)]
    last = until + timedelta(microseconds=1)
    free_from = since
    found = (span for each in covering for span in spans(each, since, last))
    for span in sorted(found, key=lambda span: span.begins_at):
        if span.ends_at is None:
            return span.begins_at <= free_from
        if span.begins_at <= free_from < span.ends_at:
            free_from = span.ends_at
    return free_from > until or free_from == until > since


def create(
    session: Session,
    rule_id: UUID | None,
    group: dict[str, Any],
    wanted: Validity,
    reason: str,
    created_by: str,
    now: datetime,
) -> Silence:
    """Create a silence. The next tick marks the alerts that it silences.

    Raises: InvalidInput if there is no such rule, no such country, or it would never be active or never end.
    """
    silence = draft(session, rule_id, group, wanted, now)
    silence.reason, silence.created_by, silence.created_at = reason, created_by, now
    session.add(silence)
    session.flush()
    return silence


def draft(session: Session, rule_id: UUID | None, group: dict[str, Any], wanted: Validity, now: datetime) -> Silence:
    """Validate a silence and build it without storing it.

    Raises: as `create`.
    """
    errors = []
    group = dict(group)
    if isinstance(country := group.get("to_country"), str) and country != OTHER_VALUE:
        group["to_country"] = country.upper()
        if (why := country_error(country.upper())) is not None:
            errors.append(FieldError("group", f"to_country {why}"))
    if rule_id is not None and session.get(Rule, rule_id) is None:
        errors.append(FieldError("rule_id", "there is no such rule; use null for all rules"))
    errors += _time_errors(wanted, now)
    if errors:
        raise InvalidInput(errors)
    return Silence(
        rule_id=rule_id, group=group, starts_at=wanted.starts_at, ends_at=wanted.ends_at, repeat=wanted.repeat
    )


def _time_errors(wanted: Validity, now: datetime) -> list[FieldError]:
    """Return why a silence would never be active or never end."""
    if wanted.ends_at is None:
        needed = "is required without repeat: the silence would never end"
        return [] if wanted.repeat is not None else [FieldError("ends_at", needed)]
    if wanted.ends_at <= wanted.starts_at:
        return [FieldError("ends_at", "must be after starts_at")]
    if wanted.ends_at <= now:
        return [FieldError("ends_at", "must be in the future")]
    if wanted.repeat is not None and not is_active(wanted, now) and next_start(wanted, now) is None:
        return [FieldError("repeat", "is never active from now until ends_at")]
    return []


def list_warnings(session: Session, silences: Sequence[Silence]) -> dict[UUID, list[FieldError]]:
    """List the values in the groups of silences that no alert has, by silence.

    Twilio does not use such a value, or the account is not watched.
    """
    of_rules = {silence.rule_id for silence in silences if silence.rule_id is not None}
    rows = session.execute(select(Rule.id, Rule.log_type).where(Rule.id.in_(of_rules))).all() if of_rules else []
    log_types: dict[UUID | None, str] = {row[0]: row[1] for row in rows}
    watched = watched_accounts(session, {sid for each in silences for sid in _named_values(each, "account_sid")})
    return {each.id: _warnings(each, log_types.get(each.rule_id, "any"), watched) for each in silences}


def _warnings(silence: Silence, log_type: str, watched: Collection[str]) -> list[FieldError]:
    found = [
        warning
        for name in silence.group
        for warning in value_warnings(f"group.{name}", name, _named_values(silence, name), log_types_of(log_type))
    ]
    return [*found, *warn_of_accounts("group.account_sid", _named_values(silence, "account_sid"), watched)]


def _named_values(silence: Silence, name: str) -> list[Any]:
    """Return the value of a field in a silence's group; empty if it names none."""
    value = silence.group.get(name)
    return [] if value is None or value == OTHER_VALUE else [value]


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
    """Delete a silence. The next tick notifies of alerts that still fire.

    Raises: NotFound.
    """
    session.delete(get(session, silence_id))
    session.flush()


def to_json(session: Session, silences: Sequence[Silence], now: datetime) -> list[dict[str, Any]]:
    """Serialize silences, each with the open alerts that it silences now."""
    silenced = silenced_alerts(session, silences, now)
    times = {
        silence.id: {
            "active": is_active(validity(silence), now),
            "next_start": rfc3339_or_none(next_start(validity(silence), now)),
        }
        for silence in silences
    }
    warnings = list_warnings(session, silences)
    return [
        silence_json(silence, silenced[silence.id])
        | times[silence.id]
        | ({"warnings": [asdict(each) for each in found]} if (found := warnings[silence.id]) else {})
        for silence in silences
    ]


def silenced_alerts(session: Session, silences: Sequence[Silence], now: datetime) -> dict[UUID, list[str]]:
    """List the open alerts that each silence silences now, by silence."""
    rows = session.execute(
        select(Alert.id, Alert.rule_id, Alert.group).where(Alert.status != AlertStatus.RESOLVED).order_by(Alert.number)
    ).all()
    return {
        silence.id: [str(alert_id) for alert_id, rule_id, group in rows if _matches(silence, rule_id, group)]
        if is_active(validity(silence), now)
        else []
        for silence in silences
    }


def alert_summaries(session: Session, silenced: Mapping[UUID, Sequence[str]]) -> dict[str, str]:
    """Return the summaries of silenced alerts, by id."""
    ids = {UUID(each) for alerts in silenced.values() for each in alerts}
    return {
        str(found): text for found, text in session.execute(select(Alert.id, Alert.summary).where(Alert.id.in_(ids)))
    }


def alerts_matched_by(session: Session, silence: Silence) -> Sequence[Alert]:
    """List the open alerts that a silence would match while active, newest first."""
    query = select(Alert).where(Alert.status != AlertStatus.RESOLVED).order_by(Alert.started_at.desc(), Alert.id.desc())
    if silence.rule_id is not None:
        query = query.where(Alert.rule_id == silence.rule_id)
    return [alert for alert in session.scalars(query) if _matches(silence, alert.rule_id, alert.group)]
