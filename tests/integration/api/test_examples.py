"""The examples of the OpenAPI document do no harm to who sends them as they stand; its pages ask no other host."""

import json
from datetime import datetime, timedelta
from typing import Any

import httpx

from app.utils.clock import utc_now
from tests.integration.api.conftest import Api

Json = dict[str, Any]


def example_of(document: Json, schema: Json) -> Any:
    """Make what Swagger UI shows in the box of a body: the first example of each field, or a value of its type."""
    if "$ref" in schema:
        return example_of(document, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    if "example" in schema or schema.get("examples"):
        return schema["example"] if "example" in schema else schema["examples"][0]
    if "default" in schema or "const" in schema or "enum" in schema:
        return schema.get("default", schema.get("const", schema.get("enum", [None])[0]))
    if "anyOf" in schema:
        return example_of(document, schema["anyOf"][0])
    if schema.get("type") == "object":
        return {name: example_of(document, part) for name, part in schema.get("properties", {}).items()}
    return {"string": "string", "integer": 0, "number": 0, "boolean": True, "array": []}.get(schema.get("type", ""))


async def send(api: Api, document: Json, method: str, path: str, operation: Json) -> httpx.Response:
    """Send a call as it stands."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            value = (parameter["schema"].get("examples") or parameter.get("examples") or ["string"])[0]
            path = path.replace("{" + parameter["name"] + "}", str(value))
    content = operation.get("requestBody", {}).get("content", {})
    if "application/yaml" in content:
        headers = {"Content-Type": "application/yaml"}
        return await api.request(method, path, content=content["application/yaml"]["example"], headers=headers)
    if "application/json" in content:
        body = example_of(document, content["application/json"]["schema"])
        return await api.request(method, path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    return await api.request(method, path)


async def test_examples_do_no_harm_when_they_are_sent_as_they_stand(api: Api) -> None:
    document = (await api.get("/openapi.json")).json()
    made = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            # An account is tried at Twilio; of Twilio's own calls there is no example.
            if method == "get" or path == "/api/accounts" or path.startswith("/webhooks/"):
                continue
            answer = await send(api, document, method, path, operation)
            assert answer.status_code in (200, 201, 404), f"{method} {path}: {answer.text}"
            made += [path] if answer.status_code != 404 else []
    assert {"/api/rules", "/api/actions", "/api/silences", "/api/import", "/api/rules/preview"} <= set(made)
    for kind in ("rules", "actions"):
        found = (await api.get(f"/api/{kind}")).json()["items"]
        assert found
        assert [thing for thing in found if thing["enabled"]] == [], kind
    (silence,) = (await api.get("/api/silences")).json()["items"]
    assert datetime.fromisoformat(silence["ends_at"]) - utc_now() <= timedelta(minutes=10)
    assert silence["group"] == {"from": "+15005550006"}


async def test_the_pages_of_the_documentation_ask_no_other_host(api: Api) -> None:
    assert b"cdn.redoc.ly" not in (await api.get("/docs/assets/redoc.standalone.js")).content
    assert "validatorUrl: null" in (await api.get("/docs/assets/start-swagger.js")).text
