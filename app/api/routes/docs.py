"""The API documentation as web pages. All scripts and styles come from this server."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse

from app.api.problems import Refused
from app.api.responses import json_response
from app.api.security import open_unless_closed

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "redoc.standalone.js": "text/javascript; charset=utf-8",
    "favicon.png": "image/png",
}
START_SWAGGER = """window.ui = SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, persistAuthorization: false, tryItOutEnabled: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset], layout: "BaseLayout",
  validatorUrl: null
});
"""
START_REDOC = 'Redoc.init("/openapi.json", {hideDownloadButton: false}, document.getElementById("redoc"));\n'
SCRIPTS = {"start-swagger.js": START_SWAGGER, "start-redoc.js": START_REDOC}
# Both pages insert inline styles; Redoc searches in a worker that it creates from a blob.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>GiftPulse API</title>
<link rel="icon" href="/docs/assets/favicon.png">
{head}
</head>
<body style="margin: 0">
<div id="{element_id}"></div>
{scripts}
</body>
</html>
"""
STYLE = '<link rel="stylesheet" href="/docs/assets/swagger-ui.css">'

router = APIRouter(include_in_schema=False)
OPEN = [Depends(open_unless_closed("docs_open"))]


def _page(element_id: str, head: str, *scripts: str) -> Response:
    tags = "\n".join(f'<script src="/docs/assets/{name}"></script>' for name in scripts)
    content = PAGE.format(head=head, element_id=element_id, scripts=tags)
    return HTMLResponse(content, headers={"Content-Security-Policy": POLICY})


@router.get("/docs", dependencies=OPEN)
def get_docs() -> Response:
    """Show the API in Swagger UI, which can send requests."""
    return _page("swagger-ui", STYLE, "swagger-ui-bundle.js", "start-swagger.js")


@router.get("/redoc", dependencies=OPEN)
def get_redoc() -> Response:
    """Show the API in Redoc, for reading."""
    return _page("redoc", "", "redoc.standalone.js", "start-redoc.js")


@router.get("/docs/assets/{name}", dependencies=OPEN)
def get_docs_asset(name: str) -> Response:
    """Return a script, style or image of the two pages."""
    headers = {"Cache-Control": "public, max-age=86400"}
    if name in SCRIPTS:
        return Response(SCRIPTS[name], headers=headers, media_type="text/javascript; charset=utf-8")
    if name not in ASSETS:
        raise Refused(404, "There is no such file.")
    return Response(_asset(name), headers={**headers, "Content-Type": ASSETS[name]})


@cache
def _asset(name: str) -> bytes:
    """Read a file of the two pages. Redoc would fetch a logo from its vendor."""
    content = files("fastapi_offline").joinpath("static", name).read_bytes()
    return content.replace(b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"/docs/assets/favicon.png")


@router.get("/openapi.json", dependencies=OPEN)
def get_openapi_document(request: Request) -> Response:
    """Return the OpenAPI document."""
    return json_response(request.app.openapi())
