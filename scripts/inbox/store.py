"""The newest few hundred messages, in memory and as files, so that a restart keeps them."""

import json
import re
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path

MAX_MESSAGES = 500


@dataclass(frozen=True)
class Mail:
    """A mail as a mail program would show it."""

    number: int
    received_at: str
    recipient: str
    """The recipient in the envelope, not in the header."""
    headers: list[tuple[str, str]]
    subject: str
    sender: str
    text: str
    html: str
    kind: str = "mail"


@dataclass(frozen=True)
class Webhook:
    """An HTTP request, unchanged."""

    number: int
    received_at: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: str
    signature: str
    """`valid`, or why it is not."""
    type: str = ""
    """The type in the body, such as `alert.firing`."""
    subject: str = ""
    kind: str = "webhook"


Message = Mail | Webhook


@dataclass
class Store:
    """The messages, oldest first."""

    folder: Path
    messages: deque[Message] = field(default_factory=deque)
    last_number: int = 0

    def load(self) -> None:
        """Load the messages of an earlier run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.folder.glob("*.json")):
            if not re.fullmatch(r"\d{8}\.json", path.name):
                continue
            values = json.loads(path.read_text())
            self.messages.append(Mail(**values) if values["kind"] == "mail" else Webhook(**values))
            self.last_number = values["number"]

    def next_number(self) -> int:
        self.last_number += 1
        return self.last_number

    def add(self, message: Message) -> None:
        self.messages.append(message)
        self._path(message.number).write_text(json.dumps(asdict(message)))
        while len(self.messages) > MAX_MESSAGES:
            self._path(self.messages.popleft().number).unlink(missing_ok=True)

    def find(self, number: int) -> Message | None:
        return next((message for message in self.messages if message.number == number), None)

    def newest_first(self) -> list[Message]:
        return list(reversed(self.messages))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.json"
