"""Warns about filters that match no log: values that Twilio does not use, and accounts that are not watched."""

from collections.abc import Collection, Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.enums import LogType
from app.errors import FieldError
from app.models import Account
from app.services.logs.search import NONE, WITH_NONE, LogFilter
from app.services.twilio.vocabulary import value_warnings

_CHECKED = {
    "status": "status",
    "error_code": "error_code",
    "level": "level",
    "direction": "direction",
    "from": "from_",
    "to": "to",
    "to_country": "to_country",
    "account_sid": "account_sid",
    "messaging_service_sid": "messaging_service_sid",
}
"""Field of a log to the attribute of the filter."""


def list_warnings(session: Session, wanted: LogFilter) -> list[FieldError]:
    """List the values of a filter that may match no log."""
    log_types = wanted.log_type or tuple(LogType)
    found = [
        warning
        for field, attribute in _CHECKED.items()
        for warning in value_warnings(field, field, _named(field, getattr(wanted, attribute)), log_types)
    ]
    watched = watched_accounts(session, wanted.account_sid)
    return [*found, *warn_of_accounts("account_sid", wanted.account_sid, watched)]


def _named(field: str, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value for value in values if value != NONE) if field in WITH_NONE else values


def watched_accounts(session: Session, sids: Collection[str]) -> set[str]:
    """Return which of these accounts are watched."""
    return set(session.scalars(select(Account.sid).where(Account.sid.in_(sids)))) if sids else set()


def warn_of_accounts(path: str, sids: Collection[str], watched: Collection[str]) -> Iterator[FieldError]:
    """Warn about accounts that are not watched.

    Args:    path: the name of the field in the warnings.
    """
    for number, sid in enumerate(sids, start=1):
        if sid not in watched:
            item = "" if len(sids) == 1 else f"item {number}: "
            yield FieldError(path, f"{item}no account of this sid is watched")
