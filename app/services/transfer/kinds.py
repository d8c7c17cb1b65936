"""The kinds of objects in a document: how each is serialized, created, edited and deleted.

Edits use the services of the API, so an import can do no more than a series of API calls.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from app.errors import FieldError
from app.services.transfer.actions import Actions
from app.services.transfer.context import TransferContext
from app.services.transfer.rules import Rules
from app.services.transfer.silences import Silences
from app.utils.json_types import JsonObject


class ResourceKind(Protocol):
    """The interface of the three kinds."""

    name: str

    def stored(self, context: TransferContext) -> Sequence[Any]:
        """List the objects that a document contains."""

    def slug(self, item: Any) -> str:
        """Create a slug for an object that has none in a document yet."""

    def lock(self, context: TransferContext) -> None:
        """Lock what edits of these objects change, before the first one."""

    def is_unchanged(self, context: TransferContext, item: Any, entry: JsonObject) -> bool:
        """Return whether an entry describes an object as it is. False if only an edit can tell.

        Raises: InvalidInput, with fields of the entry.
        """

    def order(self, entries: Mapping[str, JsonObject]) -> list[str]:
        """Return the slugs of entries in the order in which they are applied."""

    def is_over(self, context: TransferContext, entry: JsonObject) -> bool:
        """Return whether an entry has expired and can be skipped."""

    def show(self, context: TransferContext, item: Any) -> JsonObject:
        """Serialize an object as its entry; secrets are masked or references."""

    def audited(self, context: TransferContext, item: Any) -> JsonObject:
        """Serialize an object for the audit; secrets are fingerprints."""

    def create(self, context: TransferContext, entry: JsonObject) -> Any:
        """Create an object from its entry.

        Raises: InvalidInput, with fields of the entry.
        """

    def update(self, context: TransferContext, item: Any, entry: JsonObject) -> Any:
        """Update an object to match its entry.

        Raises: InvalidInput, with fields of the entry.
        """

    def delete(self, context: TransferContext, item: Any) -> None:
        """Delete an object."""

    def dependents(self, context: TransferContext, item: Any) -> Sequence[Any]:
        """List the objects of this kind that change when an object is deleted."""

    def errors(self, context: TransferContext) -> dict[UUID, FieldError]:
        """Find the objects that cannot stay as they are now that all are edited."""

    def warnings(self, context: TransferContext, item: Any) -> list[FieldError]:
        """List fields that may not have the intended effect."""


KINDS: tuple[ResourceKind, ...] = (Rules(), Actions(), Silences())
