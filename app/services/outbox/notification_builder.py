"""Builds the notifications of a transaction: each is a snapshot with the newest logs, the rule and the finding."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select, true
from sqlalchemy.orm import Session

from app.actions.base import Notification, Spread
from app.config import Settings
from app.enums import NotificationType
from app.models import Alert, Log, Match, Rule
from app.services.findings.comparison import MIN_LOGS
from app.services.findings.notices import Finding
from app.services.findings.samples import ComparedAlert
from app.services.outbox import spread
from app.services.outbox.notice import Notice
from app.services.rules.conditions.registry import read_condition
from app.services.serializers import log_json, rule_json, select_logs
from app.services.twilio.error_codes import describe
from app.utils.json_types import JsonObject
from app.utils.redact import mask_numbers

MAX_SHOWN_LOGS = 10


class NotificationBuilder:
    """Loads what the notifications of some notices show, in a few statements, and builds each."""

    def __init__(
        self,
        session: Session,
        notices: Sequence[Notice],
        findings: Mapping[UUID, Finding],
        settings: Settings,
        now: datetime,
    ) -> None:
        alert_ids = {each.alert_id for each in notices}
        self._settings, self._now, self._findings = settings, now, findings
        self._logs = _newest_logs(session, alert_ids, settings)
        self._rules = _rules(session, {each.rule_id for each in notices if each.rule_id}, settings)
        self._spreads = spread.spreads(session, alert_ids)
        self._names = _masked(spread.account_names(session, _accounts(notices, self._spreads)), settings)

    def build(self, notice: Notice, escalates_to: Sequence[tuple[str, str]]) -> Notification:
        """Build the notification of a notice.

        Args:    escalates_to: the names and times of the actions that are notified next.
        """
        rule = self._rules.get(notice.rule_id) if notice.rule_id else None
        code = describe(notice.shown["error"]["code"]) if notice.shown["error"] else None
        condition = read_condition(rule["condition"]) if rule else None
        about = self._about(notice)
        logs = [_masked(each, self._settings) for each in self._logs.get(notice.alert_id, [])]
        finding = self._findings.get(notice.alert_id)
        return Notification(
            type=notice.type,
            timestamp=self._now,
            alert=_masked(notice.shown | {"finding": finding.sentence if finding else None}, self._settings, about),
            rule=rule,
            logs=logs,
            base_url=self._settings.public_base_url,
            advice=code.next_step if code else "",
            advice_fits_one=bool(code and code.fits_one),
            condition_advice=condition.advice if condition else "",
            condition_facts=tuple(condition.facts(notice.shown, logs)) if condition else (),
            spread=self._spreads.get(notice.alert_id),
            account_names=self._names,
            escalates_to=[(_masked(name, self._settings), at) for name, at in escalates_to],
            timezone=((rule or {}).get("schedule") or {}).get("timezone", self._settings.notify_timezone),
        )

    def finding_label(self, notice: Notice) -> str | None:
        """Return the finding about the alert's logs in a few words; None if there is none."""
        finding = self._findings.get(notice.alert_id)
        return str(_masked(finding.label, self._settings, self._about(notice))) if finding else None

    def _about(self, notice: Notice) -> list[JsonObject]:
        """Return what has the own numbers of a notification: the alert, and its newest logs."""
        return [notice.shown, *self._logs.get(notice.alert_id, [])]


def comparable(notices: Sequence[Notice]) -> Iterator[ComparedAlert]:
    """Choose the alerts whose logs are worth comparing: open ones with enough logs."""
    for each in notices:
        if each.type != NotificationType.RESOLVED and each.rule_id and each.shown["occurrences"] >= MIN_LOGS:
            yield ComparedAlert(each.alert_id, each.rule_id, each.shown["group"])


def _rules(session: Session, ids: set[UUID], settings: Settings) -> dict[UUID, JsonObject]:
    return {
        rule.id: _masked(rule_json(rule), settings) for rule in session.scalars(select(Rule).where(Rule.id.in_(ids)))
    }


def _newest_logs(session: Session, alert_ids: set[UUID], settings: Settings) -> dict[UUID, list[JsonObject]]:
    """Find the newest logs that count towards each alert, in one statement."""
    newest = (
        select(Match.occurred_at, Match.log_id)
        .where(Match.alert_id == Alert.id)
        .order_by(Match.changed_at.desc(), Match.sid.desc())
        .limit(MAX_SHOWN_LOGS)
        .lateral("newest")
    )
    newest_matches = select(Alert.id.label("alert_id"), newest.c.occurred_at, newest.c.log_id)
    shown_logs = newest_matches.select_from(Alert).join(newest, true()).where(Alert.id.in_(alert_ids)).subquery("shown")
    query = select_logs().add_columns(shown_logs.c.alert_id)
    query = query.join(shown_logs, (Log.occurred_at == shown_logs.c.occurred_at) & (Log.id == shown_logs.c.log_id))
    found: dict[UUID, list[JsonObject]] = defaultdict(list)
    for row in session.execute(query.order_by(Log.changed_at.desc(), Log.sid.desc())):
        shown = log_json(row)
        if not settings.store_message_bodies and shown["log_type"] == "message":
            shown["text"] = None
        found[row.alert_id].append(shown)
    return found


def _accounts(notices: Sequence[Notice], spreads: Mapping[UUID, Spread]) -> set[str]:
    """Collect the accounts that notifications may name."""
    named = {
        sid for each in notices for sid in (each.shown["group"].get("account_sid"), *each.shown["left_out_accounts"])
    }
    return {sid for sid in named if isinstance(sid, str)} | {sid for each in spreads.values() for sid in each.accounts}


def _masked(shown: Any, settings: Settings, about: Any = None) -> Any:
    """Turn the shown values into plain JSON, with masked numbers if the settings ask for that.

    Args:    about: as for `mask_numbers`.
    """
    plain = orjson.loads(orjson.dumps(shown))
    return mask_numbers(plain, about) if settings.mask_numbers else plain
