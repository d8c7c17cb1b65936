"""Rule packs: list and install ready-made sets of rules."""

from typing import Annotated

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange
from app.api.deps import AppSettings
from app.api.idempotency import Idempotent
from app.api.lists import read_cursor, write_cursor
from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.rule_packs import InstalledPack, PackFilters, PackPage
from app.api.security import READ, Writer
from app.services import rule_admin
from app.services.rules import packs
from app.services.serializers import rule_json
from app.utils.clock import utc_now

router = make_router("Rule packs", prefix="/api/rule-packs")
PackName = Annotated[str, Path(description="The pack's name, such as `delivery`; `GET /api/rule-packs` lists them.")]


@router.get("", response_model=PackPage, summary="List rule packs", dependencies=READ)
def list_rule_packs(query: Annotated[PackFilters, Query()]) -> Response:
    """List the packs that come with GiftPulse, by name."""
    after = "" if query.cursor is None else read_cursor("rule-packs", query)[0]
    found = [pack for pack in packs.list_packs() if pack.name > after]
    shown = found[: query.limit]
    following = write_cursor("rule-packs", query, [shown[-1].name]) if len(found) > query.limit else None
    return json_response({"items": [pack.as_json() for pack in shown], "next_cursor": following})


@router.post("/{name}", status_code=201, response_model=InstalledPack, summary="Install a rule pack")
def install_rule_pack(caller: Writer, name: PackName, once: Idempotent, settings: AppSettings) -> Response:
    """Create the missing rules of a pack. Existing rules keep their edits."""

    def effect(session: Session) -> Response:
        pack, made = packs.find_pack(name), rule_admin.install_pack(session, name, utc_now())
        for rule in made:
            AuditedChange(session, caller, f"rule:{rule.id}").record("rule.create", rule_json(rule))
        rules = [rule_admin.detail_json(session, rule, settings) for rule in made]
        return json_response({"name": pack.name, "description": pack.description, "rules": rules}, 201)

    return once.run(caller.id, effect)
