"""The audit on the wire."""

from typing import Any

from pydantic import Field

from app.api.schemas.common import PageQuery, ResponseModel, ShownTime, TimeOrAge


class AuditFilters(PageQuery):
    """Which entries."""

    target: str | None = Field(
        None, max_length=200, description="What was changed, such as `rule:` and its id.", examples=["rule:..."]
    )
    since: TimeOrAge | None = Field(None, description="From this time on.")
    until: TimeOrAge | None = Field(None, description="Before this time.")


class AuditEntry(ResponseModel):
    """One change that somebody made."""

    at: ShownTime = Field(description="When.")
    by: str = Field(
        description="Name and prefix of the key, or what else made it.", examples=["dashboard (gp_h3Kd81xZ)"]
    )
    action: str = Field(description="What was done.", examples=["rule.update"])
    target: str = Field(description="To what.", examples=["rule:6f1c2f0e-7f0b-4a6e-9a54-0a3c5a1d2b11"])
    before: dict[str, Any] | None = Field(
        description="How it stood before, secrets as fingerprints; null where it was made.",
        examples=[{"enabled": True}],
    )
    after: dict[str, Any] | None = Field(
        description="How it stands since, secrets as fingerprints; null where it was deleted.",
        examples=[{"enabled": False}],
    )


class AuditPage(ResponseModel):
    """A page of the audit, newest first."""

    items: list[AuditEntry] = Field(description="The entries.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
