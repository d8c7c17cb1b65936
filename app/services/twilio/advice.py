"""Advice on Twilio's error codes: the subject of each range, who is at fault, and what to do. Pure."""

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """What to do about a code."""

    next_step: str
    fault: str | None = None
    """`customer`, `carrier` or `twilio`, where we know more than the catalogue."""
    fits_one: bool = False
    """It applies to a single number, and does not help if many are affected."""


# The first code of each range, and its subject.
FAMILIES = (
    (0, "HTTP statuses"),
    (10000, "Account"),
    (11000, "HTTP requests to your server"),
    (12000, "TwiML"),
    (13000, "TwiML of calls"),
    (14000, "TwiML of messages, TaskRouter"),
    (15000, "Call progress"),
    (16000, "Conferences and recordings"),
    (17000, "Insights"),
    (18000, "Regulatory bundles"),
    (19000, "REST API"),
    (21000, "Parameters of the REST API"),
    (21200, "Parameters of calls"),
    (21400, "Parameters of messages"),
    (22000, "Regulatory bundles"),
    (25000, "Organizations"),
    (30000, "Delivery of messages"),
    (30100, "Link shortening"),
    (30400, "Messaging providers, verification and registration"),
    (31000, "Voice client SDKs and media streams"),
    (32000, "SIP"),
    (33000, "Wireless"),
    (34000, "Fax"),
    (35000, "Scheduling of messages"),
    (40000, "TaskRouter"),
    (45000, "Flex"),
    (50000, "Chat, conversations, video, sync and notify"),
    (57000, "Webhooks"),
    (60000, "Verify and Lookup"),
    (62000, "Interconnect"),
    (63000, "Channels: WhatsApp, RCS, Messenger"),
    (64000, "Pay and ConversationRelay"),
    (70000, "Twilio"),
    (80000, "Proxy"),
    (81000, "Studio"),
    (82000, "Functions"),
    (83000, "Super SIM"),
    (90000, "Account and platform"),
    (91000, "Events"),
    (94000, "Transcription and intelligence"),
)
_STARTS = [start for start, _ in FAMILIES]

ACCOUNT = Advice("Look at the account's balance and compliance notices in Twilio's Console.", "customer")
WEBHOOK = Advice(
    "Look at your server's own log for the address in the entry: it failed, was slow, or was not reachable.", "customer"
)
CERTIFICATE = Advice("Renew the certificate of your server and serve its whole chain.", "customer")
TWIML = Advice("Open the address in the entry and validate the TwiML that it answers.", "customer")
QUEUE = Advice(
    "The sender is handed more than it may send: slow down, or add numbers to the Messaging Service.", "customer"
)
BLOCKED = Advice("Carriers filter this traffic: look at content, consent and the sender's registration.", "carrier")
UNREACHABLE = Advice("Check the number with Lookup and drop it from lists if it stays unreachable.", "carrier", True)
UNREGISTERED = Advice("Register the sender or campaign for this destination before sending on.", "customer")
THROUGHPUT = Advice("The cap of the campaign or brand is reached: spread the traffic, or apply for more.", "customer")
PUMPING = Advice(
    "Traffic was blocked as likely fraud: look for one country or prefix that grew, and limit it.", "customer"
)
DIALLING = Advice("Check the number and the countries that voice geographic permissions allow.", "customer", True)
GEO = Advice("Allow the country under geographic permissions, or stop sending there.", "customer")
ENDPOINT = Advice("Check the SIP endpoint: is it registered, reachable and allowed?", "customer")
SENDER = Advice("Check that the sender belongs to this account and can reach the destination.", "customer")
WAIT = Advice("Nothing to fix on your side: watch Twilio's status page, and send again later.", "twilio")
CHANNEL = Advice("Check the recipient, the template and the 24-hour window of the channel.", "customer")
SINK = Advice("Your Event Streams sink rejects events: fix it, because these events are lost.", "customer")
LIMIT = Advice("Ask for a higher limit, or send fewer requests at once.", "customer")
PARAMETERS = Advice("Check the parameters of the request that your code sent.", "customer")

# First and last code, and the advice. Later entries win.
SPANS: tuple[tuple[int, int, Advice], ...] = (
    (10001, 10999, ACCOUNT),
    (11100, 11999, WEBHOOK),
    (11236, 11237, CERTIFICATE),
    (11220, 11220, CERTIFICATE),
    (11750, 11750, TWIML),
    (12000, 13999, TWIML),
    (13214, 13227, DIALLING),
    (14100, 14199, TWIML),
    (14107, 14107, QUEUE),
    (15003, 15003, WEBHOOK),
    (17580, 17580, WEBHOOK),
    (20001, 20499, Advice("Check the request and its credentials.", "customer")),
    (20003, 20003, Advice("Check the credentials, and what the API key may do.", "customer")),
    (20005, 20005, ACCOUNT),
    (20429, 20429, LIMIT),
    (20500, 20599, WAIT),
    (21000, 21999, PARAMETERS),
    (21215, 21215, DIALLING),
    (21408, 21408, GEO),
    (21606, 21606, SENDER),
    (21608, 21608, Advice("Verify the destination, or upgrade the trial account.", "customer")),
    (21609, 21609, WEBHOOK),
    (21610, 21610, Advice("The recipient opted out: take the number off your lists.", "customer")),
    (21611, 21611, QUEUE),
    (21612, 21612, SENDER),
    (21617, 21617, Advice("Shorten the message.", "customer")),
    (21703, 21705, SENDER),
    (30001, 30001, QUEUE),
    (30002, 30002, ACCOUNT),
    (30003, 30003, UNREACHABLE),
    (30004, 30004, BLOCKED),
    (30005, 30006, UNREACHABLE),
    (30007, 30007, BLOCKED),
    (
        30008,
        30008,
        Advice("The carrier gave no reason: watch the rate, and ask Twilio's support if it grows.", "carrier"),
    ),
    (30017, 30017, Advice("The carrier's network is congested: send again later.", "carrier")),
    (30018, 30018, UNREGISTERED),
    (30019, 30019, Advice("Make the message or its media smaller.", "customer")),
    (30022, 30023, THROUGHPUT),
    (30024, 30024, UNREGISTERED),
    (30025, 30025, THROUGHPUT),
    (30032, 30035, UNREGISTERED),
    (
        30036,
        30036,
        Advice("The message waited in the queue until it expired: look for a backlog at this sender.", "customer"),
    ),
    (30037, 30037, ACCOUNT),
    (30038, 30039, BLOCKED),
    (30040, 30041, UNREGISTERED),
    (30410, 30410, WAIT),
    (30450, 30450, PUMPING),
    (30453, 30454, PUMPING),
    (30485, 30485, PUMPING),
    (30500, 30500, WAIT),
    (31000, 31999, Advice("Often the network of the user's device: watch the rate.", None)),
    (32000, 32299, ENDPOINT),
    (32205, 32205, GEO),
    (32001, 32001, LIMIT),
    (32012, 32013, LIMIT),
    (60203, 60203, PUMPING),
    (60238, 60238, PUMPING),
    (60410, 60410, PUMPING),
    (60605, 60605, PUMPING),
    (63000, 63999, CHANNEL),
    (80000, 80999, PARAMETERS),
    (
        81000,
        82999,
        Advice("Look at the flow or function in Twilio's Console: its log names the step that failed.", "customer"),
    ),
    (90010, 90010, ACCOUNT),
    (91300, 91399, SINK),
    (93101, 93101, SINK),
)
GENERIC = Advice("Read Twilio's page about this code.")


def family_of(code: int) -> str:
    """Return the subject of a code's range."""
    index = bisect_right(_STARTS, code) - 1
    return FAMILIES[index][1] if index >= 0 and code <= 99999 else "Unknown"


def advice_for(code: int) -> Advice:
    """Return advice for a code; generic advice if there is none."""
    found = GENERIC
    for first, last, advice in SPANS:
        if first <= code <= last:
            found = advice
    return found
