"""Serializes a fraud watch. Amounts are decimal texts."""

from decimal import Decimal

from app.services.fraud.suspicions import Suspicion
from app.services.fraud.watch import FraudWatch
from app.utils.clock import rfc3339, rfc3339_or_none
from app.utils.json_types import JsonObject


def to_json(found: FraudWatch, *, masked: bool) -> JsonObject:
    """Serialize a fraud watch.

    Args:    masked: whether phone numbers are masked.
    """
    return {
        "since": rfc3339(found.since),
        "until": rfc3339(found.until),
        "items": [_suspicion_json(each, masked=masked) for each in found.suspicions],
        "countries": [
            {
                "log_type": key.log_type,
                "to_country": key.to_country,
                "count": round(each.total),
                "usual": each.usual,
                "peak_at": rfc3339_or_none(each.peak_at),
                "peak_count": round(each.peak),
                "peak_usual": each.peak_usual,
            }
            for key, each in found.countries.items()
        ],
        "spend": [
            {
                "log_type": key.log_type,
                "to_country": key.to_country,
                "price_unit": key.price_unit,
                "amount": _money(each.total),
                "usual": None if each.usual is None else _money(each.usual),
                "hours": [{"at": rfc3339(at), "amount": _money(amount)} for at, amount in each.hours],
            }
            for key, each in found.spend.items()
        ],
    }


def _suspicion_json(each: Suspicion, *, masked: bool) -> JsonObject:
    return {
        "kind": each.kind,
        "log_type": each.log_type,
        "to_country": each.to_country,
        "prefix": each.shown_prefix(masked=masked),
        "count": each.count,
        "receivers": each.recipients,
        "amount": None if each.amount is None else _money(each.amount),
        "price_unit": each.price_unit,
        "usual": each.usual,
        "at": rfc3339(each.at),
        "detail": each.detail(masked=masked),
        "advice": each.advice,
        "rule": each.rule(masked=masked),
    }


def _money(amount: float | Decimal) -> str:
    return f"{amount:.4f}"
