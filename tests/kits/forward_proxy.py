"""An HTTP proxy that remembers what it was asked for: `CONNECT` and absolute addresses, on a loopback port.

Names are looked up in a table, so that a test may use names that nobody knows.
"""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from scripts.local.processes import LOOPBACK


@dataclass
class ForwardProxy:
    """What the proxy leads to, and what it was asked."""

    leads_to: int
    """The loopback port where every request ends."""
    status: int = 200
    """What it answers to `CONNECT`."""
    asked: list[str] = field(default_factory=list)
    """The first line of each request."""
    authorized: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://me:canary@{LOOPBACK}:{self.port}"

    def serve(self, client: socket.socket) -> None:
        """Serve one connection."""
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (piece := client.recv(65_536)):
                    return
                head += piece
            line, _, rest = head.partition(b"\r\n")
            method, target, version = line.decode().split()
            self.asked.append(f"{method} {target}")
            self.authorized += [each.decode() for each in rest.split(b"\r\n") if each.lower().startswith(b"proxy-auth")]
            if self.status != 200:
                client.sendall(f"HTTP/1.1 {self.status} No\r\nContent-Length: 0\r\n\r\n".encode())
                return
            with socket.create_connection((LOOPBACK, self.leads_to), 10) as upstream:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = urlsplit(target)._replace(scheme="", netloc="").geturl() or "/"
                    upstream.sendall(f"{method} {path} {version}\r\n".encode() + rest)
                _pass_on(client, upstream)


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes both ways until either side ends."""
    while True:
        for ready in select.select([one, other], [], [], 30)[0]:
            if not (piece := ready.recv(65_536)):
                return
            (other if ready is one else one).sendall(piece)


@contextmanager
def forward_proxy(leads_to: int, status: int = 200) -> Iterator[ForwardProxy]:
    """Run a proxy."""
    proxy = ForwardProxy(leads_to, status)
    with socket.create_server((LOOPBACK, 0)) as listening:
        proxy.port = listening.getsockname()[1]

        def run() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()

        threading.Thread(target=run, daemon=True).start()
        yield proxy
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
