"""The settings of this server."""

from fastapi import Request, Response

from app.api.deps import AppSettings
from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.settings import EffectiveSettings
from app.api.security import READ
from app.services.effective_settings import list_settings

router = make_router("Settings", prefix="/api/settings")


@router.get("", response_model=EffectiveSettings, summary="List the settings in effect", dependencies=READ)
def get_settings(request: Request, settings: AppSettings) -> Response:
    """List all settings and where each comes from. Of a secret, only whether it is set.

    They are read when the server starts: a change needs a restart.
    """
    found = list_settings(settings, request.app.state.origins)
    return json_response({"items": [each._asdict() for each in found]})
