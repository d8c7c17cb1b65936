"""The card of the first steps: those that are done, those that are missing, and the next one."""

from typing import NamedTuple

from app.config import Settings
from app.services.setup import FirstSteps
from app.utils.quantities import counted


class Step(NamedTuple):
    """One line of the card."""

    title: str
    detail: str
    is_done: bool
    href: str = ""
    """Where it is done."""
    button: str = ""
    command: str = ""
    """The command that does the same."""


def left(found: FirstSteps, settings: Settings) -> list[Step]:
    """List the steps; empty if all are done."""
    steps = steps_of(found, settings.smtp_host)
    return [] if all(step.is_done for step in steps) else steps


def steps_of(found: FirstSteps, smtp_host: str | None) -> list[Step]:
    """List the steps; the mail server only if it is needed."""
    needs_mail = found.sends_mail or not smtp_host
    mail = Step(
        "Mail server", smtp_host or "SMTP_HOST is not set: mails fail.", bool(smtp_host), "/settings", "Settings"
    )
    return [
        _reading(found),
        Step(
            "First rule",
            counted(found.rules, "enabled rule", "enabled rules")
            if found.rules
            else "No rule is enabled: nothing alerts.",
            found.rules > 0,
            "/rules/packs",
            "Choose a pack",
        ),
        _notifying(found),
        *([mail] if needs_mail else []),
        Step(
            "Push from Twilio",
            "Twilio reports within seconds." if found.is_pushed else "Learn of failures within seconds, not minutes.",
            found.is_pushed,
            command="python -m app twilio connect",
        ),
    ]


def _reading(found: FirstSteps) -> Step:
    if found.is_read:
        detail = counted(found.accounts, "account")
    else:
        single = {0: "No account is watched.", 1: "Waiting for Twilio's first response."}
        detail = single.get(found.accounts, "Not every account was read yet.")
    return Step("Twilio is read", detail, found.is_read, "/accounts", "Accounts")


def _notifying(found: FirstSteps) -> Step:
    if found.is_notified:
        detail = counted(found.actions, "action is on", "actions are on")
    else:
        detail = (
            "Nothing has arrived anywhere yet: send a test." if found.actions else "Nobody is notified of an alert."
        )
    to, button = ("/actions", "Send a test") if found.actions else ("/actions/new", "Add an action")
    return Step("Somebody is notified", detail, found.is_notified, to, button)
