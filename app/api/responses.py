"""Responses: JSON by orjson, and the `ETag` of a resource."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import orjson
from fastapi import Response

from app.utils.json_types import JsonObject


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Build a JSON response."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def resource_response(shown: JsonObject, status: int = 200, *, unversioned: Collection[str] = ()) -> Response:
    """Build the response for one resource, with its `ETag`.

    Args:    unversioned: fields that change without an edit and are not part of the version.
    """
    return json_response(shown, status, {"ETag": etag(shown, unversioned)})


def etag(shown: JsonObject, unversioned: Collection[str] = ()) -> str:
    """Return the version of a resource: a hash of its JSON."""
    content = {name: value for name, value in shown.items() if name not in unversioned}
    digest = hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()
    return f'"{digest}"'


def no_content() -> Response:
    """Build a 204 response."""
    return Response(status_code=204)
