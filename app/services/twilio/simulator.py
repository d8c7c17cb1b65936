"""The bundled Twilio simulator: whether it is watched, and how to start its incidents."""

import httpx

from app.config import Settings
from app.errors import Conflict
from app.utils.addresses import is_loopback_url

TIMEOUT_SECONDS = 5.0
INCIDENTS = ("carrier_filtering", "unreachable_gb", "webhook_down", "spend_surge", "traffic_stop")


def is_watched(settings: Settings) -> bool:
    """Return whether a simulator on this machine stands in for Twilio."""
    return is_loopback_url(settings.twilio_api_base_url)


def start_incident(settings: Settings, incident: str) -> None:
    """Let the simulator start an incident.

    Raises: Conflict if it is not watched, has no such incident, or does not answer.
    """
    if not is_watched(settings) or incident not in INCIDENTS:
        raise Conflict("only the bundled simulator can start incidents, and this is not one of its incidents")
    url = f"{settings.twilio_api_base_url}/_simulator/scenarios/{incident}"
    try:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            client.post(url).raise_for_status()
    except httpx.HTTPError:
        raise Conflict("the simulator did not begin it: look at its log") from None
