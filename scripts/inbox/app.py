"""The inbox's web server. Its contents come from others: they are shown, never run."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from aiosmtpd.smtp import SMTP
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from scripts.inbox.receive import MailHandler, webhook
from scripts.inbox.store import Store

HOST = "127.0.0.1"
CONSOLE_STYLE = Path(__file__).resolve().parents[2] / "app" / "api" / "console" / "static" / "console.css"
MAX_BYTES = 10 * 1024 * 1024
HEADERS = {
    # Mails may contain styles and images; nothing may run or load from elsewhere.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True, undefined=StrictUndefined
)
# The inbox looks like the console. Its pages hold the styles, so that they ask for nothing else.
templates.globals["style"] = Markup(CONSOLE_STYLE.read_text(encoding="utf-8"))  # noqa: S704  # a file of ours
templates.globals["console"] = os.environ.get("PUBLIC_BASE_URL", "")


def create_app(folder: Path, smtp_port: int, secret: str | None) -> Starlette:
    """Create the web server; the mail server starts and stops with it."""
    store = Store(folder)

    def page(name: str, **values: object) -> HTMLResponse:
        return HTMLResponse(templates.get_template(name).render(**values), headers=HEADERS)

    def index(_: Request) -> Response:
        return page("index.html", messages=store.newest_first(), smtp_port=smtp_port)

    def show(request: Request) -> Response:
        message = store.find(request.path_params["number"])
        if message is None:
            return HTMLResponse("There is no such message.", status_code=404, headers=HEADERS)
        return page(f"{message.kind}.html", message=message)

    def messages(_: Request) -> Response:
        return JSONResponse([asdict(message) for message in store.newest_first()])

    async def catch(request: Request) -> Response:
        body = await request.body()
        if len(body) > MAX_BYTES:
            return Response(status_code=413)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        store.add(webhook(store.next_number(), request.method, path, request.headers.items(), body, secret))
        return JSONResponse({"caught": store.last_number})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        store.load()
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(MailHandler(store), enable_SMTPUTF8=True, hostname="inbox.localhost"), HOST, smtp_port
        )
        async with server:
            yield

    return Starlette(
        routes=[
            Route("/", index),
            Route("/messages.json", messages),
            Route("/messages/{number:int}", show),
            Route("/hooks/{rest:path}", catch, methods=["POST", "PUT", "PATCH"]),
        ],
        lifespan=lifespan,
    )


def from_environment() -> Starlette:
    """Create the app from `INBOX_FOLDER`, `INBOX_SMTP_PORT` and `INBOX_WEBHOOK_SECRET`, for uvicorn's `--factory`."""
    return create_app(
        Path(os.environ["INBOX_FOLDER"]), int(os.environ["INBOX_SMTP_PORT"]), os.environ.get("INBOX_WEBHOOK_SECRET")
    )
