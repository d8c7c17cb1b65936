"""What a worker loads and checks once, in its main process, before it forks the others.

Modules, tables and catalogues loaded here are shared in memory; those loaded by a child exist once per child.
"""

import contextlib

import billiard.util
import h11
import httpcore
import psycopg2.sql
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import configure_mappers

from app import wake
from app.actions import mail_text, webhook_sender
from app.config import get_settings
from app.database import get_engine, session_scope
from app.services import secrets
from app.services.ingest import streams
from app.services.twilio import countries, error_codes
from app.tasks import jobs, outage, slots
from app.utils.clock import utc_now
from app.utils.tls import tls_context

LOADED = (jobs, outage, webhook_sender, h11, httpcore, psycopg2.sql)
"""The tasks, the memory in which processes share when an outage was reported, and modules that libraries would import
at first use, in each process again.
"""

log = structlog.get_logger()


def prepare(processes: int) -> None:
    """Load what the worker's processes share, check `SECRET_KEY` and `REDIS_URL`, and retry failing streams.

    Raises: ConfigError if it decrypts no stored secret: deliveries would fail for good.
    """
    slots.prepare(processes)
    countries.load()
    error_codes.load()
    mail_text.load()
    configure_mappers()
    tls_context()
    wake.load()
    with contextlib.suppress(OSError):  # not on Linux
        billiard.util.get_pdeathsig()  # each child calls it, and would load a C parser for it
    wake.warn_of_missing_database()
    try:
        with session_scope() as session:
            secrets.check_keys(session, get_settings().secret_keys)
            # A restart fixes most causes.
            streams.retry_failing(session, utc_now())
    except SQLAlchemyError as error:
        log.warning("could not check whether SECRET_KEY opens what is stored", error=type(error).__name__)
    finally:
        get_engine().dispose()  # children open their own connections
