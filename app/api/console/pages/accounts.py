"""The pages of accounts: the list, one account with its streams, and what can be done with it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import Path, Request, Response
from sqlalchemy.orm import Session

from app.api import account_operations
from app.api.audited_change import AuditedChange
from app.api.console import account_form, texts
from app.api.console.access import Admin, PostedForm, SignedIn, Viewer, need_scope
from app.api.console.account_view import AccountView, view
from app.api.console.coverage_view import strips
from app.api.console.flash import Flash
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.deps import parse, settings_of
from app.api.responses import etag
from app.api.schemas.accounts import AccountBody
from app.config import Settings
from app.database import session_scope
from app.enums import Scope
from app.errors import Conflict, InvalidInput
from app.models import Account
from app.services.ingest import account_admin, account_state, backfills, coverage, credential_trial
from app.services.ingest.credential_trial import Trial
from app.utils import sids
from app.utils.clock import rfc3339, utc_now

router = make_router()
MAX_ACCOUNTS = 100
BACKFILL_DAYS = 7
"""How far back the form of a backfill reaches when it is empty."""
Sid = Annotated[str, Path(pattern=sids.ACCOUNT_SID)]


@router.get("/accounts")
def list_accounts(request: Request, viewer: SignedIn) -> Response:
    """List the watched accounts with the state of their streams."""
    with session_scope() as session:
        accounts = account_admin.list_accounts(session, None, MAX_ACCOUNTS).items
        shown = _views(session, accounts, settings_of(request))
    return render(request, viewer, "accounts.html", {"section": "accounts", "accounts": shown})


def _views(session: Session, accounts: Sequence[Account], settings: Settings) -> list[AccountView]:
    return [view(each) for each in account_state.accounts_json(session, accounts, settings, utc_now())]


@router.get("/accounts/new")
def new_account(request: Request, viewer: SignedIn) -> Response:
    """Show the form of an account to watch."""
    need_scope(viewer, Scope.ADMIN)
    return _new_page(request, viewer, account_form.EMPTY, {})


def _new_page(
    request: Request,
    viewer: Viewer,
    typed: Mapping[str, str],
    errors: Mapping[str, str],
    status: int = 200,
    *,
    is_refused: bool = False,
) -> Response:
    context = {
        "section": "accounts",
        "typed": typed,
        "errors": errors,
        "labels": account_form.LABELS,
        "account": None,
        "is_refused": is_refused,
    }
    return render(request, viewer, "account_new.html", context, status)


@router.post("/accounts")
def create_account(request: Request, viewer: Admin, form: PostedForm) -> Response:
    """Start watching an account, unless Twilio refuses its credentials."""
    settings = settings_of(request)
    show_again = partial(_new_page, request, viewer, account_form.typed(form))
    try:
        values = parse(AccountBody, account_form.read(form, None)).given()
    except InvalidInput as error:
        return show_again(by_field(error), 422)
    trial = credential_trial.run(settings, values, utc_now())
    if trial.is_refused and not form.get("anyway"):
        return show_again(by_field(InvalidInput(trial.warnings)), 422, is_refused=True)
    try:
        with session_scope() as session:
            account = account_admin.create(session, settings, values, utc_now())
            shown = account_state.account_json(session, account, settings, utc_now())
            AuditedChange(session, viewer.principal, f"account:{account.sid}").record("account.create", shown)
    except InvalidInput as error:
        return show_again(by_field(error), 422)
    except Conflict as error:
        return show_again({"sid": f"cannot be added: {error}"}, 409)
    accepted = Flash("It is watched: Twilio accepts its credentials. Its first logs come in a moment.")
    return redirect(
        request, f"/accounts/{values['sid']}", unreadable("It is watched", trial) if trial.warnings else accepted
    )


def unreadable(done: str, trial: Trial) -> Flash:
    """Say why an account cannot be read with the credentials that were tried."""
    warning = trial.warnings[0]
    return Flash(f"{done}, but it cannot be read yet: {account_form.LABELS[warning.field]} {warning.message}.", "warn")


def by_field(error: InvalidInput) -> dict[str, str]:
    """Name the form's field of each error: of `signing_keys.x` that of all keys."""
    return {each.field.partition(".")[0]: each.message for each in reversed(error.errors)}


@router.get("/accounts/{sid}")
def show_account(request: Request, viewer: SignedIn, sid: Sid) -> Response:
    """Show one account: its streams, its form, and a backfill."""
    return show_page(request, viewer, sid)


def show_page(
    request: Request,
    viewer: Viewer,
    sid: str,
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    *,
    status: int = 200,
    is_refused: bool = False,
) -> Response:
    with session_scope() as session:
        account = account_admin.get(session, sid)
        found = _views(session, [account], settings_of(request))[0]
        now = utc_now()
        covered = coverage.of_account(session, account, now - coverage.SHOWN_SPAN, now)
    span = {
        "since": texts.local_field(now - timedelta(days=BACKFILL_DAYS), viewer.zone),
        "until": texts.local_field(now, viewer.zone),
    }
    context = {
        "section": "accounts",
        "account": found,
        "accounts": [found],
        "coverage": strips(covered),
        "version": etag(found.shown, account_state.VOLATILE_FIELDS),
        "typed": account_form.write(found.shown) | span | dict(typed or {}),
        "errors": errors or {},
        "labels": account_form.LABELS,
        "is_refused": is_refused,
    }
    return render(request, viewer, "account.html", context, status)


@router.post("/accounts/{sid}/promote-token")
def promote_token(request: Request, viewer: Admin, sid: Sid) -> Response:
    """Make the next auth token the auth token."""
    with session_scope() as session:
        account_operations.promote_token(session, viewer.principal, sid, settings_of(request))
    return redirect(request, f"/accounts/{sid}", Flash("The next token is the auth token now. It is tried."))


@router.post("/accounts/{sid}/delete")
def delete_account(request: Request, viewer: Admin, sid: Sid) -> Response:
    """Stop watching an account."""
    with session_scope() as session:
        before = account_operations.delete(session, viewer.principal, sid, settings_of(request))
    name = before["friendly_name"] or sid
    return redirect(request, "/accounts", Flash(f"{name} is not watched any more. Its logs stay until they expire."))


@router.post("/accounts/{sid}/poll")
def poll_account(request: Request, viewer: Admin, sid: Sid) -> Response:
    """Poll every stream of an account now."""
    with session_scope() as session:
        account_admin.poll_now(session, account_admin.get(session, sid), utc_now())
        AuditedChange(session, viewer.principal, f"account:{sid}").record("account.poll", None)
    return redirect(request, f"/accounts/{sid}", Flash("It is polled in a moment."))


@router.post("/accounts/{sid}/backfill")
def backfill_account(request: Request, viewer: Admin, sid: Sid, form: PostedForm) -> Response:
    """Read a span of all streams again."""
    settings = settings_of(request)
    now = utc_now()
    since, until = (texts.read_local_field(form.get(name), viewer.zone) for name in ("since", "until"))
    errors = {
        name: "must be a date and a time, such as 2026-11-23T06:00"
        for name, at in (("since", since), ("until", until))
        if at is None
    }
    if since is None or until is None:
        return show_page(request, viewer, sid, form.typed(), errors, status=422)
    try:
        with session_scope() as session:
            account = account_admin.get(session, sid)
            retention = timedelta(days=settings.retention_days)
            backfills.request(session, account.id, since, min(until, now), now, retention)
            account_admin.poll_now(session, account, now)
            asked = {"since": rfc3339(since), "until": rfc3339(min(until, now))}
            AuditedChange(session, viewer.principal, f"account:{sid}").record("account.backfill", asked)
    except InvalidInput as error:
        return show_page(request, viewer, sid, form.typed(), by_field(error), status=422)
    return redirect(request, f"/accounts/{sid}", Flash("It is read again. What it finds does not alert."))
