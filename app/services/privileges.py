"""Checks the privileges of the database role."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.models import Base
from app.services.logs.partitions import PARTITIONED
from app.utils import database_errors

NEEDED = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""Required on every table."""
SHOWN = 3


@dataclass(frozen=True)
class Missing:
    """The missing privileges, and how to grant them."""

    said: str
    stops_all: bool
    """False if only the partitions of the next months cannot be created or dropped."""


def missing(session: Session) -> Missing | None:
    """Find missing privileges; None if the role has all it needs."""
    if session.scalar(text("SELECT current_setting('transaction_read_only')")) == "on":
        return Missing(database_errors.READ_ONLY, stops_all=True)
    role, schema = session.execute(text("SELECT current_user, current_schema()")).one()
    lacking = session.execute(_LACKING, {"tables": sorted(Base.metadata.tables), "needed": list(NEEDED)}).all()
    if lacking:
        named = ", ".join(f"{row.privilege} on {row.table_name}" for row in lacking[:SHOWN])
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        wanted = f'GRANT {", ".join(NEEDED)} ON ALL TABLES IN SCHEMA "{schema}" TO "{role}"'
        return Missing(f'the role "{role}" lacks {named}{more}: {wanted}', stops_all=True)
    if sequence := session.scalar(_CLOSED_SEQUENCE, {"tables": sorted(Base.metadata.tables)}):
        said = f'the role "{role}" lacks USAGE on {sequence}'
        return Missing(f'{said}: GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO "{role}"', stops_all=True)
    if session.scalar(text("SELECT has_schema_privilege(current_schema(), 'CREATE')")) is False:
        said = f'the role "{role}" may not create the partitions of the coming months'
        return Missing(f'{said}: GRANT CREATE ON SCHEMA "{schema}" TO "{role}"', stops_all=False)
    owners = session.scalars(_OTHER_OWNERS, {"tables": list(PARTITIONED)}).all()
    if owners:
        said = f'the role "{role}" may not create the partitions of the coming months: "{owners[0]}" owns the tables'
        return Missing(f'{said}: GRANT "{owners[0]}" TO "{role}"', stops_all=False)
    return None


_LACKING = text(
    "SELECT name AS table_name, privilege FROM unnest(CAST(:tables AS text[])) WITH ORDINALITY AS known (name, number)"
    " CROSS JOIN unnest(CAST(:needed AS text[])) WITH ORDINALITY AS needed (privilege, position)"
    " WHERE NOT has_table_privilege(to_regclass(name), privilege) ORDER BY number, position"
)
_CLOSED_SEQUENCE = text(
    "SELECT sequence.relname FROM pg_class AS sequence JOIN pg_depend ON objid = sequence.oid"
    " WHERE refobjid IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name)"
    " AND CASE WHEN relkind = 'S' THEN NOT has_sequence_privilege(sequence.oid, 'USAGE') END ORDER BY 1 LIMIT 1"
)
_OTHER_OWNERS = text(
    "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE oid = ANY(SELECT to_regclass(name)"
    " FROM unnest(CAST(:tables AS text[])) AS name) AND NOT pg_has_role(relowner, 'USAGE')"
)
