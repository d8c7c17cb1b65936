"""Actions in a document. Their configs contain secrets."""

import os
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from app.errors import FieldError, InvalidInput
from app.models import Action
from app.services.outbox import actions
from app.services.outbox.action_config import config_or_empty
from app.services.transfer import references
from app.services.transfer.context import TransferContext
from app.services.transfer.document import slug_of
from app.utils.json_types import JsonObject


class Actions:
    """Actions. Their configs contain secrets."""

    name = "action"

    def lock(self, context: TransferContext) -> None:
        actions.lock_all(context.session)

    def is_unchanged(self, context: TransferContext, item: Action, entry: JsonObject) -> bool:  # noqa: ARG002  # the protocol's
        return False

    def order(self, entries: Mapping[str, JsonObject]) -> list[str]:
        return list(entries)

    def stored(self, context: TransferContext) -> Sequence[Action]:
        return context.session.scalars(select(Action).order_by(Action.created_at, Action.id)).all()

    def slug(self, item: Action) -> str:
        return slug_of(self.name, item.action_type, item.id)

    def is_over(self, context: TransferContext, entry: JsonObject) -> bool:  # noqa: ARG002  # the protocol's
        return False

    def show(self, context: TransferContext, item: Action) -> JsonObject:
        clear, masked = config_or_empty(item, context.settings), actions.masked_config(item, context.settings)
        config = references.restore(masked, clear, context.names.references.get(item.id, {}), os.environ)
        return self._entry(context, item, config)

    def audited(self, context: TransferContext, item: Action) -> JsonObject:
        return self._entry(context, item, actions.to_audit_json(item, context.settings)["config"])

    def _entry(self, context: TransferContext, item: Action, config: JsonObject) -> JsonObject:
        fields = {name: value for name, value in actions.body_of(item, config).items() if name != "rule_id"}
        return {"rule": context.names.rule_slug(item.rule_id), **fields}

    def create(self, context: TransferContext, entry: JsonObject) -> Action:
        body = self._body(context, entry)
        if errors := references.masked(body["config"], "config"):
            raise InvalidInput(errors)
        return actions.create(context.session, body, context.settings, context.now)[0]

    def update(self, context: TransferContext, item: Action, entry: JsonObject) -> Action:
        body = self._body(context, entry)
        stored = config_or_empty(item, context.settings) if body.get("action_type") == item.action_type else {}
        if "secret" in stored and body["config"].get("secret") is None:
            # If a document leaves the secret to be generated, later imports must keep it.
            body["config"] = {**body["config"], "secret": stored["secret"]}
        return actions.replace(context.session, item.id, body, context.settings, context.now)[0]

    def _body(self, context: TransferContext, entry: JsonObject) -> JsonObject:
        if not isinstance(entry.get("config"), dict):
            raise InvalidInput([FieldError("config", "must be an object")])
        rule_id = context.names.rule_id(entry)
        return {
            **{name: value for name, value in entry.items() if name != "rule"},
            "config": references.resolve(entry["config"], os.environ, "config"),
            "rule_id": None if rule_id is None else str(rule_id),
        }

    def errors(self, context: TransferContext) -> dict[UUID, FieldError]:  # noqa: ARG002  # the protocol's
        return {}

    def delete(self, context: TransferContext, item: Action) -> None:
        actions.delete(context.session, item.id, context.now)

    def dependents(self, context: TransferContext, item: Action) -> Sequence[Action]:  # noqa: ARG002  # the protocol's
        return []

    def warnings(self, context: TransferContext, item: Action) -> list[FieldError]:  # noqa: ARG002  # the protocol's
        return []
