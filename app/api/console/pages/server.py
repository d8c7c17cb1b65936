"""The pages about this server: health, settings, the viewer's choices, and the menu on phones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from fastapi import Request, Response
from limits import RateLimitItemPerMinute

from app import __version__
from app.api.console import lag_plots
from app.api.console.access import (
    ANY_SCOPE,
    THEME_COOKIE,
    THEMES,
    ZONE_COOKIE,
    Admin,
    PostedForm,
    SignedIn,
    Viewer,
)
from app.api.console.flash import Flash
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.deps import settings_of
from app.database import session_scope
from app.services import doctor
from app.services.doctor import Finding
from app.services.effective_settings import list_settings
from app.services.health import Health
from app.services.names import names_of
from app.utils.clock import utc_now
from app.utils.zones import is_zone, zone_names

router = make_router()
CHECKS_PER_MINUTE = RateLimitItemPerMinute(6)
CHOICES_KEPT = timedelta(days=365)
CHECKS = {
    "database": "Database",
    "broker": "Broker",
    "polling": "Reading Twilio",
    "workers": "Workers",
    "deliveries": "Deliveries",
}


@router.get("/health")
def show_health(request: Request, viewer: SignedIn) -> Response:
    """Show every check, in words, and how far each stage lags and lagged."""
    health: Health = request.app.state.health.get()
    checks = [(CHECKS.get(name, name), check) for name, check in health.checks.items()]
    now, settings = utc_now(), settings_of(request)
    span = request.query_params.get("span", "")
    span = span if span in lag_plots.SPANS else lag_plots.DEFAULT_SPAN
    with session_scope() as session:
        shown = lag_plots.draw(session, viewer, settings, span, now)
    context = {
        "section": "health",
        "health": health,
        "checks": checks,
        "stages": shown,
        "span": span,
        "spans": list(lag_plots.SPANS),
    }
    return render(request, viewer, "health.html", context)


@router.get("/settings")
def show_settings(request: Request, viewer: SignedIn) -> Response:
    """Show the viewer's choices and the settings of the server. A secret is `set` or `not set`."""
    return _settings_page(request, viewer)


@router.post("/settings/doctor")
def run_doctor(request: Request, viewer: Admin) -> Response:
    """Check everything that GiftPulse depends on, now. It takes a few seconds."""
    detail = "Too many checks in one minute: each reads every account; wait."
    request.app.state.limiter.hit(CHECKS_PER_MINUTE, "doctor", detail)
    findings = list(doctor.examine(settings_of(request), utc_now))
    with session_scope() as session:
        named = names_of(session, {"account_sid": [_last_word(each) for each in findings]}, settings_of(request))
    return _settings_page(request, viewer, [_name_account(each, named) for each in findings])


def _last_word(finding: Finding) -> str:
    return finding.subject.rpartition(" ")[2]


def _name_account(finding: Finding, names: Mapping[str, str]) -> Finding:
    """Put the account's name in place of the SID that ends a subject."""
    sid = _last_word(finding)
    return replace(finding, subject=finding.subject.removesuffix(sid) + names.get(sid, sid))


def _settings_page(request: Request, viewer: Viewer, findings: Sequence[Finding] | None = None) -> Response:
    found = list_settings(settings_of(request), request.app.state.origins)
    context = {
        "section": "settings",
        "given": [each for each in found if each.origin],
        "defaults": [each for each in found if not each.origin],
        "findings": findings,
        "zones": sorted(zone_names()),
        "themes": THEMES,
        "version": __version__,
    }
    return render(request, viewer, "settings.html", context)


@router.post("/settings", dependencies=[ANY_SCOPE])
def save_choices(request: Request, form: PostedForm) -> Response:
    """Store the viewer's time zone and theme on this device."""
    answer = redirect(request, "/settings", Flash("Saved on this device."))
    zone, theme = form.get("zone"), form.get("theme")
    for name, value, known in ((ZONE_COOKIE, zone, is_zone(zone)), (THEME_COOKIE, theme, theme in THEMES)):
        if known:
            answer.set_cookie(
                name,
                value,
                max_age=int(CHOICES_KEPT.total_seconds()),
                path="/",
                secure=settings_of(request).is_https,
                samesite="lax",
            )
        else:
            answer.delete_cookie(name, path="/")
    return answer


@router.get("/more")
def show_more(request: Request, viewer: SignedIn) -> Response:
    """Show the rest of the menu, on phones."""
    return render(request, viewer, "more.html", {"section": "more"})
