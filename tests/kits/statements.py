"""One cache of compiled statements for all engines: each test has its own, which would compile everything again."""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.util import LRUCache

_compiled: LRUCache[Any, Any] = LRUCache(5_000)


class SharingDialect(PGDialect_psycopg2):
    """The product's dialect; as a part of a cache's key, all its instances are one."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.server_version_info == self.server_version_info

    def __hash__(self) -> int:
        return hash(type(self))

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        engine._compiled_cache = _compiled


def share() -> None:
    """Let every engine that is made from now on use the one cache."""
    registry.register("postgresql.psycopg2", __name__, SharingDialect.__name__)
