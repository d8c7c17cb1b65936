"""Accounts: what is watched, and how far each stream was read."""

from typing import Annotated

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console.access import Admin, SignedIn
from app.api.console.rendering import Flash, redirect, render
from app.api.console.routing import make_router
from app.api.schemas.common import ACCOUNT_SID
from app.config import Settings
from app.database import session_scope
from app.services.ingest import account_admin
from app.utils.clock import utc_now

router = make_router()
MAX_ACCOUNTS = 100
Sid = Annotated[str, Path(pattern=ACCOUNT_SID)]


@router.get("/accounts")
def list_accounts(request: Request, viewer: SignedIn) -> Response:
    """List the watched accounts with the state of their streams."""
    settings: Settings = request.app.state.settings
    now = utc_now()
    with session_scope() as session:
        watched = account_admin.list_accounts(session, None, MAX_ACCOUNTS).items
        shown = [account_admin.account_json(session, account, settings, now) for account in watched]
    return render(request, viewer, "accounts.html", {"section": "accounts", "accounts": shown})


@router.get("/accounts/{sid}")
def show_account(request: Request, viewer: SignedIn, sid: Sid) -> Response:
    """Show one account with the state of its streams."""
    with session_scope() as session:
        account = account_admin.get(session, sid)
        shown = account_admin.account_json(session, account, request.app.state.settings, utc_now())
    return render(request, viewer, "accounts.html", {"section": "accounts", "accounts": [shown]})


@router.post("/accounts/{sid}/poll")
def poll_account(request: Request, viewer: Admin, sid: Sid) -> Response:
    """Poll every stream of an account now."""
    with session_scope() as session:
        account_admin.poll_now(session, account_admin.get(session, sid), utc_now())
        AuditedChange(session, viewer.principal, f"account:{sid}").record("account.poll", None)
    return redirect(request, f"/accounts/{sid}", Flash("It is polled in a moment."))
