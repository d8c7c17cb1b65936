"""Twilio's error codes: meaning, likely cause, next step."""

from typing import Annotated

from fastapi import Path, Query, Response

from app.api.lists import read_cursor, write_cursor
from app.api.responses import json_response, resource_response
from app.api.routing import make_router
from app.api.schemas.error_codes import ErrorCodeDetail, ErrorCodeFilters, ErrorCodePage
from app.api.security import READ
from app.database import session_scope
from app.services import names
from app.services.twilio import code_groups, error_codes

router = make_router("Error codes", prefix="/api/error-codes")
Code = Annotated[int, Path(ge=1, le=999_999, description="Twilio's error code.", examples=[30003])]


@router.get("", response_model=ErrorCodePage, summary="List error codes", dependencies=READ)
def list_error_codes(query: Annotated[ErrorCodeFilters, Query()]) -> Response:
    """List the codes of the catalogue, highest first, and the names that `error_code` patterns may use for many."""
    below = 1_000_000 if query.cursor is None else read_cursor("error-codes", query)[0]
    wanted = {int(code) for code in query.code}
    found = [
        each for each in reversed(error_codes.all_codes()) if each.code < below and (not wanted or each.code in wanted)
    ]
    shown = found[: query.limit]
    following = write_cursor("error-codes", query, [shown[-1].code]) if len(found) > query.limit else None
    groups = [
        {"name": group.name, "description": group.description, "codes": group.known_codes}
        for group in code_groups.all_groups()
    ]
    items = [error_codes.to_json(each) for each in shown]
    return json_response({"names": groups, "items": items, "next_cursor": following})


@router.get("/{code}", response_model=ErrorCodeDetail, summary="Get an error code", dependencies=READ)
def get_error_code(code: Code) -> Response:
    """Explain an error code, with the rules about it. For an unknown code, the response describes its range."""
    with session_scope() as session:
        rules = names.rules_about_code(session, code)
    items = [{"id": rule_id, "name": name} for rule_id, name in rules.items()]
    return resource_response(error_codes.to_json(error_codes.describe(code)) | {"rules": items})
