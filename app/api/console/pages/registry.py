"""The routers of all pages."""

from app.api.console.pages import alerts, logs, overview, sign_in

ROUTERS = (sign_in.router, overview.router, alerts.router, logs.router)
