"""One table of fields: values, tables and the API agree with it."""

from decimal import Decimal

from app.api.schemas.logs import Log as ShownLog
from app.models import Log, LogChange
from app.services import log_fields
from app.services.log_fields import ATTRIBUTES, CHANGE_COLUMNS, COLUMNS, FIELDS, NAMES
from app.services.logs.search import LogFilter
from app.services.logs.types import NormalizedLog
from app.services.rules.types import LogVersion
from tests.factories import make_log

SQL_TYPES = {"TEXT": "text", "INTEGER": "int", "NUMERIC": "numeric"}


def test_a_version_has_the_fields_in_the_order_of_the_table() -> None:
    first = LogVersion._fields.index(ATTRIBUTES[0])
    assert LogVersion._fields[first : first + len(FIELDS)] == ATTRIBUTES


def test_a_normalized_log_has_the_fields() -> None:
    assert set(ATTRIBUTES) <= set(NormalizedLog.__struct_fields__)


def test_the_tables_have_the_columns_and_their_types() -> None:
    assert {name: SQL_TYPES[str(Log.__table__.columns[name].type)] for name in COLUMNS} == COLUMNS
    assert all(Log.__table__.columns[name].nullable for name in COLUMNS)
    assert set(CHANGE_COLUMNS) == set(COLUMNS) & set(LogChange.__table__.columns.keys())


def test_the_api_shows_the_fields_in_the_order_of_the_table() -> None:
    shown = [field.alias or name for name, field in ShownLog.model_fields.items()]
    assert [name for name in shown if name in NAMES] == list(NAMES)


def test_a_field_that_is_filtered_by_is_a_filter() -> None:
    assert {field.attribute for field in FIELDS if field.filterable} <= set(LogFilter.__dataclass_fields__)


def test_a_price_is_shown_as_it_is() -> None:
    assert log_fields.shown(log_fields.values_of(make_log(price=Decimal("-0.00750"))))["price"] == "-0.00750"
    assert log_fields.shown(log_fields.values_of(make_log(price=None)))["price"] is None
