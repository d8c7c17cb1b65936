"""The network of the outbox's machine: it answers as it is told, and remembers what came."""

from collections import defaultdict
from collections.abc import Mapping

from app.actions import mail_text
from app.actions.base import Envelope, Receipt, SendError
from app.utils.http import RequestFailed
from app.utils.json_types import JsonObject
from app.utils.mail_addresses import read_sender
from app.utils.response_head import Answer

ANSWERS = ("200", "500", "503 in 60", "429 in 9000", "404", "410", "timeout", "blocked", "bug")


class Ledger:
    """Stands in for receivers of webhooks and for a mail server."""

    def __init__(self) -> None:
        self.answer = "200"
        self.sent: dict[str, list[bytes]] = defaultdict(list)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Take the place of the guarded client."""
        self.sent[headers["webhook-id"]].append(body)
        if self.answer in ("timeout", "blocked"):
            raise RequestFailed("timeout" if self.answer == "timeout" else "blocked", "it is told so")
        if self.answer == "bug":
            raise RuntimeError("a bug of ours")
        status, _, wait = self.answer.partition(" in ")
        return Answer(int(status), {"retry-after": wait} if wait else {}, b"said")

    async def send(self, config: JsonObject, envelope: Envelope) -> Receipt:
        """Take the place of the sender of mails."""
        mail = mail_text.message(envelope, read_sender("alerts@example.com"))
        self.sent[envelope.delivery_id].append(mail)
        if self.answer == "200":
            return Receipt(250, "ok")
        if self.answer == "bug":
            raise RuntimeError("a bug of ours")
        raise SendError("it is told so", permanent=self.answer in ("404", "410", "blocked"))
