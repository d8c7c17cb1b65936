"""The console's CSS, script and icons. Their address contains a hash of all files, so browsers can cache them."""

import gzip
import hashlib
import re
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from app.api.problems import Refused

FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
KEEP = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


class Asset(NamedTuple):
    """One file, compressed once at start."""

    media_type: str
    content: bytes
    compressed: bytes


def _squeeze(css: bytes) -> bytes:
    """Remove comments and unneeded spaces from a style sheet; its strings contain neither."""
    text = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", css.decode(), flags=re.DOTALL))
    return re.sub(r"\s*([{};,])\s*", r"\1", text).replace(";}", "}").strip().encode()


def _load() -> dict[str, Asset]:
    found = {}
    for path in sorted(FOLDER.iterdir()):
        content = _squeeze(path.read_bytes()) if path.suffix == ".css" else path.read_bytes()
        found[path.name] = Asset(MEDIA_TYPES[path.suffix], content, gzip.compress(content, mtime=0))
    return found


ASSETS = MappingProxyType(_load())
VERSION = hashlib.sha256(b"".join(asset.content for asset in ASSETS.values())).hexdigest()[:12]


def asset_path(name: str) -> str:
    """Return the address of a file."""
    assert name in ASSETS, name
    return f"/assets/{VERSION}/{name}"


@router.get("/assets/{version}/{name}")
async def get_asset(request: Request, version: str, name: str) -> Response:
    """Return one of the console's files. Requests for an old version get the current content, uncached."""
    asset = ASSETS.get(name)
    if asset is None:
        raise Refused(404, "There is no such file.")
    headers = {"Cache-Control": KEEP if version == VERSION else "no-store", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.compressed, headers=headers, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)
