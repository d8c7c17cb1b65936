"""A simulated Twilio, a clock that both sides share, and the polls that a worker would do."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from app.config import Settings, get_settings
from app.database import get_engine, session_scope
from app.enums import LogType
from app.models import Account, CoverageGap, Log, LogChange, QuarantinedRecord, Stream
from app.services.ingest import accounts, polling, streams
from scripts.twilio_simulator import Simulator, SimulatorClock, SimulatorServer
from tests.fakes import FrozenClock

START = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


class World:
    """A simulated Twilio and GiftPulse's clock, which move together, and polls at their time."""

    def __init__(self, simulator: Simulator, server: SimulatorServer, settings: Settings) -> None:
        self.simulator, self.server, self.settings = simulator, server, settings
        self.clock = FrozenClock(START)
        self.slept = 0.0

    def advance(self, **by: float) -> datetime:
        """Let time pass on both sides."""
        self.clock.advance(**by)
        self.simulator.clock.set(self.clock.now)
        return self.clock.now

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.advance(seconds=seconds)

    def poll(self, *log_types: LogType, settings: Settings | None = None) -> None:
        """Poll the streams of every account once, due or not."""
        with session_scope() as session:
            accounts.ensure_environment_account(session, self.settings, self.clock.now)
            query = select(Stream.id).join(Account).where(Account.enabled, Stream.unavailable.is_(False))
            if log_types:
                query = query.where(Stream.log_type.in_(log_types))
            found = list(session.scalars(query.order_by(Stream.id)))
            session.execute(update(Stream).where(Stream.id.in_(found)).values(due_at=self.clock.now))
        for stream_id in found:
            polling.poll(stream_id, settings or self.settings, self.clock, self.sleep)

    def tick(self, *log_types: LogType) -> int:
        """Poll what is due, as a worker does at a tick; return how many polls that were."""
        with session_scope() as session:
            accounts.ensure_environment_account(session, self.settings, self.clock.now)
            due = streams.due(session, self.clock.now)
            if log_types:
                due = list(session.scalars(select(Stream.id).where(Stream.id.in_(due), Stream.log_type.in_(log_types))))
        return sum(polling.poll(stream_id, self.settings, self.clock, self.sleep) for stream_id in due)

    def configured(self, **changes: Any) -> Settings:
        """Give the settings with some of them changed; the world polls with them from now on."""
        self.settings = self.settings.model_copy(update=changes)
        return self.settings

    def logs(self) -> dict[str, Log]:
        with session_scope() as session:
            return {log.sid: log for log in session.scalars(select(Log))}

    def log(self, sid: str) -> Log:
        return self.logs()[sid]

    def changes(self, sid: str) -> list[LogChange]:
        """List the versions of a log that rules were shown, in order."""
        with session_scope() as session:
            query = select(LogChange).join(Log, Log.id == LogChange.log_id).where(Log.sid == sid)
            return list(session.scalars(query.order_by(LogChange.id)))

    def stream_or_none(self, log_type: LogType) -> Stream | None:
        with session_scope() as session:
            return session.scalars(select(Stream).where(Stream.log_type == log_type).order_by(Stream.id)).first()

    def stream(self, log_type: LogType) -> Stream:
        found = self.stream_or_none(log_type)
        assert found is not None
        return found

    def quarantine(self) -> list[QuarantinedRecord]:
        with session_scope() as session:
            return list(session.scalars(select(QuarantinedRecord)))

    def gaps(self) -> list[CoverageGap]:
        with session_scope() as session:
            return list(session.scalars(select(CoverageGap).order_by(CoverageGap.since)))

    def requests(self) -> int:
        return len(self.simulator.requests)


@contextmanager
def a_world(environment: Any, forget: Any) -> Iterator[World]:
    """Start a simulated Twilio and watch its account; the database is there already."""
    simulator = Simulator(clock=SimulatorClock(frozen_at=START))
    with SimulatorServer(simulator) as server:
        environment.setenv("TWILIO_ACCOUNT_SID", simulator.account.sid)
        environment.setenv("TWILIO_AUTH_TOKEN", simulator.account.auth_token)
        environment.setenv("TWILIO_API_BASE_URL", server.url)
        environment.setenv("TWILIO_MONITOR_BASE_URL", server.url)
        environment.setenv("TWILIO_MAX_REQUESTS_PER_MINUTE", "10000")
        forget()
        yield World(simulator, server, get_settings())
        get_engine().dispose()


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def most_in_a_minute(world: World) -> int:
    """Count the requests in the sixty seconds, wherever they begin, that have most of them."""
    times = [seen.at for seen in world.simulator.requests]
    return max(sum(at <= other < at + timedelta(seconds=60) for other in times) for at in times)
