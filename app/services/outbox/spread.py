"""How far an alert reaches: the numbers, countries, accounts and error codes of its newest logs."""

from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.actions.base import Spread
from app.bulk import Unnest
from app.models import Account

NEWEST = 500
"""How many logs of an alert are read: enough to distinguish one number from many, and cheap in a flood."""
BY_COUNTRY, BY_ACCOUNT, BY_CODE = 0b011, 0b101, 0b110
"""As SQL's `grouping()` numbers the sets: a bit for each column that is not grouped by."""
_ASKED = Unnest("asked", alert_id="uuid")
_SPREAD = text(
    f"""
    WITH hit AS (
        SELECT asked.alert_id, accounts.sid AS account_sid, logs.to_, logs.from_, logs.to_country, logs.error_code
        FROM {_ASKED}
        CROSS JOIN LATERAL (
            SELECT matches.occurred_at, matches.log_id FROM matches WHERE matches.alert_id = asked.alert_id
            ORDER BY matches.changed_at DESC LIMIT :newest
        ) AS newest
        JOIN logs ON logs.occurred_at = newest.occurred_at AND logs.id = newest.log_id
        JOIN accounts ON accounts.id = logs.account_id
    )
    SELECT alert_id, grouping(to_country, account_sid, error_code), to_country, account_sid, error_code,
           count(*), count(DISTINCT to_), count(DISTINCT from_)
    FROM hit
    GROUP BY GROUPING SETS ((alert_id), (alert_id, to_country), (alert_id, account_sid), (alert_id, error_code))
    ORDER BY count(*) DESC, to_country, account_sid, error_code
    """
)


def spreads(session: Session, alert_ids: Collection[UUID]) -> dict[UUID, Spread]:
    """Find how far each of these alerts reaches, in one statement; alerts without logs are omitted."""
    counts: dict[UUID, tuple[int, int, int]] = {}
    countries: dict[UUID, list[str]] = defaultdict(list)
    accounts: dict[UUID, list[str]] = defaultdict(list)
    codes: dict[UUID, list[tuple[int, int]]] = defaultdict(list)
    for alert_id, level, country, account_sid, code, *numbers in session.execute(
        _SPREAD, {"newest": NEWEST, **_ASKED.values((alert_id,) for alert_id in alert_ids)}
    ):
        if level == BY_COUNTRY:
            countries[alert_id] += [country] if country else []
        elif level == BY_ACCOUNT:
            accounts[alert_id].append(account_sid)
        elif level == BY_CODE:
            codes[alert_id] += [(code, numbers[0])] if code is not None else []
        else:
            counts[alert_id] = (numbers[0], numbers[1], numbers[2])
    return {
        alert_id: Spread(
            logs, logs >= NEWEST, recipients, senders, countries[alert_id], accounts[alert_id], codes[alert_id]
        )
        for alert_id, (logs, recipients, senders) in counts.items()
    }


def account_names(session: Session, sids: Collection[str]) -> dict[str, str]:
    """Find the names of accounts that have one."""
    query = select(Account.sid, Account.friendly_name).where(Account.sid.in_(sids), Account.friendly_name.is_not(None))
    return {sid: name for sid, name in session.execute(query) if name}
