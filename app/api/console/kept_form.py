"""Keeps a form whose session ended before it was sent: in the page, never in a cookie."""

from collections.abc import Sequence

from fastapi import Request, Response
from starlette.routing import Match

from app.api.console.access import Form, Viewer, safe_next
from app.api.console.rendering import render

PATH, PREFIX = "kept_path", "kept."
"""Fields of the sign-in form: the target of the kept form, and the prefix of its fields."""
SECRET_FIELDS = {"key", "auth_token", "api_key_secret", "next_auth_token", "signing_keys", "secret", "code"}
"""What is never written into a page again."""

Fields = Sequence[tuple[str, str]]


def fields_of(form: Form) -> Fields:
    """Return the fields of the form without secrets and the old CSRF token."""
    return [(name, value) for name, value in form.fields if name != "csrf" and name not in SECRET_FIELDS]


def read(form: Form) -> tuple[str, Fields]:
    """Return the path and the fields of the form that a sign-in form carries; an empty path if it carries none."""
    fields = [(name.removeprefix(PREFIX), value) for name, value in form.fields if name.startswith(PREFIX)]
    return form.get(PATH), fields


def takes_forms(request: Request, path: str) -> bool:
    """Check that a path is a form's address of this console."""
    asked = {**request.scope, "method": "POST", "path": path}
    is_ours = safe_next(path) == path and not path.startswith("/api/")
    return is_ours and any(route.matches(asked)[0] is Match.FULL for route in request.app.routes)


def ask_again(request: Request, viewer: Viewer, path: str, fields: Fields, status: int = 200) -> Response:
    """Show the kept form with a button that sends it in the new session."""
    page = path.rpartition("/")[0] or "/"
    shown = [(name.rpartition(".")[2].replace("_", " "), value) for name, value in fields if value]
    context = {"kept_path": path, "kept": fields, "shown": shown, "page": page, "live_from": "/more"}
    return render(request, viewer, "kept_form.html", context, status)
