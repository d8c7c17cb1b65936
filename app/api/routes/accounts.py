"""Watched accounts: add, edit, remove, poll now, backfill."""

from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session

from app.api import account_operations
from app.api.audited_change import AuditedChange
from app.api.deps import AppSettings, IfMatch, JsonBody, parse
from app.api.idempotency import Idempotent
from app.api.lists import page_response, read_position, shown_warnings
from app.api.openapi import body
from app.api.responses import json_response, no_content, resource_response
from app.api.routing import make_router
from app.api.schemas.accounts import Account as ShownAccount
from app.api.schemas.accounts import (
    AccountBody,
    AccountChanges,
    AccountFilters,
    AccountPage,
    BackfillBody,
    CoverageReport,
    Queued,
)
from app.api.schemas.common import EXAMPLE_ACCOUNT, SpanQuery
from app.api.security import READ, Admin
from app.database import session_scope
from app.models import Account
from app.services.ingest import account_admin, account_state, backfills, coverage, credential_trial
from app.services.ingest.account_state import VOLATILE_FIELDS
from app.services.ingest.credential_trial import Trial
from app.utils import sids
from app.utils.clock import request_time, rfc3339, utc_now
from app.utils.json_types import JsonObject

router = make_router("Accounts", prefix="/api/accounts")
Sid = Annotated[str, Path(pattern=sids.ACCOUNT_SID, description="The account's sid.", examples=[EXAMPLE_ACCOUNT])]


@router.get("", response_model=AccountPage, summary="List accounts", dependencies=READ)
def list_accounts(query: Annotated[AccountFilters, Query()], settings: AppSettings) -> Response:
    """List the watched accounts, newest first, with the state of their streams."""
    with session_scope() as session:
        page = account_admin.list_accounts(
            session, read_position("accounts", query, account_admin.SORT_KEY), query.limit
        )
        shown = account_state.accounts_json(session, page.items, settings, utc_now())
        return page_response("accounts", query, shown, page.older)


@router.post(
    "", status_code=201, response_model=ShownAccount, summary="Watch an account", openapi_extra=body(AccountBody)
)
def create_account(caller: Admin, sent: JsonBody, once: Idempotent, settings: AppSettings) -> Response:
    """Start watching an account. The first poll reads `INITIAL_BACKFILL_HOURS` back, without alerts for what is past.

    The credentials are tried before the response; an account that Twilio refuses is watched, too, and has `warnings`.
    """
    values = parse(AccountBody, sent).given()
    # Before the transaction: Twilio may take seconds to answer.
    trial = credential_trial.run(settings, values, utc_now())

    def effect(session: Session) -> Response:
        account = account_admin.create(session, settings, values, utc_now())
        shown = account_operations.show(session, account, settings)
        AuditedChange(session, caller, f"account:{account.sid}").record("account.create", shown)
        return _response(shown, trial, 201)

    return once.run(caller.id, effect)


def _response(shown: JsonObject, trial: Trial, status: int = 200) -> Response:
    """Respond with an account, and with why it cannot be read with the credentials that were tried."""
    warned = shown_warnings(trial.warnings)
    return resource_response(shown | warned, status, unversioned=(*VOLATILE_FIELDS, "warnings"))


@router.get("/{sid}", response_model=ShownAccount, summary="Get an account", dependencies=READ)
def get_account(sid: Sid, settings: AppSettings) -> Response:
    """Show a watched account with the state of its streams."""
    with session_scope() as session:
        shown = account_operations.show(session, account_admin.get(session, sid), settings)
        return resource_response(shown, unversioned=VOLATILE_FIELDS)


@router.patch("/{sid}", response_model=ShownAccount, summary="Update an account", openapi_extra=body(AccountChanges))
def edit_account(caller: Admin, sid: Sid, sent: JsonBody, expected: IfMatch, settings: AppSettings) -> Response:
    """Update some fields of an account.

    New credentials are tried before the response; those that Twilio refuses are stored, too, and make `warnings`.
    """
    changes = parse(AccountChanges, sent).given()
    # Before the transaction: Twilio may take seconds to answer.
    trial = credential_trial.run_edit(settings, sid, changes, utc_now())
    check = partial(expected.check, unversioned=VOLATILE_FIELDS)
    with session_scope() as session:

        def edit(account: Account) -> None:
            account_admin.edit(session, settings, account, changes, utc_now())

        done = account_operations.operate(session, caller, sid, settings, "account.update", edit, check=check)
        return _response(done.after, trial)


@router.post("/{sid}/promote-token", response_model=ShownAccount, summary="Promote the next auth token")
def promote_token(caller: Admin, sid: Sid, settings: AppSettings) -> Response:
    """Make `next_auth_token` the `auth_token`, as it was promoted at Twilio. It is tried immediately."""
    with session_scope() as session:
        done = account_operations.promote_token(session, caller, sid, settings)
        return resource_response(done.after, unversioned=VOLATILE_FIELDS)


@router.delete("/{sid}", status_code=204, summary="Stop watching an account")
def delete_account(caller: Admin, sid: Sid, expected: IfMatch, settings: AppSettings) -> Response:
    """Stop watching an account. The account of the environment can only be disabled."""
    with session_scope() as session:
        check = partial(expected.check, unversioned=VOLATILE_FIELDS)
        account_operations.delete(session, caller, sid, settings, check)
        return no_content()


@router.get(
    "/{sid}/coverage",
    response_model=CoverageReport,
    summary="Show the coverage of an account",
    dependencies=READ,
)
def get_coverage(sid: Sid, query: Annotated[SpanQuery, Query()]) -> Response:
    """Show per stream which spans were completely read, are lost, or are not read yet; by default of 30 days."""
    since, until = query.resolve(coverage.SHOWN_SPAN)
    with session_scope() as session:
        items = coverage.of_account(session, account_admin.get(session, sid), since, until)
    return json_response({"items": [coverage.item_json(item) for item in items]})


@router.post("/{sid}/poll", status_code=202, response_model=Queued, summary="Poll an account now")
def poll_account(caller: Admin, sid: Sid) -> Response:
    """Poll all streams of an account now, even if they are not due."""
    with session_scope() as session:
        account = account_admin.get(session, sid)
        account_admin.poll_now(session, account, utc_now())
        AuditedChange(session, caller, f"account:{sid}").record("account.poll", None)
        return json_response({"status": "queued"}, 202)


@router.post(
    "/{sid}/backfill",
    status_code=202,
    response_model=Queued,
    summary="Backfill an account",
    openapi_extra=body(BackfillBody),
)
def backfill_account(caller: Admin, sid: Sid, sent: JsonBody, once: Idempotent, settings: AppSettings) -> Response:
    """Read a time span of all streams again. Its logs do not alert; `backfills` of the account shows the progress."""
    parsed = parse(BackfillBody, sent)

    def effect(session: Session) -> Response:
        now = utc_now()
        account = account_admin.get(session, sid)
        until = parsed.until or request_time()
        backfills.request(session, account.id, parsed.since, until, now, timedelta(days=settings.retention_days))
        account_admin.poll_now(session, account, now)
        asked = {"since": rfc3339(parsed.since), "until": rfc3339(until)}
        AuditedChange(session, caller, f"account:{sid}").record("account.backfill", asked)
        return json_response({"status": "queued"}, 202)

    return once.run(caller.id, effect)
