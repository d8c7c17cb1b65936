"""Fills a database as it would be after some months, with a few SQL statements."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.database import get_engine, session_scope
from app.models import Account
from app.services.ingest import streams
from app.services.logs import partitions, tallies
from benchmarks.ingest.world import POSTGRES, ROOT, SETTINGS, use
from scripts.local.postgres import Postgres

ACCOUNTS = ("AC" + "0" * 31 + "1", "AC" + "0" * 31 + "2")
"""The second has one log in ten."""
CHUNK = 200_000
RARE = 100_000
"""One log in this many has a rare code, and another a rare status."""

_LOGS = """
INSERT INTO logs (occurred_at, id, account_id, sid, log_type, status, level, direction, from_, to_, to_country,
                  error_code, error_message, text_, price, price_unit, duration_seconds, segments,
                  messaging_service_sid, resource_sid, changed_at, updated_at, sent_at, final, final_at, first_seen_at,
                  read_at, reread_at, source, content_hash, rest)
SELECT date_trunc('second', at), number, account, prefix || lpad(to_hex(number), 32, '0'), log_type, status,
       CASE WHEN log_type = 'error' THEN (ARRAY['error', 'warning'])[1 + number % 2] END,
       CASE WHEN log_type <> 'error' THEN CASE WHEN inbound THEN 'inbound' ELSE 'outbound-api' END END,
       CASE WHEN log_type <> 'error' THEN CASE WHEN inbound THEN customer ELSE sender END END,
       CASE WHEN log_type <> 'error' THEN CASE WHEN inbound THEN sender ELSE customer END END,
       CASE WHEN log_type <> 'error' THEN country END, code,
       CASE WHEN code IS NOT NULL THEN 'What the code ' || code || ' means, in words' END,
       CASE WHEN log_type <> 'call' THEN 'Dear customer, your order ' || md5(number::text) || ' is on its way'
            || CASE WHEN number % :rare = 2 THEN ' by the slow zeppelin' ELSE '' END END,
       CASE WHEN log_type <> 'error' THEN -0.0075 END, 'USD', CASE WHEN log_type = 'call' THEN seconds END, 1,
       CASE WHEN NOT inbound AND log_type = 'message' THEN 'MG' || lpad((number % 3)::text, 32, '0') END, NULL,
       date_trunc('second', at) + make_interval(secs => seconds), date_trunc('second', at), date_trunc('second', at),
       status IS DISTINCT FROM 'sent',
       CASE WHEN log_type = 'message' AND status <> 'sent'
            THEN date_trunc('second', at) + make_interval(secs => seconds) END, at, at, NULL, 'poll', number, NULL
FROM (
    SELECT number, :since + (:span * number / :logs) AS at,
           CASE WHEN number % 10 = 3 THEN :second ELSE :first END AS account,
           CASE WHEN kind < 0.85 THEN 'SM' WHEN kind < 0.95 THEN 'CA' ELSE 'NO' END AS prefix,
           CASE WHEN kind < 0.85 THEN 'message' WHEN kind < 0.95 THEN 'call' ELSE 'error' END AS log_type,
           CASE WHEN number % :rare = 0 THEN 'canceled' WHEN kind >= 0.95 THEN NULL
                WHEN kind >= 0.85 THEN (ARRAY['completed', 'completed', 'busy', 'no-answer'])[1 + number % 4]
                WHEN kind < 0.1 THEN 'received' WHEN fate < 0.9 THEN 'delivered' WHEN fate < 0.97 THEN 'undelivered'
                WHEN fate < 0.98 THEN 'failed' ELSE 'sent' END AS status,
           CASE WHEN number % :rare = 1 THEN 30450 WHEN kind >= 0.95 THEN 11200 + number % 5
                WHEN kind >= 0.1 AND kind < 0.85 AND fate >= 0.9 AND fate < 0.98 THEN 30001 + number % 8 END AS code,
           kind < 0.1 AS inbound,
           '+1415555' || lpad((number * 7919 % 50)::text, 4, '0') AS sender,
           '+44' || (7000000000 + (number * 7919) % 1000000) AS customer,
           (ARRAY['GB','US','DE','FR','ES','IT','NL','SE','PL','CH'])[1 + floor(10 * place * place)::int] AS country,
           1 + floor(30 * pace * pace * pace)::int AS seconds
    FROM (SELECT number, random() AS kind, random() AS fate, random() AS place, random() AS pace
          FROM generate_series(CAST(:lowest AS bigint), CAST(:highest AS bigint)) AS number) AS drawn
) AS made
"""
_CHANGES = """
INSERT INTO log_changes (stream_id, id, occurred_at, log_id, is_first, status, from_, error_code, error_message, price,
                         duration_seconds, segments, final, changed_at, seen_at, source)
SELECT s.id, l.id, l.occurred_at, l.id, true, l.status, l.from_, l.error_code, l.error_message, l.price,
       l.duration_seconds, l.segments, l.final, l.changed_at, l.first_seen_at, l.source
FROM logs l JOIN streams s USING (account_id, log_type)
"""
_WORDS = """
INSERT INTO log_texts (occurred_at, log_id, words)
SELECT occurred_at, id, lower(concat_ws(chr(10), text_, error_message, from_, to_, sid)) FROM logs
"""


@contextmanager
def filled_database(folder: Path | None, logs: int, days: int, now: datetime) -> Iterator[None]:
    """Start a PostgreSQL with so many logs, for the app in this process.

    Args:    folder: keeps the database; one that is filled already is used as it is.
    """
    with tempfile.TemporaryDirectory(prefix="giftpulse-benchmark-", ignore_cleanup_errors=True) as name:
        home = folder or Path(name)
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)  # PostgreSQL does not run as root
        postgres = Postgres(home, settings=POSTGRES)
        try:
            postgres.start()
            url, nowhere = postgres.url(), "redis://127.0.0.1:9/0"
            use({**SETTINGS, "DATABASE_URL": url, "REDIS_URL": nowhere, "API_REQUESTS_PER_MINUTE": "9999"})
            command.upgrade(Config(str(ROOT / "alembic.ini")), "head")
            if not _is_filled():
                _timed(f"{logs} logs are written", lambda: fill(logs, days, now))
                _timed("tallies", lambda: tallies.catch_up(now, now - timedelta(days=days), math.inf))
                _timed("vacuum", tidy)
            yield
        finally:
            get_engine().dispose()
            postgres.stop()


def _is_filled() -> bool:
    with session_scope() as session:
        return bool(session.scalar(text("SELECT EXISTS (SELECT FROM logs)")))


def _timed(what: str, work: Callable[[], object]) -> None:
    began = time.perf_counter()
    work()
    print(f"{time.perf_counter() - began:8.1f} s  {what}", flush=True)


def fill(logs: int, days: int, now: datetime) -> None:
    """Store logs over some days up to now, with their first changes and search texts."""
    since = now - timedelta(days=days)
    with session_scope() as session:
        _unhurried(session)
        first, second = (_watch(session, sid, since) for sid in ACCOUNTS)
        months = {partitions.month_of(since + timedelta(days=day)) for day in range(days + 1)}
        partitions.ensure(session, months)
        session.execute(text("SELECT setseed(0.5)"))
        given = {"since": since, "span": now - since, "logs": logs, "first": first, "second": second, "rare": RARE}
        for lowest in range(1, logs + 1, CHUNK):
            session.execute(text(_LOGS), given | {"lowest": lowest, "highest": min(lowest + CHUNK - 1, logs)})
        session.execute(text("SELECT setval('log_ids', :logs), setval('change_ids', :logs)"), {"logs": logs})
        session.execute(text(_CHANGES))
    with session_scope() as session:
        _unhurried(session)
        index = "CREATE INDEX ix_log_texts_words ON log_texts USING gin (words gin_trgm_ops)"
        session.execute(text("DROP INDEX ix_log_texts_words"))
        session.execute(text(_WORDS))
        session.execute(text(index))
        session.execute(
            text("INSERT INTO stream_searches (stream_id, change_id) SELECT id, :logs FROM streams"), {"logs": logs}
        )


def _watch(session: Session, sid: str, since: datetime) -> int:
    account = Account(sid=sid, started_at=since)
    session.add(account)
    session.flush()
    streams.create_for(session, account, since)
    return account.id


def _unhurried(session: Session) -> None:
    session.execute(text("SET LOCAL statement_timeout = 0"))
    session.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))


def tidy() -> None:
    """Update the planner's statistics, as autovacuum does in time."""
    with get_engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
