"""The timeline of an alert: its events, notes, silences and deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.actions.facts import REASONS
from app.api.console import texts
from app.api.console.access import Viewer
from app.api.console.links import link
from app.enums import ResolveReason, Scope
from app.models import Alert, AlertNote, Delivery
from app.services.alerts import silences
from app.utils.quantities import counted

PROGRESS = {"succeeded": "sent", "failed": "failed", "folded": "in a digest"}
"""What became of a delivery, in words."""


def list_events(
    viewer: Viewer,
    alert: Alert,
    notes: Sequence[AlertNote],
    sent: Sequence[Delivery],
    active: Sequence[silences.ActiveSilence],
) -> list[dict[str, Any]]:
    """List the history, newest first: the alert's events, notes, silences and deliveries."""
    # Of equal times the earlier event stands later: a delivery follows what it is about.
    events = [_sent_event(delivery, alert) for delivery in sent]
    events += [_silence_event(each) for each in active]
    events += [_note_event(note) for note in notes]
    if alert.resolved_at:
        events.append(_end_event(alert, alert.resolved_at))
    if alert.acknowledged_at:
        events.append(
            {
                "at": alert.acknowledged_at,
                "kind": "",
                "sign": "eye",
                "what": f"Acknowledged by {alert.acknowledged_by}",
                "by": alert.acknowledged_by,
                "detail": "" if alert.note in {note.note for note in notes} else alert.note or "",
            }
        )
    events.append({"at": alert.recorded_at, "kind": "bad", "sign": alert.severity, "what": "Fired", "detail": ""})
    newest_first = sorted(events, key=lambda event: event["at"], reverse=True)
    return [_with_person(event, viewer) for event in newest_first]


def _with_person(event: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    """Link a person to their entries in the audit, for viewers who may see it."""
    by = event.get("by")
    return event | {"href": link("/audit", by=by)} if by and viewer.may(Scope.ADMIN) else event


def _end_event(alert: Alert, at: datetime) -> dict[str, Any]:
    """Describe why it ended. Without an acknowledgement, `acknowledged_by` is who resolved it manually."""
    by_hand = alert.resolve_reason == ResolveReason.MANUAL
    who = f" by {alert.acknowledged_by}" if by_hand and alert.acknowledged_by and not alert.acknowledged_at else ""
    reason = "by hand" if by_hand else REASONS.get(alert.resolve_reason or "", "")
    detail = "" if who else reason
    event = {"at": at, "kind": "ok", "sign": "check", "what": f"Resolved{who}", "detail": detail}
    return event | {"by": alert.acknowledged_by} if who else event


def _note_event(note: AlertNote) -> dict[str, Any]:
    event = {"at": note.at, "kind": "", "sign": "message", "what": f"{note.by} noted", "detail": note.note}
    return event | {"by": note.by}


def _silence_event(active: silences.ActiveSilence) -> dict[str, Any]:
    return {
        "at": active.span.begins_at,
        "kind": "",
        "sign": "bell-off",
        "what": f"Silenced by {active.silence.created_by}",
        "by": active.silence.created_by.partition(" (")[0],
        "detail": active.silence.reason or "",
        "until": active.span.ends_at,
    }


def _sent_event(delivery: Delivery, alert: Alert) -> dict[str, Any]:
    # It was created in the transaction that changed the alert, before the time of the change was taken.
    cause = (alert.resolved_at if delivery.type == "alert.resolved" else None) or alert.recorded_at
    kinds = {"succeeded": "ok", "failed": "bad"}
    return {
        "at": max(delivery.created_at, cause),
        "kind": kinds.get(delivery.status, ""),
        "sign": "mail" if delivery.action_type == "email" else "send",
        "what": f"{texts.notice(delivery.type)} to {delivery.recipient}",
        "detail": _progress(delivery),
        "href": f"/deliveries/{delivery.id}",
    }


def _progress(delivery: Delivery) -> str:
    """Describe what became of a delivery so far."""
    if delivery.held_by:
        return "held"
    if delivery.status == "pending" and delivery.attempt_count:
        return f"failed {counted(delivery.attempt_count, 'time', 'times')}, is tried again"
    return PROGRESS.get(delivery.status, "waits to be sent")
