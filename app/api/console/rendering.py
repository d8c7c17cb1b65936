"""Renders pages and fragments: the Jinja environment, and response headers."""

import gzip
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from starlette.routing import Route

from app import __version__
from app.api.console import access, texts
from app.api.console import session as sessions
from app.api.console.access import Viewer
from app.api.console.assets import asset_path
from app.api.console.flash import FLASH_COOKIE, Flash, read_flash, set_flash
from app.api.console.links import link
from app.api.console.plots import paths
from app.api.console.template_functions import PlotTables, age, begin_page, lasting, when
from app.api.deps import settings_of
from app.enums import Scope
from app.services.twilio import simulator
from app.utils.clock import utc_now
from app.utils.countries import country
from app.utils.quantities import counted

TEMPLATES = Path(__file__).resolve().parents[3] / "templates" / "console"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # With `no-referrer` browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Cookie, X-Fragment",
}
FRAGMENT = "x-fragment"
COMPRESS_FROM_BYTES = 2_000
TURNS_WRITING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C], "□")
"""Bidirectional control characters, shown as squares."""


def _show(value: Any) -> Any:
    """Replace bidirectional control characters by squares in every text that a template writes."""
    if type(value) is str:
        return value.translate(TURNS_WRITING)
    return value


@lru_cache
def load_environment() -> Environment:
    """Compile the parts of pages at the first page: it takes a tenth of a start, and many servers never show one."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_show,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    environment.globals |= {
        "asset": asset_path,
        "version": __version__,
        "when": when,
        "age": age,
        "lasting": lasting,
        "link": link,
        "count": counted,
        "percent": texts.percent,
        "duration": texts.duration,
        "fault": texts.fault,
        "notice": texts.notice,
        "group_value": texts.group_value,
        "pack_title": texts.pack_title,
        "country": country,
        "spark": paths.spark,
        "bars": paths.bars,
        "tables": PlotTables,
        "Scope": Scope,
    }
    # The parts are globals: a fragment renders only one block of the template.
    environment.globals["icon"] = environment.get_template("icons.html").module.icon  # type: ignore[attr-defined]
    environment.globals["ui"] = environment.get_template("ui.html").module
    return environment


def render(
    request: Request,
    viewer: Viewer | None,
    template: str,
    context: Mapping[str, Any],
    status: int = 200,
) -> Response:
    """Render a page, or the fragment of it that `X-Fragment` names: a block of the same template.

    A fragment carries an `ETag`; one that has not changed is answered by 304.
    """
    settings = settings_of(request)
    now = utc_now()
    begin_page(request, viewer, now, is_fragment=FRAGMENT in request.headers)
    page = load_environment().get_template(template)
    values: dict[str, Any] = {
        "section": "",
        "viewer": viewer,
        "theme": access.theme_of(request),
        "frame": request.app.state.frame.get() if viewer else None,
        "csrf": sessions.csrf_token(settings.secret_keys, viewer.session) if viewer else "",
        "path": request.url.path,
        "address": _address(request),
        "live_from": _live_from(request),
        "live": request.query_params.get("live") != "off",
        "now": now,
        "simulated": simulator.is_watched(settings),
        "inbox_url": settings.inbox_url,
        **context,
    }
    fragment = request.headers.get(FRAGMENT, "").replace("-", "_")
    if fragment and status == 200:
        return _fragment(request, page, fragment, values)
    flash = read_flash(request)
    answer = _answer(request, page.render(values, flash=flash), status)
    if flash is not None:
        answer.delete_cookie(FLASH_COOKIE, path="/")
    if viewer is not None and now - viewer.signed_at > sessions.RENEW_AFTER:
        access.set_session(answer, settings, viewer.session)
    return answer


def _address(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


def _live_from(request: Request) -> str:
    """Return the address from which the response to a form refreshes: the nearest page above; empty for its own."""
    if request.method == "GET":
        return ""
    pages = {route.path for route in request.app.routes if isinstance(route, Route) and "GET" in (route.methods or ())}
    pattern, path = request.scope["route"].path, request.url.path
    while pattern and pattern not in pages:
        pattern, path = pattern.rpartition("/")[0], path.rpartition("/")[0]
    return path or "/"


def _fragment(request: Request, page: Template, name: str, values: Mapping[str, Any]) -> Response:
    """Render one block of the page or its frame; 404 if neither has it."""
    template = next(
        (each for each in (page, load_environment().get_template("base.html")) if name in each.blocks), None
    )
    if template is None:
        return Response(status_code=404, headers=HEADERS)
    text = "".join(template.blocks[name](template.new_context(dict(values))))
    # The CSRF token is masked differently each time; earlier ones stay valid.
    same = text.replace(values["csrf"], "") if values["csrf"] else text
    etag = f'"{hashlib.blake2b(same.encode(), digest_size=12).hexdigest()}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={**HEADERS, "ETag": etag})
    answer = _answer(request, text, 200)
    answer.headers["ETag"] = etag
    return answer


def _answer(request: Request, text: str, status: int) -> Response:
    content = text.encode("utf-8", "replace")
    headers = dict(HEADERS)
    if len(content) >= COMPRESS_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, 5, mtime=0)
        headers |= {"Content-Encoding": "gzip", "Vary": f"{HEADERS['Vary']}, Accept-Encoding"}
    return Response(content, status, headers, "text/html; charset=utf-8")


def allow_frames(answer: Response) -> Response:
    """Let a page show other pages of this server in frames."""
    answer.headers["Content-Security-Policy"] = f"{POLICY}; frame-src 'self'"
    return answer


def redirect(request: Request, path: str, flash: Flash | None = None) -> Response:
    """Respond to a form with 303, so that the browser loads the page with the result."""
    answer = Response(status_code=303, headers={**HEADERS, "Location": path})
    if flash is not None:
        set_flash(answer, settings_of(request), flash)
    request.app.state.frame.clear()
    return answer
