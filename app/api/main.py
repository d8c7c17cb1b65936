"""Assembles the app: settings, routes, errors, documentation. Servers import `app` from here."""

import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from starlette.middleware.cors import CORSMiddleware

from app import __version__, wake
from app.api import openapi, problems
from app.api.console import assets
from app.api.console import routing as console
from app.api.console.pages.registry import ROUTERS as CONSOLE_ROUTERS
from app.api.console.pages.registry import install_caches
from app.api.middleware import RequestMiddleware
from app.api.routes import (
    accounts as account_routes,
)
from app.api.routes import (
    actions,
    alerts,
    audit,
    breakdown,
    deliveries,
    docs,
    error_codes,
    fraud,
    health,
    keys,
    lags,
    logs,
    metrics,
    people,
    report,
    rule_packs,
    rules,
    silences,
    stats,
    transfer,
    twilio_callbacks,
    unwatched,
)
from app.api.routes import (
    settings as settings_routes,
)
from app.api.security import Limiter
from app.config import Settings, get_settings, origins, remarks
from app.database import get_engine, session_scope
from app.errors import ConfigError
from app.metrics import REGISTRY
from app.metrics.collector import DatabaseCollector
from app.services.ingest import accounts
from app.services.openid.provider import Provider
from app.utils.clock import utc_now
from app.utils.logging import configure_logging, take_over_server

THREADS = 16
"""One per database connection: more threads would only wait for one."""
ROUTERS = (
    health,
    lags,
    logs,
    rules,
    actions,
    alerts,
    deliveries,
    silences,
    stats,
    breakdown,
    report,
    unwatched,
    fraud,
    error_codes,
    rule_packs,
    keys,
    people,
    audit,
    transfer,
    settings_routes,
    account_routes,
    twilio_callbacks,
    metrics,
    docs,
)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    take_over_server()
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    await anyio.to_thread.run_sync(_watch_environment_account, app.state.settings)
    yield
    get_engine().dispose()


def _watch_environment_account(settings: Settings) -> None:
    """Start watching at the first start, not at the first poll. Without a database, a worker does it later."""
    with contextlib.suppress(SQLAlchemyError), session_scope() as session:
        accounts.ensure_environment_account(session, settings, utc_now())


class _Registry(CollectorRegistry):
    """The metrics of this process and of the database together."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.register(DatabaseCollector(session_scope, wake.broker_answers, settings.poll_interval_seconds))
        self.register(REGISTRY)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Create the app.

    Raises: ConfigError if a setting that the API needs is missing.
    """
    settings = settings or get_settings()
    settings.database_parameters, settings.broker_url, settings.bootstrap_key, settings.secret_keys  # noqa: B018  # read now, so that a missing one stops the start
    app = FastAPI(
        title=openapi.TITLE,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        separate_input_output_schemas=False,
    )
    app.state.settings, app.state.limiter = settings, Limiter(settings)
    app.state.provider = Provider(settings) if settings.oidc_issuer else None
    app.state.health = health.health_cache(settings)
    app.state.origins = origins()
    install_caches(app.state)
    app.state.registry = _Registry(settings)
    for module in ROUTERS:
        # Flat, without `include_router`: one list of routes, each with its path and methods.
        app.router.routes.extend(module.router.routes)
    for router in (*CONSOLE_ROUTERS, assets.router):
        app.router.routes.extend(router.routes)
    problems.install(app)
    console.install(app)
    openapi.install(app)
    if settings.cors_allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_allowed_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["X-API-Key", "Content-Type", "If-Match", "Idempotency-Key"],
            expose_headers=["ETag", "X-Request-ID", "Retry-After"],
        )
    app.add_middleware(RequestMiddleware, settings=settings)
    return app


def _start() -> FastAPI:
    """Create the app that a server imports. An invalid setting stops the start with a one-line error."""
    try:
        settings = get_settings()
        configure_logging(settings.log_level, settings.log_format)
        for remark in remarks():
            structlog.get_logger().warning("a setting looks like a mistake", remark=remark)
        return create_app(settings)
    except ConfigError as error:
        print(f"giftpulse: {error}", file=sys.stderr)
        sys.exit(2)


app = _start()
