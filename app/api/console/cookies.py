"""Cookies that no script reads and no form of another site brings. HTTPS alone carries them where it is used."""

from fastapi import Response

from app.config import Settings


def bound_name(settings: Settings, name: str) -> str:
    """Return the name that binds a cookie to this host with HTTPS."""
    return f"__Host-{name}" if settings.is_https else name


def keep(answer: Response, settings: Settings, name: str, value: str, seconds: int | None) -> None:
    """Set a cookie.

    Args:    seconds: how long it is kept; None: until the browser is closed.
    """
    secure = settings.is_https
    answer.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax")


def drop(answer: Response, settings: Settings, name: str) -> None:
    """Delete a cookie."""
    answer.delete_cookie(name, path="/", secure=settings.is_https, httponly=True, samesite="lax")
