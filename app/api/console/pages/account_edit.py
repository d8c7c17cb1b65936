"""The operation that edits an account from its page."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import Request, Response

from app.api import account_operations
from app.api.console import account_form
from app.api.console.access import Admin, Form, PostedForm, Viewer
from app.api.console.flash import Flash
from app.api.console.pages.accounts import Sid, by_field, show_page, unreadable
from app.api.console.rendering import redirect
from app.api.console.routing import make_router
from app.api.console.stale import Stale, differences, stale_page
from app.api.deps import parse, settings_of
from app.api.responses import etag
from app.api.schemas.accounts import AccountChanges
from app.config import Settings
from app.database import session_scope
from app.errors import InvalidInput
from app.models import Account
from app.services.ingest import account_admin, account_state, credential_trial
from app.services.ingest.credential_trial import Trial
from app.utils.clock import utc_now
from app.utils.json_types import JsonObject

router = make_router()


class _EditedSince(Exception):
    """Somebody else edited the account since the form was opened."""


@router.post("/accounts/{sid}")
def edit_account(request: Request, viewer: Admin, sid: Sid, form: PostedForm) -> Response:
    """Change an account, unless Twilio refuses its new credentials."""
    settings = settings_of(request)
    show_again = partial(show_page, request, viewer, sid, account_form.typed(form))
    if form.get("do") == "look":
        return show_again()
    try:
        changes = _changes(sid, form, settings)
        if changes is None:
            return _stale_page(request, viewer, sid, form)
        trial = credential_trial.run_edit(settings, sid, changes, utc_now())
        if trial.is_refused and not form.get("anyway"):
            return show_again(by_field(InvalidInput(trial.warnings)), status=422, is_refused=True)
        if changes and not _edit(viewer, sid, form, changes, settings):
            return _stale_page(request, viewer, sid, form)
    except InvalidInput as error:
        return show_again(by_field(error), status=422)
    return redirect(request, f"/accounts/{sid}", _edited(changes, trial))


def _edited(changes: Mapping[str, Any], trial: Trial) -> Flash:
    """Describe what an edit has done, and whether Twilio can be read now."""
    if trial.warnings:
        return unreadable("It is saved", trial)
    if not changes:
        return Flash("Nothing was changed.")
    return Flash("Saved. Twilio accepts its credentials." if trial.is_accepted else "Saved.")


def _stale_page(request: Request, viewer: Viewer, sid: str, form: Form) -> Response:
    settings = settings_of(request)
    with session_scope() as session:
        shown = account_operations.show(session, account_admin.get(session, sid), settings)
    changes = account_form.read(form, shown)
    version = etag(shown, account_state.VOLATILE_FIELDS)
    kept = [(name, value) for name, value in account_form.typed(form).items() if name not in ("do", "version")]
    stale = Stale(
        section="accounts",
        lists=("Accounts", "/accounts"),
        name=shown["friendly_name"] or sid,
        target=f"account:{sid}",
        path=f"/accounts/{sid}",
        fields=[*kept, ("version", version)],
        look_path=f"/accounts/{sid}",
        differences=differences(
            {name: _shown_value(shown.get(name)) for name in changes},
            {name: _shown_value(value) for name, value in changes.items()},
            account_form.LABELS,
            account_form.UNSEEN,
        ),
        lost_secrets=bool(account_form.UNSEEN & {name for name, value in changes.items() if value}),
    )
    return stale_page(request, viewer, stale)


def _shown_value(value: object) -> str:
    """Write a field for people."""
    return "" if value is None else "yes" if value is True else "no" if value is False else str(value)


def _changes(sid: str, form: Form, settings: Settings) -> dict[str, Any] | None:
    """Return what differs from the stored account; None if somebody else edited it since the form was opened.

    Raises: InvalidInput.
    """
    with session_scope() as session:
        shown = account_operations.show(session, account_admin.get(session, sid), settings)
    if not _is_current(form, shown):
        return None
    body = account_form.read(form, shown)
    return parse(AccountChanges, body).given() if body else {}


def _edit(viewer: Viewer, sid: str, form: Form, changes: Mapping[str, Any], settings: Settings) -> bool:
    """Store the changes.

    Returns: False if somebody else edited the account since the form was opened.
    Raises: InvalidInput, Conflict.
    """

    def check(before: JsonObject) -> None:
        if not _is_current(form, before):
            raise _EditedSince

    try:
        with session_scope() as session:

            def edit(account: Account) -> None:
                account_admin.edit(session, settings, account, changes, utc_now())

            account_operations.operate(session, viewer.principal, sid, settings, "account.update", edit, check=check)
    except _EditedSince:
        return False
    return True


def _is_current(form: Form, shown: JsonObject) -> bool:
    return form.get("version") == etag(shown, account_state.VOLATILE_FIELDS)
