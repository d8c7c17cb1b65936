"""Schemas of the audit."""

from typing import Annotated, Any

from pydantic import Field

from app.api.schemas.common import CommaList, PageQuery, ResponseModel, ShownTime, TimeOrAge, Values
from app.services.audit import AuditFilter


class AuditFilters(PageQuery):
    """Filters for audit entries."""

    target: str | None = Field(
        None, max_length=200, description="The changed object, such as `rule:` and its id.", examples=["rule:..."]
    )
    by: str | None = Field(
        None, max_length=200, description="Who made it, with or without the prefix of the key.", examples=["Ann"]
    )
    kind: Annotated[Values, CommaList("[a-z_]{1,40}", "a kind of object", "rule,action")] = Field(
        (), description="Kind of the changed object; separate several with commas."
    )
    since: TimeOrAge | None = Field(None, description="From this time on.")
    until: TimeOrAge | None = Field(None, description="Before this time.")

    def to_filter(self) -> AuditFilter:
        """Return the filter that these parameters name."""
        return AuditFilter(**self.model_dump(exclude={"limit", "cursor"}))


class AuditEntry(ResponseModel):
    """One change, and who made it."""

    at: ShownTime = Field(description="When it happened.")
    by: str = Field(
        description="Name and prefix of the API key, or another source of the change.",
        examples=["dashboard (gp_h3Kd81xZ)"],
    )
    action: str = Field(description="The kind of change.", examples=["rule.update"])
    target: str = Field(description="The changed object.", examples=["rule:6f1c2f0e-7f0b-4a6e-9a54-0a3c5a1d2b11"])
    before: dict[str, Any] | None = Field(
        description="The object before the change, secrets as fingerprints; null if it was created.",
        examples=[{"enabled": True}],
    )
    after: dict[str, Any] | None = Field(
        description="The object after the change, secrets as fingerprints; null if it was deleted.",
        examples=[{"enabled": False}],
    )


class AuditPage(ResponseModel):
    """A page of the audit, newest first."""

    items: list[AuditEntry] = Field(description="The entries.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
