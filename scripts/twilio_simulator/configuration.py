"""Resources that customers set through the API to receive callbacks: numbers, services, sinks and subscriptions."""

from dataclasses import dataclass, field

from scripts.twilio_simulator.records import Record
from scripts.twilio_simulator.wire import Fields, Kind


@dataclass(frozen=True)
class Targets:
    """The URLs to call; empty ones are not called. A fragment overrides the retry policy: `#rc=5&rp=all`."""

    status: str = ""
    """Status callbacks of messages and calls."""
    error: str = ""
    """The error webhook."""
    events: str = ""
    """The webhook sink of Event Streams."""


RESOURCE_KINDS = {
    "numbers": ("incoming_phone_numbers", "PN"),
    "services": ("services", "MG"),
    "sinks": ("sinks", "DG"),
    "subscriptions": ("subscriptions", "DF"),
}
"""The resource kinds: the key of their list, and the prefix of their SIDs."""


@dataclass
class Configuration:
    """The configured resources of all accounts, by SID."""

    resources: dict[str, Fields] = field(default_factory=dict)

    def add_number(self, account_sid: str, sid: str, number: str) -> None:
        """Add a phone number to an account."""
        methods = dict.fromkeys(("status_callback_method", "voice_method", "sms_method"), "POST")
        urls = dict.fromkeys(("status_callback", "voice_url", "sms_url", "voice_fallback_url", "sms_fallback_url"), "")
        self.resources[sid] = {
            "sid": sid,
            "account_sid": account_sid,
            "friendly_name": number,
            "phone_number": number,
            "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False},
            "date_created": None,
            "date_updated": None,
            "api_version": "2010-04-01",
            "uri": f"/2010-04-01/Accounts/{account_sid}/IncomingPhoneNumbers/{sid}.json",
            **urls,
            **methods,
        }

    def add_service(self, account_sid: str, sid: str, name: str) -> None:
        """Add a messaging service to an account."""
        self.resources[sid] = {
            "sid": sid,
            "account_sid": account_sid,
            "friendly_name": name,
            "inbound_request_url": None,
            "inbound_method": "POST",
            "status_callback": None,
            "use_inbound_webhook_on_number": False,
            "validity_period": 36000,
            "date_created": None,
            "date_updated": None,
            "url": f"https://messaging.twilio.com/v1/Services/{sid}",
        }

    def of(self, account_sid: str, prefix: str) -> list[Fields]:
        """List an account's resources of one kind."""
        return [
            found
            for sid, found in self.resources.items()
            if sid.startswith(prefix) and found["account_sid"] == account_sid
        ]

    def targets(self, record: Record) -> Targets:
        """Return where Twilio sends callbacks about a record. Only the Console can set the error webhook."""
        return Targets(status=self._status_callback(record) or "", events=self._sink(record.account_sid))

    def _status_callback(self, record: Record) -> str | None:
        if record.kind is Kind.MESSAGE:
            service = self.resources.get(record.fields["messaging_service_sid"] or "", {})
            return service.get("status_callback")
        numbers = self.of(record.account_sid, "PN")
        called = [found["status_callback"] for found in numbers if found["phone_number"] == record.value("to")]
        return called[0] if called else None

    def _sink(self, account_sid: str) -> str:
        subscribed = {found["sink_sid"] for found in self.of(account_sid, "DF")}
        sinks = [found for found in self.of(account_sid, "DG") if found["sid"] in subscribed]
        return str(sinks[0]["sink_configuration"].get("destination", "")) if sinks else ""
