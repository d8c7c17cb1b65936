"""Creates, edits, deletes and tests actions. A config holds secrets: it is stored encrypted and shown masked."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.actions.base import ActionKind
from app.actions.registry import kind_for
from app.config import Settings
from app.database import session_scope
from app.enums import ActionType, Severity
from app.errors import Conflict, FieldError, InvalidInput, NotFound
from app.models import Action, Rule
from app.services import audit
from app.services.outbox import dispatch, report_schedule
from app.services.outbox.action_config import config_or_empty
from app.services.outbox.cancellation import OTHER_KIND, fail_all, fail_pending
from app.services.outbox.claim import DISABLED, claim_ids
from app.services.outbox.enqueue import lock_notices, make_test
from app.services.outbox.report_schedule import ReportSchedule
from app.services.paging import Page, Position, read_page
from app.utils.clock import rfc3339
from app.utils.crypto import Undecryptable, encrypt
from app.utils.json_types import JsonObject

READ_ONLY_FIELDS = frozenset({"id", "created_at", "updated_at", "disabled_reason"})
MAX_AFTER_MINUTES = 525_600
MAX_BUNDLE_SECONDS = 3600
SORT_KEY = (Action.created_at, Action.id)


class ActionBody(BaseModel):
    """The body of an action. Its kind validates `config`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rule_id: Annotated[UUID, Field(strict=False)] | None = None
    action_type: Annotated[ActionType, Field(strict=False)]
    enabled: bool = True
    min_severity: Annotated[Severity, Field(strict=False)] = Severity.INFO
    notify_on: Annotated[list[Literal["firing", "update", "resolved"]], Field(min_length=1, max_length=3)] = [
        "firing",
        "update",
        "resolved",
    ]
    after_minutes: Annotated[int, Field(ge=0, le=MAX_AFTER_MINUTES)] = 0
    bundle_seconds: Annotated[int, Field(ge=0, le=MAX_BUNDLE_SECONDS)] = 0
    config: dict[str, Any]
    report: ReportSchedule | None = None


def _parse(body: object) -> ActionBody:
    """Read a body.

    Raises: InvalidInput, each field named by its path, no value echoed.
    """
    try:
        parsed = ActionBody.model_validate(body)
    except ValidationError as error:
        raise InvalidInput.from_validation(error) from None
    if len(set(parsed.notify_on)) != len(parsed.notify_on):
        raise InvalidInput([FieldError("notify_on", "must not contain a value twice")])
    for name in ("after_minutes", "bundle_seconds"):
        if getattr(parsed, name) and "firing" not in parsed.notify_on:
            raise InvalidInput([FieldError("notify_on", f"must contain firing if {name} is more than 0")])
    return parsed


def create(session: Session, body: object, settings: Settings, now: datetime) -> tuple[Action, JsonObject]:
    """Create an action.

    Returns: the action, and its config as the response shows it: a new secret in clear, this once.
    Raises:  InvalidInput, also if it names a rule that does not exist.
    """
    parsed = _parse(body)
    _check_rule(session, parsed.rule_id)
    kind = kind_for(parsed.action_type)
    config = kind.check(parsed.config)
    _check_report(kind, parsed, config)
    action = Action(**_columns(parsed, config, settings), disabled_reason=None, created_at=now, updated_at=now)
    _schedule_report(action, parsed.report, now, restart=True)
    session.add(action)
    session.flush()
    return action, _masked(action, config, {})


def replace(
    session: Session, action_id: UUID, body: object, settings: Settings, now: datetime
) -> tuple[Action, JsonObject]:
    """Replace an action. A masked secret in the body keeps the stored one.

    Returns: as `create`; a secret is in clear only if it is a new one.
    Raises:  NotFound, InvalidInput.
    """
    action = get(session, action_id, lock=True)
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in READ_ONLY_FIELDS}
    return _write(session, action, _parse(body), settings, now)


def patch(
    session: Session, action_id: UUID, body: object, settings: Settings, now: datetime
) -> tuple[Action, JsonObject]:
    """Update some fields of an action. `config` is replaced as a whole.

    Returns: as `replace`.
    Raises:  NotFound, InvalidInput.
    """
    action = get(session, action_id, lock=True)
    if not isinstance(body, dict):
        raise InvalidInput([FieldError("body", "must be a JSON object")])
    present = body_of(action, masked_config(action, settings))
    return _write(session, action, _parse(present | body), settings, now)


def _write(
    session: Session, action: Action, parsed: ActionBody, settings: Settings, now: datetime
) -> tuple[Action, JsonObject]:
    _check_rule(session, parsed.rule_id if parsed.rule_id != action.rule_id else None)
    kind = kind_for(parsed.action_type)
    same_kind = parsed.action_type == action.action_type
    stored = config_or_empty(action, settings) if same_kind else {}
    sent = kind.unmask(parsed.config, stored) if stored else parsed.config
    # The stored config was validated when it was written, and validating one Apprise URL takes a process.
    config = sent if sent == stored else kind.check(sent)
    _check_report(kind, parsed, config)
    was_enabled = action.enabled
    written = kind.carry_over(config, stored, now) if stored else config
    for name, value in _columns(parsed, written, settings).items():
        setattr(action, name, value)
    _schedule_report(action, parsed.report, now, restart=not was_enabled)
    if action.enabled:
        action.disabled_reason = None
        # An edit may have fixed the action: earlier failures must not delay it.
        action.failures_in_a_row, action.probe_at, action.failing_since = 0, None, None
    action.updated_at = now
    session.flush()
    if not same_kind:
        fail_all(session, action.id, now, OTHER_KIND)
    if not action.enabled:
        fail_pending(session, action.id, DISABLED, now)
    return action, _masked(action, config, stored)


def _masked(action: Action, config: JsonObject, stored: JsonObject) -> JsonObject:
    """Mask a config, except a new secret."""
    new = "secret" in config and config["secret"] != stored.get("secret")
    return kind_for(ActionType(action.action_type)).mask(config) | ({"secret": config["secret"]} if new else {})


def _columns(parsed: ActionBody, config: JsonObject, settings: Settings) -> JsonObject:
    return parsed.model_dump(exclude={"report"}) | {
        "config": encrypt(settings.secret_keys, orjson.dumps(config).decode()),
    }


def _check_report(kind: ActionKind, parsed: ActionBody, config: JsonObject) -> None:
    if parsed.report is not None and (refusal := kind.no_reports(config)) is not None:
        raise InvalidInput([FieldError("report", refusal)])


def _schedule_report(action: Action, wanted: ReportSchedule | None, now: datetime, *, restart: bool) -> None:
    """Set when the next report is due. A report that is due stays due unless the schedule changes.

    Args:    restart: the action is new, or was disabled.
    """
    stored = None if wanted is None else wanted.model_dump()
    if wanted is None or not action.enabled:
        action.report_due_at = action.report_waits_until = None
    elif restart or stored != action.report or action.report_due_at is None:
        action.report_due_at, action.report_waits_until = report_schedule.next_due(wanted, now), None
    action.report = stored


def _check_rule(session: Session, rule_id: UUID | None) -> None:
    if rule_id is not None and session.get(Rule, rule_id) is None:
        raise InvalidInput([FieldError("rule_id", "there is no such rule; use null for all rules")])


def delete(session: Session, action_id: UUID, now: datetime) -> None:
    """Delete an action. Its pending deliveries fail; each records the reason.

    Raises: NotFound.
    """
    action = get(session, action_id, lock=True)
    fail_all(session, action_id, now)
    session.delete(action)
    session.flush()


def list_actions(session: Session, position: Position | None, limit: int) -> Page[Action]:
    """List actions, newest first."""
    return read_page(session, select(Action), SORT_KEY, position, limit)


def get(session: Session, action_id: UUID, *, lock: bool = False) -> Action:
    """Return an action. `lock` locks it and the creation of deliveries until the transaction ends.

    Raises: NotFound.
    """
    if lock:
        lock_notices(session)
    query = select(Action).where(Action.id == action_id)
    action = session.scalar(query.with_for_update() if lock else query)
    if action is None:
        raise NotFound(f"there is no action {action_id}")
    return action


def lock_all(session: Session) -> None:
    """Lock all actions and the creation of deliveries until the transaction ends, for edits of several."""
    lock_notices(session)
    query = select(Action).order_by(Action.id).with_for_update()
    session.scalars(query, execution_options={"populate_existing": True}).all()


def body_of(action: Action, config: JsonObject) -> JsonObject:
    """Return the fields of an action's body, in their order."""
    return {name: getattr(action, name) for name in ActionBody.model_fields} | {"config": config}


def to_json(action: Action, settings: Settings, config: JsonObject | None = None) -> JsonObject:
    """Serialize an action with its secrets masked; `config` replaces the masked one."""
    return {
        "id": str(action.id),
        **body_of(action, masked_config(action, settings) if config is None else config),
        "rule_id": None if action.rule_id is None else str(action.rule_id),
        "disabled_reason": action.disabled_reason,
        "created_at": rfc3339(action.created_at),
        "updated_at": rfc3339(action.updated_at),
    }


def to_audit_json(action: Action, settings: Settings) -> JsonObject:
    """Serialize an action for the audit: each masked secret has a fingerprint, if the config can be read."""
    shown = to_json(action, settings)
    clear = config_or_empty(action, settings)
    if not clear:
        return shown
    return shown | {"config": audit.fingerprinted(settings.secret_keys, clear, shown["config"])}


def masked_config(action: Action, settings: Settings) -> JsonObject:
    """Return the config as the API shows it; empty if it cannot be decrypted or read."""
    config = config_or_empty(action, settings)
    return kind_for(ActionType(action.action_type)).mask(config) if config else {}


def masked_recipients(action: Action, settings: Settings) -> list[str]:
    """List the recipients as deliveries show them; none if the config cannot be decrypted or read."""
    config = config_or_empty(action, settings)
    return kind_for(ActionType(action.action_type)).recipients(config) if config else []


def send_test(action_id: UUID, settings: Settings, now: datetime) -> list[UUID]:
    """Send a test through an action now, even a disabled one.

    Returns: the ids of its deliveries, each with one attempt made.
    Raises:  NotFound, Conflict if its config cannot be decrypted.
    """
    with session_scope() as session:
        try:
            ids = make_test(session, get(session, action_id), settings, now)
        except Undecryptable as error:
            raise Conflict(f"the action cannot be tried: {error}") from None
        claimed = claim_ids(session, ids, now)
        session.expunge_all()
    with asyncio.Runner() as runner:
        dispatch.deliver_claimed(settings, runner, claimed)
    return ids
