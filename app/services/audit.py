"""The audit: one entry per change, written in the transaction that made it. Secrets appear only as fingerprints."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import AuditEntry
from app.services.paging import Page, Position, read_page
from app.utils.json_types import JsonObject

FINGERPRINT_LENGTH = 12
SORT_KEY = (AuditEntry.at, AuditEntry.id)


def record(
    session: Session,
    by: str,
    action: str,
    target: str,
    before: JsonObject | None,
    after: JsonObject | None,
    now: datetime,
    request_id: str | None = None,
) -> None:
    """Add an entry.

    Args:
        by: the name of the API key, or another author of the change.
        action, target: for example `rule.update` and `rule:` plus its id.
        before, after: JSON values without secrets; null if the object did not exist.
    """
    session.add(
        AuditEntry(at=now, by=by, action=action, target=target, before=before, after=after, request_id=request_id)
    )
    session.flush()


@dataclass(frozen=True)
class AuditFilter:
    """A selection of entries. An empty tuple or None matches all."""

    target: str | None = None
    """For example `rule:` plus its id."""
    by: str | None = None
    """A person's name, with or without the prefix of their key."""
    kind: tuple[str, ...] = ()
    """Kinds of objects, such as `rule`."""
    since: datetime | None = None
    """Inclusive."""
    until: datetime | None = None
    """Exclusive."""


def list_entries(session: Session, wanted: AuditFilter, position: Position | None, limit: int) -> Page[AuditEntry]:
    """List entries, newest first."""
    query = select(AuditEntry)
    if wanted.target is not None:
        query = query.where(AuditEntry.target == wanted.target)
    if wanted.by is not None:
        query = query.where((AuditEntry.by == wanted.by) | AuditEntry.by.startswith(f"{wanted.by} (", autoescape=True))
    if wanted.kind:
        query = query.where(func.split_part(AuditEntry.target, ":", 1).in_(wanted.kind))
    if wanted.since is not None:
        query = query.where(AuditEntry.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditEntry.at < wanted.until)
    return read_page(session, query, SORT_KEY, position, limit)


def history(session: Session, target: str) -> Sequence[AuditEntry]:
    """List the changes of one object, the oldest first."""
    return session.scalars(select(AuditEntry).where(AuditEntry.target == target).order_by(AuditEntry.id)).all()


def last_change(session: Session, target: str) -> AuditEntry | None:
    """Return the newest entry of an object; None if there is none."""
    query = select(AuditEntry).where(AuditEntry.target == target)
    return session.scalar(query.order_by(AuditEntry.id.desc()).limit(1))


def find_deletion(session: Session, target: str) -> AuditEntry | None:
    """Return the entry of an object's deletion; None if nobody deleted it."""
    kind = target.partition(":")[0]
    query = select(AuditEntry).where(AuditEntry.target == target, AuditEntry.action == f"{kind}.delete")
    return session.scalar(query.order_by(AuditEntry.id.desc()).limit(1))


def fingerprinted(keys: Sequence[str], clear: Any, masked: Any) -> Any:
    """Return `masked` with a fingerprint of the hidden text after each mask.

    Two fingerprints are equal if the secrets are: an auditor sees that a secret changed, but not its value.

    Args:    keys: the keys of `SECRET_KEY`; clear, masked: the same value without and with masks.
    """
    if isinstance(clear, dict) and isinstance(masked, dict):
        return {name: fingerprinted(keys, clear.get(name), value) for name, value in masked.items()}
    if isinstance(clear, list) and isinstance(masked, list) and len(clear) == len(masked):
        return [fingerprinted(keys, one, other) for one, other in zip(clear, masked, strict=True)]
    if clear == masked or not isinstance(clear, str):
        return masked
    return f"{masked} (fingerprint {fingerprint(keys, clear)})"


def fingerprint(keys: Sequence[str], secret: str) -> str:
    """Return a short keyed hash that identifies a secret without revealing it."""
    digest = hmac.new(b"audit" + keys[0].encode(), secret.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return digest.hexdigest()[:FINGERPRINT_LENGTH]
