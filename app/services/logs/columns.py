"""The columns of stored logs by the names of their fields in the API."""

from collections.abc import Mapping
from typing import Any

from app.models import Account, Log
from app.services.log_fields import FIELDS

COLUMNS: Mapping[str, Any] = {
    "log_type": Log.log_type,
    **{field.name: getattr(Log, field.column) for field in FIELDS},
    "account_sid": Account.sid,
}
