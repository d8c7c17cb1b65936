"""Watched accounts: added, edited, removed; polled now, read again."""

from datetime import timedelta
from typing import Annotated

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session

from app.api.answers import JsonObject, gone, json_answer, resource
from app.api.changes import Change
from app.api.deps import AppSettings, IfMatch, JsonBody, parse
from app.api.documents import body
from app.api.idempotency import OnlyOnce
from app.api.lists import answer_page, read_position
from app.api.routing import make_router
from app.api.schemas.accounts import Account as ShownAccount
from app.api.schemas.accounts import AccountBody, AccountChanges, AccountFilters, AccountPage, BackfillBody, Queued
from app.api.schemas.common import ACCOUNT_SID, EXAMPLE_ACCOUNT
from app.api.security import READ, Admin
from app.config import Settings
from app.database import session_scope
from app.models import Account
from app.services.ingest import backfills, watching
from app.utils.clock import rfc3339, utc_now

router = make_router("Accounts", prefix="/api/accounts")
Sid = Annotated[str, Path(pattern=ACCOUNT_SID, description="The account's sid.", examples=[EXAMPLE_ACCOUNT])]
MOVING = ("streams", "quarantined", "requests_last_hour", "max_requests_per_minute", "status", "last_error")
"""What moves without anybody's edit."""


def _show(session: Session, account: Account, settings: Settings) -> JsonObject:
    return watching.account_json(session, account, settings, utc_now())


@router.get("", response_model=AccountPage, summary="List accounts", dependencies=READ)
def list_accounts(query: Annotated[AccountFilters, Query()], settings: AppSettings) -> Response:
    """List the watched accounts, newest first, and how reading each of them goes."""
    with session_scope() as session:
        page = watching.list_accounts(session, read_position("accounts", query, watching.SORT_KEY), query.limit)
        return answer_page("accounts", query, [_show(session, account, settings) for account in page.items], page.older)


@router.post(
    "", status_code=201, response_model=ShownAccount, summary="Watch an account", openapi_extra=body(AccountBody)
)
def create_account(caller: Admin, sent: JsonBody, once: OnlyOnce, settings: AppSettings) -> Response:
    """Watch an account from now on. What happened before is read as far back as asked, and never alerts."""
    wanted = parse(AccountBody, sent)

    def effect(session: Session) -> Response:
        account = watching.create(session, settings, wanted.given(), utc_now())
        shown = _show(session, account, settings)
        Change(session, caller, f"account:{account.sid}").made("account.create", shown)
        return resource(shown, 201, unversioned=MOVING)

    return once.run(caller.id, effect)


@router.get("/{sid}", response_model=ShownAccount, summary="Read one account", dependencies=READ)
def get_account(sid: Sid, settings: AppSettings) -> Response:
    """Show a watched account, and how reading each kind of its logs goes."""
    with session_scope() as session:
        return resource(_show(session, watching.get(session, sid), settings), unversioned=MOVING)


@router.patch("/{sid}", response_model=ShownAccount, summary="Edit an account", openapi_extra=body(AccountChanges))
def edit_account(caller: Admin, sid: Sid, sent: JsonBody, expected: IfMatch, settings: AppSettings) -> Response:
    """Change some fields of an account. Other credentials are tried at once."""
    wanted = parse(AccountChanges, sent)
    with session_scope() as session:
        account = watching.get(session, sid, lock=True)
        before = _show(session, account, settings)
        expected.check(before, MOVING)
        watching.edit(session, settings, account, wanted.given(), utc_now())
        shown = _show(session, account, settings)
        Change(session, caller, f"account:{sid}", before).made("account.update", shown)
        return resource(shown, unversioned=MOVING)


@router.delete("/{sid}", status_code=204, summary="Watch an account no longer")
def delete_account(caller: Admin, sid: Sid, expected: IfMatch, settings: AppSettings) -> Response:
    """Watch an account no longer. The account of the environment can only be disabled."""
    with session_scope() as session:
        account = watching.get(session, sid, lock=True)
        before = _show(session, account, settings)
        expected.check(before, MOVING)
        watching.delete(session, account)
        Change(session, caller, f"account:{sid}", before).made("account.delete", None)
        return gone()


@router.post("/{sid}/poll", status_code=202, response_model=Queued, summary="Poll now")
def poll_account(caller: Admin, sid: Sid) -> Response:
    """Let every stream of an account be polled at once, due or not."""
    with session_scope() as session:
        account = watching.get(session, sid)
        watching.poll_now(session, account, utc_now())
        Change(session, caller, f"account:{sid}").made("account.poll", None)
        return json_answer({"status": "queued"}, 202)


@router.post(
    "/{sid}/backfill", status_code=202, response_model=Queued, summary="Read again", openapi_extra=body(BackfillBody)
)
def backfill_account(caller: Admin, sid: Sid, sent: JsonBody, once: OnlyOnce, settings: AppSettings) -> Response:
    """Let a span of every stream of an account be read again. What is found does not alert; the state shows how far."""
    wanted = parse(BackfillBody, sent)

    def effect(session: Session) -> Response:
        now = utc_now()
        account = watching.get(session, sid)
        until = wanted.until or now
        backfills.request(session, account.id, wanted.since, until, now, timedelta(days=settings.retention_days))
        watching.poll_now(session, account, now)
        asked = {"since": rfc3339(wanted.since), "until": rfc3339(until)}
        Change(session, caller, f"account:{sid}").made("account.backfill", asked)
        return json_answer({"status": "queued"}, 202)

    return once.run(caller.id, effect)
