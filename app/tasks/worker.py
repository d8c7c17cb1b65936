"""What a worker loads and checks once, in its first process, before it forks the others.

What is loaded here is in memory once. A module, a table or a catalogue that a child loads is there once in each child.
"""

import contextlib

import billiard.util
import h11
import httpcore
import psycopg2.sql
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import configure_mappers

from app.config import get_settings
from app.database import get_engine, session_scope
from app.services import secrets
from app.services.ingest import streams
from app.services.twilio import countries, error_codes
from app.tasks import jobs, slots
from app.utils.clock import utc_now
from app.utils.http import tls_context

LOADED = (jobs, h11, httpcore, psycopg2.sql)
"""The tasks, and what libraries would import at first use, in each process again."""

log = structlog.get_logger()


def prepare(processes: int) -> None:
    """Load what every process of the worker needs, look whether `SECRET_KEY` opens what is stored, retry what failed.

    Raises: ConfigError where it opens nothing: deliveries would fail that only wait for the right key.
    """
    slots.prepare(processes)
    countries.load()
    error_codes.load()
    configure_mappers()
    tls_context()
    with contextlib.suppress(OSError):  # where there is no Linux
        billiard.util.get_pdeathsig()  # each child calls it, and would load a parser of C for it
    try:
        with session_scope() as session:
            secrets.check_keys(session, get_settings().secret_keys)
            # A restart is how most causes are mended.
            streams.retry_failing(session, utc_now())
    except SQLAlchemyError as error:
        log.warning("could not check whether SECRET_KEY opens what is stored", error=type(error).__name__)
    finally:
        get_engine().dispose()  # the children open connections of their own
