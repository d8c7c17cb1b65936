"""Schemas of export and import."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from app.api.schemas.common import WARNINGS, FieldWarning, ResponseModel, YesOrNo

Flag = Annotated[YesOrNo, WithJsonSchema({"type": "boolean"})]


class ImportOptions(BaseModel):
    """How to import."""

    model_config = ConfigDict(extra="forbid")

    dry_run: Flag = Field(False, description="Return the differences without changing anything.")
    prune: Flag = Field(False, description="Delete objects of earlier imports that are not in this document.")


class FieldChange(ResponseModel):
    """One field that differs."""

    before: Any = Field(description="The current value; secrets as fingerprints.", examples=["warning"])
    after: Any = Field(description="The new value; secrets as fingerprints.", examples=["critical"])


class Change(ResponseModel):
    """One object that an import changes."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    kind: Literal["rule", "action", "silence"] = Field(description="What it is.")
    slug: str = Field(description="The object's stable name in the document.", examples=["failed-calls"])
    change: Literal["create", "update", "delete"] = Field(description="The kind of change.")
    fields: dict[str, FieldChange] = Field(description="The differing fields.")
    warnings: list[FieldWarning] = Field([], description=f"{WARNINGS} Omitted if there are none.")


class ImportResult(ResponseModel):
    """The changes of an import, or of a dry run."""

    dry_run: bool = Field(description="Whether this was a dry run, which changed nothing.", examples=[False])
    changes: list[Change] = Field(description="In document order, deletions last; empty if nothing differs.")
