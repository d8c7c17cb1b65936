"""What to do after reading a report. Pure."""

from collections.abc import Sequence

from app.actions.facts import single_line
from app.actions.report_text import SHOWN, Report
from app.utils.quantities import counted, first_of

NOISY_FROM = 10
"""A rule with this many notifications and no acknowledged alert is noisy."""


def next_step(report: Report) -> str:
    """Return the most useful next step."""
    alerts, noisiest = report["alerts"], report["rules"]["noisiest"]
    if not report["whole"]:
        return "Not all of the time was read, so figures may be too low. Look under Accounts for the reason."
    if report["not_read"] and not report["traffic"]["total"]:
        return "No log of this time was read. A backfill of the account, under Accounts, reads what Twilio still has."
    if alerts["open"]:
        are = "is" if alerts["open"] == 1 else "are"
        return f"Look at the {counted(alerts['open'], 'alert')} of this time that {are} open."
    if report["unwatched"]:
        return _about_unwatched(report["unwatched"])
    if noisiest and noisiest[0]["notifications"] >= NOISY_FROM and not noisiest[0]["acknowledged"]:
        name = single_line(noisiest[0]["rule_name"])
        return f"Nobody acknowledged an alert of “{name}”, which made the most notifications: raise its threshold."
    return "Nothing: no alert of this time is open, and every error code is watched."


def _about_unwatched(items: Sequence[Report]) -> str:
    """Name the rule packs that watch these codes. A code counts once, though logs of several types have it."""
    packs = {each["error_code"]: each["pack"] for each in items}
    first, more = items[0]["error_code"], len(packs) - 1
    came = f"error code {first}" + (f" and {counted(more, 'other')}" if more else "")
    them = "them" if more else "it"
    without = [str(code) for code, pack in packs.items() if not pack]
    names = list(dict.fromkeys(pack for pack in packs.values() if pack))
    steps = []
    if names:
        steps.append(f"install the rule {'pack' if len(names) == 1 else 'packs'} {_enumerated(names)}")
    if without:
        steps.append("make a rule" + (f" for {_enumerated(without)}" if names else ""))
    advice = " and ".join(steps)
    return f"No rule watches {came}. {advice[0].upper()}{advice[1:]} to hear of {them}."


def _enumerated(names: Sequence[str]) -> str:
    """Write a list as in a sentence; of a long one only the first items."""
    if len(names) > SHOWN:
        return first_of(names, SHOWN)
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
