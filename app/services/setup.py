"""First setup: finds what is missing before an alert can notify anyone, and creates it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, and_, exists, false, func, select
from sqlalchemy.orm import Session

from app.actions.registry import kind_for
from app.config import Settings
from app.enums import ActionType
from app.errors import ConfigError
from app.models import Account, Action, Delivery, PushedRecord, Rule, Stream
from app.services import audit, rule_admin
from app.services.outbox import actions, deliveries
from app.services.outbox.action_config import config_or_empty
from app.services.rules import packs
from app.utils.quantities import counted

COMMAND = "python -m app setup"
DEFAULT_PACK = "delivery"


@dataclass(frozen=True)
class Wanted:
    """What to create."""

    packs: tuple[str, ...] = ()
    mail: tuple[str, ...] = ()
    """Addresses that share one email action."""
    slack: str | None = None
    """URL of an incoming webhook."""


def missing(session: Session) -> list[str]:
    """List what is missing before an alert can fire and notify someone."""
    has_rule = session.scalar(select(exists().where(Rule.enabled)))
    has_action = session.scalar(select(exists().where(Action.enabled)))
    return ([] if has_rule else ["no rule is enabled: only GiftPulse's own problems alert"]) + (
        [] if has_action else ["no action is enabled: nobody is notified, not even that Twilio cannot be read"]
    )


@dataclass(frozen=True)
class FirstSteps:
    """How far a new installation has come, from what is stored."""

    accounts: int
    """Enabled ones."""
    is_read: bool
    """Every stream that can be read was, with the account's present credentials."""
    rules: int
    """Enabled ones."""
    actions: int
    """Enabled ones."""
    is_notified: bool
    """Something reached a receiver."""
    sends_mail: bool
    """Some action sends mail."""
    is_pushed: bool
    """A callback of Twilio is stored; applied ones are kept for a day, pending ones for 36."""


def first_steps(session: Session) -> FirstSteps:
    """Read how far the installation has come, in one statement."""
    tried_at = func.coalesce(Account.credentials_at, Account.started_at)
    was_read = func.coalesce(Stream.last_success_at >= tried_at, false())
    is_unread = exists().where(Stream.account_id == Account.id, Stream.unavailable.is_(False), ~was_read)
    found = session.execute(
        select(
            _count(Account),
            and_(exists().where(Account.enabled), ~exists().where(Account.enabled, is_unread)),
            _count(Rule),
            _count(Action),
            exists().where(Delivery.action_id == Action.id, Action.enabled, Delivery.status == "succeeded"),
            exists().where(Action.action_type == ActionType.EMAIL),
            exists(select(PushedRecord.id)),
        )
    ).one()
    return FirstSteps(*found)


def _count(table: type[Account | Rule | Action]) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).where(table.enabled).scalar_subquery()


def check(wanted: Wanted, settings: Settings) -> None:
    """Check everything that is wanted before anything is created.

    Raises: NotFound for a pack, InvalidInput for an address, ConfigError if no mail server is set.
    """
    if wanted.mail and settings.smtp_host is None:
        raise ConfigError("mail needs a server: set SMTP_HOST and SMTP_FROM, restart, and run setup again")
    for pack in wanted.packs:
        packs.find_pack(pack)
    for action_type, config, _ in _configs(wanted):
        kind_for(action_type).check(config)


def prepare(
    session: Session, wanted: Wanted, settings: Settings, by: str, now: datetime
) -> tuple[list[str], list[UUID]]:
    """Create everything that is wanted and missing. Repeating it changes nothing.

    Returns: one line per item, and the ids of the matching actions.
    Raises:  NotFound for a pack, InvalidInput for an address, ConfigError if no mail server is set.
    """
    check(wanted, settings)
    lines = []
    for pack in wanted.packs:
        made = rule_admin.install_pack(session, pack, now)
        for rule in made:
            audit.record(session, by, "rule.create", f"rule:{rule.id}", None, {"name": rule.name}, now)
        lines.append(
            f"rule pack {pack}: {counted(len(made), 'rule')} created" if made else f"rule pack {pack}: its rules exist"
        )
    serving = []
    for action_type, config, what in _configs(wanted):
        action_id = _find(session, action_type, config, settings)
        lines.append(f"{what}: {'exists' if action_id else 'created'}")
        if action_id is None:
            action, _ = actions.create(session, {"action_type": action_type, "config": config}, settings, now)
            audit.record(
                session, by, "action.create", f"action:{action.id}", None, actions.to_audit_json(action, settings), now
            )
            action_id = action.id
        serving.append(action_id)
    return lines, serving


def _configs(wanted: Wanted) -> Iterator[tuple[ActionType, dict[str, Any], str]]:
    if wanted.mail:
        config = {"recipients": list(wanted.mail), "template": "error_notification"}
        yield ActionType.EMAIL, config, f"email to {len(wanted.mail)} recipients"
    if wanted.slack:
        yield ActionType.WEBHOOK, {"url": wanted.slack, "format": "slack"}, "message to Slack"


def _find(session: Session, action_type: ActionType, config: dict[str, Any], settings: Settings) -> UUID | None:
    """Find an enabled action that serves every rule and has these config values."""
    query = select(Action).where(Action.enabled, Action.rule_id.is_(None), Action.action_type == action_type)
    for action in session.scalars(query.order_by(Action.created_at)):
        stored = config_or_empty(action, settings)
        if all(stored.get(name) == value for name, value in config.items()):
            return action.id
    return None


def outcomes(session: Session, delivery_ids: list[UUID]) -> list[tuple[str, bool]]:
    """Return the result of each test delivery: a line, and whether it arrived."""
    attempts = deliveries.attempts_of_all(session, delivery_ids)
    lines = []
    for delivery in session.scalars(
        select(Delivery).where(Delivery.id.in_(delivery_ids)).order_by(Delivery.created_at)
    ):
        tried = attempts.get(delivery.id)
        error = tried[-1].error if tried else None
        arrived = delivery.status == "succeeded"
        lines.append((f"test: {'was accepted' if arrived else f'failed: {error}'}", arrived))
    return lines
