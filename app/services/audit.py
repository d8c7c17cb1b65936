"""Who changed what: one entry a change, written in its transaction. Secrets stand there as fingerprints."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import AuditEntry
from app.services.paging import Page, Position, read_page

JsonObject = dict[str, Any]
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
    """Write an entry.

    Args:
        by: the name of the key, or what else made the change.
        action, target: such as `rule.update` and `rule:` and its id.
        before, after: ready for JSON, without any secret in clear; null where there is none.
    """
    session.add(
        AuditEntry(at=now, by=by, action=action, target=target, before=before, after=after, request_id=request_id)
    )
    session.flush()


def list_entries(
    session: Session,
    target: str | None,
    since: datetime | None,
    until: datetime | None,
    position: Position | None,
    limit: int,
) -> Page[AuditEntry]:
    """List entries, newest first.

    Args:    target: such as `rule:` and its id; since, until: as `[since, until)`.
    """
    query = select(AuditEntry)
    if target is not None:
        query = query.where(AuditEntry.target == target)
    if since is not None:
        query = query.where(AuditEntry.at >= since)
    if until is not None:
        query = query.where(AuditEntry.at < until)
    return read_page(session, query, SORT_KEY, position, limit)


def fingerprinted(keys: Sequence[str], clear: Any, masked: Any) -> Any:
    """Return `masked`, each text in it that hides something followed by a fingerprint of what it hides.

    Two fingerprints are equal where the secrets are: an auditor sees that one changed, and not what it is.

    Args:    keys: the texts of `SECRET_KEY`; clear, masked: one value of one shape, without and with its masks.
    """
    if isinstance(clear, dict) and isinstance(masked, dict):
        return {name: fingerprinted(keys, clear.get(name), value) for name, value in masked.items()}
    if isinstance(clear, list) and isinstance(masked, list) and len(clear) == len(masked):
        return [fingerprinted(keys, one, other) for one, other in zip(clear, masked, strict=True)]
    if clear == masked or not isinstance(clear, str):
        return masked
    return f"{masked} (fingerprint {fingerprint(keys, clear)})"


def fingerprint(keys: Sequence[str], secret: str) -> str:
    """Name a secret without telling it: a keyed hash, cut short."""
    digest = hmac.new(b"audit" + keys[0].encode(), secret.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return digest.hexdigest()[:FINGERPRINT_LENGTH]
