"""The tables. No decisions."""

from app.models.account import (
    Account,
    Backfill,
    CoverageGap,
    PushedRecord,
    QuarantinedRecord,
    RequestCount,
    Stream,
    StreamEvaluation,
)
from app.models.action import Action
from app.models.alert import Alert, AlertNote, Silence
from app.models.api_key import ApiKey, SignOut
from app.models.audit import AuditEntry, IdempotentAnswer
from app.models.base import Base
from app.models.console import ConsoleSession, HiddenPart, SignInToken
from app.models.counter import Counter, Heartbeat, Lag
from app.models.delivery import Attempt, Delivery
from app.models.log import CHANGE_IDS, LOG_IDS, Log, LogChange
from app.models.managed import ManagedEntry
from app.models.person import Person
from app.models.rule import HourCount, Match, MinuteCount, Rule, RuleGroup, RuleSet, SeenValue
from app.models.search import LogText, StreamSearch
from app.models.tally import DelayTally, LogTally, SenderTally, StreamTally, TallyDimension, UntalliedHour

__all__ = [
    "CHANGE_IDS",
    "LOG_IDS",
    "Account",
    "Action",
    "Alert",
    "AlertNote",
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "Backfill",
    "Base",
    "ConsoleSession",
    "Counter",
    "CoverageGap",
    "DelayTally",
    "Delivery",
    "Heartbeat",
    "HiddenPart",
    "HourCount",
    "IdempotentAnswer",
    "Lag",
    "Log",
    "LogChange",
    "LogTally",
    "LogText",
    "ManagedEntry",
    "Match",
    "MinuteCount",
    "Person",
    "PushedRecord",
    "QuarantinedRecord",
    "RequestCount",
    "Rule",
    "RuleGroup",
    "RuleSet",
    "SeenValue",
    "SenderTally",
    "SignInToken",
    "SignOut",
    "Silence",
    "Stream",
    "StreamEvaluation",
    "StreamSearch",
    "StreamTally",
    "TallyDimension",
    "UntalliedHour",
]
