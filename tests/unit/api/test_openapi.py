"""The OpenAPI document: complete, described, and with examples that the shapes take."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import pytest

from app.api import openapi
from app.services.twilio.vocabulary import DIRECTIONS

Json = dict[str, Any]


@pytest.fixture
def document(settings: object) -> Json:
    """The document, which no test changes."""
    return _document()


@cache
def _document() -> Json:
    from app.api.main import create_app  # reads the settings at its import, as servers want it

    return openapi.make(create_app())


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, found in document["paths"].items():
        for method, operation in found.items():
            yield f"{method.upper()} {path}", operation


def faults(document: Json, schema: Json, value: Any) -> list[str]:
    whole = {"components": document["components"], "allOf": [schema]}
    return [error.message for error in jsonschema_rs.Draft202012Validator(whole).iter_errors(value)]


def test_every_schema_and_every_field_has_a_description(document: Json) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert "enum" in schema or schema.get("description"), name
        for field, part in schema.get("properties", {}).items():
            assert part.get("description") or "$ref" in part, f"{name}.{field}"


def test_fields_that_measure_name_their_unit(document: Json) -> None:
    units = {"_minutes": "minute", "_days": "day", "_ms": "millisecond", "_seconds": "second", "percent": "percent"}
    for name, schema in document["components"]["schemas"].items():
        for field, part in schema.get("properties", {}).items():
            for ending, unit in units.items():
                if field.endswith(ending) and "$ref" not in part:
                    assert unit in part["description"].lower(), f"{name}.{field}"


def test_every_call_has_a_summary_a_description_and_a_known_tag(document: Json) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert len(operation["tags"]) == 1, name
        assert operation["tags"][0] in openapi.TAGS, name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], f"{name} {parameter['name']}"
    assert [tag["name"] for tag in document["tags"]] == list(openapi.TAGS)


def test_the_names_of_operations_are_verbs_and_unique(document: Json) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", each) for each in ids), ids


def test_every_call_says_how_it_may_fail(document: Json) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")) and name != "GET /api/health":
                assert list(response["content"]) == ["application/problem+json"], f"{name} {status}"
        if operation.get("security") and {} not in operation["security"]:
            assert {"401", "403", "429", "503"} <= set(operation["responses"]), name


def test_the_examples_fit_their_shapes(document: Json) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field, part in schema.get("properties", {}).items():
            for example in part.get("examples", []):
                assert not faults(document, part, example), f"{name}.{field}"


def test_the_framework_s_own_errors_are_not_in_it(document: Json) -> None:
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_each_error_shows_an_example_of_its_own(document: Json) -> None:
    problem = document["components"]["schemas"]["Problem"]
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            found = response.get("content", {}).get("application/problem+json")
            if found is None:
                assert status < "4" or all("example" in each for each in response["content"].values()), name
                continue
            example = found["example"]
            assert example["status"] == int(status), f"{name} {status}"
            assert not faults(document, problem, example), f"{name} {status}"
            assert ("errors" in example) == (status == "422"), f"{name} {status}"


def test_the_values_of_a_direction_are_listed(document: Json) -> None:
    (direction,) = [
        parameter
        for parameter in document["paths"]["/api/logs"]["get"]["parameters"]
        if parameter["name"] == "direction"
    ]
    for where in (direction, document["components"]["schemas"]["Log"]["properties"]["direction"]):
        for words in DIRECTIONS.values():
            assert all(f"`{word}`" in where["description"] for word in words)
