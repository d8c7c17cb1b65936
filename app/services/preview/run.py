"""One run of a preview: what it reads and evaluates, and how long it may take."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.config import Settings
from app.services.alerts.changes import AlertChanges
from app.services.evaluation.completeness import Completeness
from app.services.preview.deadline import Deadline
from app.services.preview.log_reader import LogReader
from app.services.preview.request import PreviewRequest
from app.services.rules.rule import Rule


@dataclass(frozen=True)
class PreviewRun:
    """A request with the logs and the time that it has."""

    session: Session
    settings: Settings
    request: PreviewRequest
    reader: LogReader
    known: Completeness
    horizon: datetime
    """The time up to which the logs are complete, within the span."""
    deadline: Deadline

    @property
    def rule(self) -> Rule:
        """The previewed rule."""
        return self.request.rule

    @property
    def last_minute(self) -> datetime:
        """The last minute to evaluate."""
        return min(self.request.until, self.horizon).replace(second=0, microsecond=0)

    def alert_changes(self) -> AlertChanges:
        """Return alert changes that are never saved."""
        return AlertChanges(self.session, self.settings, self.request.until)
