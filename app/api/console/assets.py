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


def _squeeze_script(script: bytes) -> bytes:
    """Remove comment lines and indentation from a script; none of its strings spans lines."""
    return re.sub(rb"^\s*(//.*\n)?", b"", script, flags=re.MULTILINE)


def _squeeze_style(css: bytes) -> bytes:
    """Remove comments and unneeded spaces from a style sheet, and shorten its names.

    Its strings contain no comment, no space before punctuation and no name of a custom property.
    """
    text = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", css.decode(), flags=re.DOTALL))
    text = re.sub(r"\s*([{};,>])\s*", r"\1", text).replace(";}", "}")
    text = re.sub(r"(?<=[{;])([\w-]+): ", r"\1:", text)
    text = re.sub(r"\{([^{}]*)\}", _sort_declarations, text)
    return _shorten_names(text).strip().encode()


def _sort_declarations(block: re.Match[str]) -> str:
    """Sort the declarations of a rule: in one order they compress better. `border` stays before `border-top`."""
    return f"{{{';'.join(sorted(block[1].split(';'), key=lambda each: each.partition(':')[0]))}}}"


def _shorten_names(text: str) -> str:
    """Shorten the names of custom properties, which only the style sheet uses."""
    names = sorted(set(re.findall(r"--[a-z][\w-]*", text)))
    short = {name: f"--{number:x}" for number, name in enumerate(names)}
    return re.sub(r"--[a-z][\w-]*", lambda name: short[name[0]], text)


SQUEEZE = {".css": _squeeze_style, ".js": _squeeze_script}


def _load() -> dict[str, Asset]:
    found = {}
    for path in sorted(FOLDER.iterdir()):
        content = SQUEEZE.get(path.suffix, bytes)(path.read_bytes())
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
