"""The timeline of an alert: its events, notes, silences and deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.api.console.access import Viewer
from app.api.console.links import link
from app.enums import ResolveReason, Scope
from app.models import Alert, AlertNote, Delivery
from app.services.alerts import silences

NOTICES = {"alert.firing": "Alert", "alert.update": "Reminder", "alert.resolved": "Resolve", "alert.digest": "Digest"}
"""The types of deliveries."""


def list_events(
    viewer: Viewer,
    alert: Alert,
    notes: Sequence[AlertNote],
    sent: Sequence[Delivery],
    held: Sequence[silences.Hold],
) -> list[dict[str, Any]]:
    """List the history, newest first: the alert's events, notes, silences and deliveries."""
    events: list[dict[str, Any]] = [
        {"at": alert.recorded_at, "kind": "bad", "sign": alert.severity, "what": "Fired", "detail": ""},
    ]
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
    if alert.resolved_at:
        events.append(_end_event(alert, alert.resolved_at))
    events += [_note_event(note) for note in notes]
    events += [_hold_event(hold) for hold in held]
    events += [_sent_event(delivery) for delivery in sent]
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
    reason = "by hand" if by_hand else (alert.resolve_reason or "").replace("_", " ")
    detail = "" if who else reason
    event = {"at": at, "kind": "ok", "sign": "check", "what": f"Resolved{who}", "detail": detail}
    return event | {"by": alert.acknowledged_by} if who else event


def _note_event(note: AlertNote) -> dict[str, Any]:
    event = {"at": note.at, "kind": "", "sign": "message", "what": f"{note.by} noted", "detail": note.note}
    return event | {"by": note.by}


def _hold_event(hold: silences.Hold) -> dict[str, Any]:
    return {
        "at": hold.span.begins_at,
        "kind": "",
        "sign": "bell-off",
        "what": f"Silenced by {hold.silence.created_by}",
        "by": hold.silence.created_by.partition(" (")[0],
        "detail": hold.silence.reason or "",
        "until": hold.span.ends_at,
    }


def _sent_event(delivery: Delivery) -> dict[str, Any]:
    kinds = {"succeeded": "ok", "failed": "bad"}
    return {
        "at": delivery.created_at,
        "kind": kinds.get(delivery.status, ""),
        "sign": "mail" if delivery.action_type == "email" else "send",
        "what": f"{NOTICES.get(delivery.type, delivery.type)} to {delivery.recipient}",
        "detail": delivery.status,
        "href": f"/deliveries/{delivery.id}",
    }
