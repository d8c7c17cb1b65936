"""Rules in a document."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from app.errors import FieldError
from app.models import Rule
from app.services import rule_admin, rule_checks
from app.services.rules import definition
from app.services.rules.definition import RuleDefinition
from app.services.transfer.context import TransferContext
from app.services.transfer.document import slug_of
from app.utils.json_types import JsonObject


class Rules:
    """Rules."""

    name = "rule"

    def stored(self, context: TransferContext) -> Sequence[Rule]:
        return context.session.scalars(select(Rule).order_by(Rule.created_at, Rule.id)).all()

    def slug(self, item: Rule) -> str:
        return item.slug or slug_of(self.name, item.name, item.id)

    def is_over(self, context: TransferContext, entry: JsonObject) -> bool:  # noqa: ARG002  # the protocol's
        return False

    def lock(self, context: TransferContext) -> None:
        rule_admin.lock_all(context.session)

    def is_unchanged(self, context: TransferContext, item: Rule, entry: JsonObject) -> bool:
        parsed = definition.parse_rule(definition.writable(self._body(context, entry)))
        return self._shown(context, parsed) == self.show(context, item)

    def order(self, entries: Mapping[str, JsonObject]) -> list[str]:
        """Order rules so that each comes after those that it depends on."""
        ordered: dict[str, None] = {}
        path: set[str] = set()

        def visit(slug: str) -> None:
            named = entries[slug].get("depends_on")
            path.add(slug)
            for each in named if isinstance(named, list) else ():
                if isinstance(each, str) and each in entries and each not in path and each not in ordered:
                    visit(each)
            path.discard(slug)
            ordered[slug] = None

        for slug in entries:
            if slug not in ordered:
                visit(slug)
        return list(ordered)

    def show(self, context: TransferContext, item: Rule) -> JsonObject:
        return self._shown(context, definition.from_row(item))

    def _shown(self, context: TransferContext, wanted: RuleDefinition) -> JsonObject:
        shown = definition.as_json(wanted)
        shown["depends_on"] = [context.names.rule_slug(each) for each in wanted.depends_on]
        return shown | {"filters": {name: values for name, values in shown["filters"].items() if values}}

    def audited(self, context: TransferContext, item: Rule) -> JsonObject:
        return self.show(context, item)

    def create(self, context: TransferContext, entry: JsonObject) -> Rule:
        return rule_admin.create(context.session, self._body(context, entry), context.settings, context.now)

    def update(self, context: TransferContext, item: Rule, entry: JsonObject) -> Rule:
        body = self._body(context, entry)
        return rule_admin.replace(context.session, item.id, body, context.settings, context.now, allow_cycle=True)

    def errors(self, context: TransferContext) -> dict[UUID, FieldError]:
        return dict.fromkeys(rule_checks.rules_in_cycles(context.session), rule_checks.CYCLE)

    def _body(self, context: TransferContext, entry: JsonObject) -> JsonObject:
        return entry | {"depends_on": context.names.rule_ids(entry, "depends_on")}

    def delete(self, context: TransferContext, item: Rule) -> None:
        rule_admin.delete(context.session, item.id, context.settings, context.now)

    def dependents(self, context: TransferContext, item: Rule) -> Sequence[Rule]:
        return rule_admin.dependents(context.session, item.id)

    def warnings(self, context: TransferContext, item: Rule) -> list[FieldError]:
        return rule_checks.warnings(context.session, definition.from_row(item), context.settings)
