"""The lives of messages, calls and error-log entries, by chance and Twilio's statuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from scripts.twilio_simulator import wire
from scripts.twilio_simulator.plans import Maker, Plan
from scripts.twilio_simulator.wire import Kind

SENDERS = ("+14155550123", "+14155550124", "+442079460123", "ACME")
SERVICE_SID = "MG00000000000000000000000000000001"
SERVICE_SENDER = "+14155550199"
COUNTRIES = {
    "US": ("+1415555{:04}", 100, 199, 55, 0.0079),
    "GB": ("+447700900{:03}", 0, 999, 20, 0.0463),
    "DE": ("+49171392{:04}", 0, 99, 12, 0.0845),
    "FR": ("+33639980{:03}", 0, 999, 8, 0.0651),
    "AU": ("+61491570{:03}", 0, 999, 5, 0.0515),
}
"""Per country: a fictional number prefix, its least and greatest ending, weight, price of a segment."""
TEXTS = (
    "Your ACME code is {:06}. It is good for ten minutes.",
    "Your parcel {:06} will be delivered today between 9 and 12.",
    "Reminder: your appointment is tomorrow at 10:30. Reference {:06}.",
    "Order {:06} has been paid. Thank you for shopping with ACME.",
)
REPLIES = ("Yes", "No, sorry", "STOP", "Thanks!", "When will it come?")
VOICE_URL, SMS_URL = "https://app.example.com/voice", "https://app.example.com/sms"
CALL_COUNTRY_PRICE = 0.014


@dataclass(frozen=True)
class Fate:
    """The outcome of an outbound message."""

    status: str
    error_code: int | None = None


DELIVERED = Fate("delivered")
FOREVER_SENT = Fate("sent")
FATES: Sequence[tuple[Fate, float]] = (
    (DELIVERED, 0.955),
    (FOREVER_SENT, 0.012),
    (Fate("undelivered", 30003), 0.008),
    (Fate("undelivered", 30005), 0.006),
    (Fate("undelivered", 30006), 0.005),
    (Fate("undelivered", 30008), 0.004),
    (Fate("failed", 21610), 0.006),
    (Fate("failed", 30034), 0.002),
    (Fate("canceled"), 0.002),
)


def number(maker: Maker, country: str | None = None) -> str:
    """Choose a number to write to or to call."""
    chosen = country or maker.random.choices(list(COUNTRIES), [item[3] for item in COUNTRIES.values()])[0]
    form, least, most, _, _ = COUNTRIES[chosen]
    return form.format(maker.random.randint(least, most))


def any_fate(maker: Maker) -> Fate:
    """Choose the outcome of a message in ordinary traffic."""
    return maker.random.choices([fate for fate, _ in FATES], [weight for _, weight in FATES])[0]


def outbound_message(
    maker: Maker,
    at: datetime,
    fate: Fate | None = None,
    *,
    to: str | None = None,
    sender: str | None = None,
    send_after: float = 0.0,
) -> Plan:
    """Plan a message that is sent, immediately or as scheduled, with its outcome."""
    end, service = fate or any_fate(maker), sender is None and (maker.chance(0.3) or send_after > 0)
    receiver = to or number(maker)
    plan = Plan(
        Kind.MESSAGE,
        at,
        {
            "sid": maker.sid("SM"),
            "status": "scheduled" if send_after else "accepted" if service else "queued",
            "from": None if service else sender or maker.random.choice(SENDERS),
            "to": receiver,
            "messaging_service_sid": SERVICE_SID if service else None,
            "num_segments": "0" if service else "1",
            "body": maker.random.choice(TEXTS).format(maker.random.randrange(10**6)),
            "date_sent": None,
        },
    )
    sending = send_after + maker.seconds(0.3, 1.5)
    if end.status in ("failed", "canceled"):
        return plan.then(sending, status=end.status, error_code=end.error_code)
    sent = sending + maker.seconds(0.5, 2.0)
    plan.then(sending, status="sending", **({"from": SERVICE_SENDER, "num_segments": "1"} if service else {}))
    plan.then(sent, status="sent", date_sent=plan.moment(sent))
    final = sent + maker.random.choice((1, 1, 1, 30)) * maker.seconds(0.5, 12.0)
    if end is not FOREVER_SENT:
        plan.then(final, status=end.status, error_code=end.error_code)
    return plan.then(final + maker.seconds(20, 1800), price=f"-{_message_price(receiver):.5f}")


def _message_price(receiver: str) -> float:
    prices = [item[4] for item in COUNTRIES.values() if receiver.startswith(item[0][:3])]
    return prices[0] if prices else 0.1


def inbound_message(maker: Maker, at: datetime) -> Plan:
    """Plan an inbound message."""
    fields = {
        "sid": maker.sid("SM"),
        "status": "received",
        "direction": "inbound",
        "from": number(maker),
        "to": SENDERS[0],
        "body": maker.random.choice(REPLIES),
    }
    return Plan(Kind.MESSAGE, at, fields).then(maker.seconds(20, 900), price="-0.00750")


CALL_ENDS = (("completed", 0.76), ("busy", 0.07), ("no-answer", 0.1), ("failed", 0.03), ("canceled", 0.04))


def call(maker: Maker, at: datetime, end: str | None = None, *, to: str | None = None) -> Plan:
    """Plan a call that rings and is answered or not."""
    status = end or maker.random.choices([name for name, _ in CALL_ENDS], [weight for _, weight in CALL_ENDS])[0]
    inbound = end is None and maker.chance(0.25)
    ours, theirs = SENDERS[0], to or number(maker)
    fields = {
        "sid": maker.sid("CA"),
        "status": "queued",
        "direction": "inbound" if inbound else "outbound-api",
        "from": theirs if inbound else ours,
        "to": ours if inbound else theirs,
        "start_time": None,
        "end_time": None,
        "duration": None,
    }
    plan = Plan(Kind.CALL, at, fields)
    dialled = maker.seconds(0.2, 2.0)
    if status == "canceled":  # Before dialling: such a call never gets a start or an end.
        return plan.then(dialled, status=status, duration="0")
    if status == "failed":
        moment = plan.moment(dialled)
        return plan.then(dialled, status=status, duration="0", start_time=moment, end_time=moment)
    plan.then(dialled, status="ringing", start_time=plan.moment(dialled))
    answered = dialled + maker.seconds(2.0, 15.0)
    if status in ("busy", "no-answer"):
        return plan.then(answered, status=status, duration="0", end_time=plan.moment(answered))
    return _conversation(maker, plan, answered)


def _conversation(maker: Maker, plan: Plan, answered: float) -> Plan:
    spoken = maker.seconds(3600, 4 * 3600) if maker.chance(0.003) else maker.random.expovariate(1 / 90) + 3
    ended = answered + spoken
    plan.then(answered, status="in-progress")
    plan.then(ended, status="completed", duration=str(round(spoken)), end_time=plan.moment(ended))
    price = CALL_COUNTRY_PRICE * ceil(spoken / 60)
    return plan.then(ended + maker.seconds(60, 3600), price=f"-{price:.5f}")


def error(
    maker: Maker,
    at: datetime,
    error_code: int,
    *,
    resource_sid: str = "",
    level: str = "error",
    url: str = VOICE_URL,
    http_status: int | None = None,
) -> Plan:
    """Plan an error-log entry, stored shortly after its event."""
    code = str(error_code)
    plan = Plan(
        Kind.ERROR,
        at,
        {
            "sid": maker.sid("NO"),
            "error_code": code,
            "log_level": level,
            "resource_sid": resource_sid,
            "request_url": url,
            "alert_text": wire.alert_text(code, level, url, http_status),
        },
        visible_after=maker.seconds(0.5, 2.0),
    )
    stored = plan.moment(plan.visible_after)
    plan.fields.update(date_created=stored, date_updated=stored)
    return plan
