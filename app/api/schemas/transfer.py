"""Export and import on the wire."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from app.api.schemas.common import WARNINGS, FieldWarning, ResponseModel, YesOrNo

Flag = Annotated[YesOrNo, WithJsonSchema({"type": "boolean"})]


class ImportOptions(BaseModel):
    """How to import."""

    model_config = ConfigDict(extra="forbid")

    dry_run: Flag = Field(False, description="Answer with the difference alone, and change nothing.")
    prune: Flag = Field(False, description="Delete what an earlier import named and this document does not.")


class FieldChange(ResponseModel):
    """One field that differs."""

    before: Any = Field(description="What it is; secrets as fingerprints.", examples=["warning"])
    after: Any = Field(description="What it becomes; secrets as fingerprints.", examples=["critical"])


class Change(ResponseModel):
    """One thing that an import changes."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    kind: Literal["rule", "action", "silence"] = Field(description="What it is.")
    slug: str = Field(description="Its name in the document.", examples=["failed-calls"])
    change: Literal["create", "update", "delete"] = Field(description="What happens to it.")
    fields: dict[str, FieldChange] = Field(description="The fields that differ.")
    warnings: list[FieldWarning] = Field([], description=f"{WARNINGS} Left out where there is none.")


class ImportResult(ResponseModel):
    """What an import changed, or would change."""

    dry_run: bool = Field(description="Nothing was changed.", examples=[False])
    changes: list[Change] = Field(
        description="In the order of the document, deletions last; none if all is as it says."
    )
