"""Answers: JSON by orjson, and the tag that names the version of a resource."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import orjson
from fastapi import Response

JsonObject = dict[str, Any]


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def resource_response(shown: JsonObject, status: int = 200, *, unversioned: Collection[str] = ()) -> Response:
    """Answer with one resource and its `ETag`.

    Args:    unversioned: fields that are no part of the version, since they move without anybody's edit.
    """
    return json_response(shown, status, {"ETag": etag(shown, unversioned)})


def etag(shown: JsonObject, unversioned: Collection[str] = ()) -> str:
    """Name the version of a resource by a hash of what it shows."""
    content = {name: value for name, value in shown.items() if name not in unversioned}
    digest = hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()
    return f'"{digest}"'


def no_content() -> Response:
    """Answer that it is deleted."""
    return Response(status_code=204)
