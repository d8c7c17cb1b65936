"""Measures previews over a month with a million logs, by condition and pattern.

python -m benchmarks.preview
python -m benchmarks.preview --logs 20000   # to check that it works
"""

import argparse
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from app.config import get_settings
from app.database import session_scope
from app.errors import InvalidInput
from app.services.preview.service import preview
from app.utils.clock import rfc3339, utc_now
from benchmarks.api import filling
from benchmarks.ingest.world import POSTGRES, ROOT, SETTINGS, use
from scripts.local.postgres import Postgres

BAD = {"pattern_type": "status", "pattern_value": "undelivered,failed"}
ALL = {"pattern_type": "any"}
WORD = {"pattern_type": "keyword", "pattern_value": "zeppelin,balloon"}
REGEX = {"pattern_type": "regex", "pattern_value": "slow (zeppelin|balloon)s?"}
CEL = {"pattern_type": "expression", "pattern_value": 'log.error_code == 30003 && log.to_country == "GB"'}
BY_COUNTRY = {"group_by": ["to_country"]}
EACH = {"type": "each"}
THRESHOLD = {"type": "threshold", "count": 50, "window_minutes": 15}
RATIO = {"type": "ratio", "percent": 20, "window_minutes": 60, "min_total": 20}
SPIKE = {"type": "spike", "factor": 3, "window_minutes": 15, "min_count": 20}
NO_DATA = {"type": "no_data", "window_minutes": 30}
SUM = {"type": "sum", "field": "price", "at_least": 50, "window_minutes": 60}
STUCK = {"type": "stuck", "older_than_minutes": 30}
NEW_VALUE = {"type": "new_value", "field": "error_code"}

ASKED: dict[str, dict[str, Any]] = {
    "each, statuses": BAD | {"condition": EACH},
    "each, a word": WORD | {"condition": EACH},
    "each, a regex": REGEX | {"condition": EACH},
    "each, an expression": CEL | {"condition": EACH},
    "each, every message": ALL | {"condition": EACH},
    "threshold, statuses by country": BAD | BY_COUNTRY | {"condition": THRESHOLD},
    "ratio, statuses": BAD | {"condition": RATIO},
    "ratio, statuses by country": BAD | BY_COUNTRY | {"condition": RATIO},
    "ratio, a word by country": WORD | BY_COUNTRY | {"condition": RATIO},
    "spike, statuses": BAD | {"condition": SPIKE},
    "spike, statuses by country": BAD | BY_COUNTRY | {"condition": SPIKE},
    "spike, every message by country": ALL | BY_COUNTRY | {"condition": SPIKE},
    "no_data, every message by country": ALL | BY_COUNTRY | {"condition": NO_DATA},
    "sum of prices by country": ALL | BY_COUNTRY | {"condition": SUM},
    "stuck": ALL | {"condition": STUCK},
    "new_value, codes": {"pattern_type": "error_code", "pattern_value": "*"} | {"condition": NEW_VALUE},
    "new_value, countries of every message": ALL | {"condition": NEW_VALUE | {"field": "to_country"}},
}


def main() -> None:
    """Fill a separate database, and run the previews."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preview", description=__doc__)
    parser.add_argument("--logs", type=int, default=1_000_000, help="default: 1000000")
    parser.add_argument("--days", type=int, default=30, help="how far back they reach; default: 30")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Postgres(folder / "postgres", settings=POSTGRES)
        server.start()
        try:
            server.create_database("giftpulse")
            use({**SETTINGS, "DATABASE_URL": server.url("giftpulse"), "REDIS_URL": "redis://127.0.0.1:9/0"})
            command.upgrade(Config(str(ROOT / "alembic.ini")), "head")
            _ask(given.logs, given.days)
        finally:
            server.stop()


def _ask(logs: int, days: int) -> None:
    now = utc_now().replace(second=0, microsecond=0)
    filling.fill(logs, days, now)
    filling.tidy()
    with session_scope() as session:
        session.execute(text("UPDATE stream_evaluations SET complete_until = :now"), {"now": now})
        session.execute(text("UPDATE streams SET complete_from = :since"), {"since": now - timedelta(days=2 * days)})
    span = {"since": rfc3339(now - timedelta(days=days)), "until": rfc3339(now)}
    for words, fields in ASKED.items():
        began, used = time.monotonic(), time.process_time()
        body = {"name": "Asked", "log_type": "message"} | fields | span
        try:
            with session_scope() as session:
                found = preview(session, body, get_settings(), now)
            said = f"{found['matches']:,} matches, {len(found['alerts']):,} alerts"
        except InvalidInput as refused:
            said = str(refused)
        seconds, of_python = time.monotonic() - began, time.process_time() - used
        print(f"{words:40} {seconds:6.1f} s, of Python {of_python:6.1f} s: {said}", flush=True)


if __name__ == "__main__":
    main()
