"""The process in which the Apprise library runs: `python -m app.actions.apprise_child`, a task on standard input.

The library opens sockets in many ways, to addresses that users choose. So an audit hook is installed before it is
loaded: it checks every address that a socket connects to, and refuses other programs, all files except Python's own,
and listening sockets. The process ends at its deadline.
"""

import json
import logging
import os
import re
import resource
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.utils.addresses import Network, check_url, may_reach

LOCAL_SCHEMES = frozenset(
    {"blink1", "dbus", "glib", "gio", "gnome", "kde", "qt", "macosx", "windows", "syslog", "file"}
)
"""Services that act on this machine instead of sending a message."""
LOCAL = "names a service that acts on this machine: only those that send a message elsewhere can be used"
MAX_MEMORY_BYTES = 1024 * 1024 * 1024
MAX_CPU_SECONDS = 30
STARTS_PROGRAMS = frozenset(
    {"subprocess.Popen", "os.exec", "os.system", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "pty.spawn"}
)
CHANGES_FILES = frozenset(
    {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"}
)
STATUS = re.compile(r"\berror=(\d{3})\b")


class Refused(OSError):
    """The audit hook refused an operation."""


class Guard:
    """Checks what the library is about to do."""

    def __init__(self, allowed: Sequence[Network], proxy: frozenset[tuple[str, int]] = frozenset()) -> None:
        self._allowed = allowed
        self._proxy = proxy
        self.blocked = False
        """Whether an address was refused."""
        readable = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
        certificates = [os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")]
        # Not all of /etc/ssl: it also contains private keys.
        public = ["/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf"]
        others = [*public, "/usr/share/zoneinfo", "/etc/mime.types", "/dev/urandom", "/dev/null"]
        root = str(Path(__file__).resolve().parents[1])
        self._readable = tuple(
            os.path.realpath(folder) for folder in (*readable, *certificates, *others, root) if folder
        )

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Handle an audit event."""
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            self._check_connection(arguments[0], arguments[1])
        elif event == "socket.bind" and not _is_any(arguments[1]):
            raise Refused("no connections are taken here")
        elif event in STARTS_PROGRAMS or event in CHANGES_FILES:
            raise Refused("no programs are started and no files changed here")
        elif event == "open":
            self._open(arguments[0], arguments[2] or 0)

    def may_reach(self, address: str) -> bool:
        """Return whether a socket may connect to an address."""
        return may_reach(ip_address(address.partition("%")[0]), self._allowed)

    def _check_connection(self, connection: socket.socket, address: Any) -> None:
        if address is None:
            return
        try:
            inet = connection.family != socket.AF_UNIX
            permitted = inet and (address[:2] in self._proxy or may_reach(ip_address(address[0]), self._allowed))
        except (ValueError, TypeError, LookupError):
            permitted = False
        if not permitted:
            self.blocked = True
            raise Refused("a private, local or metadata address")

    def _open(self, path: Any, flags: int) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        real_path = os.path.realpath(os.fsdecode(path))
        readable = any(real_path == each or real_path.startswith(each + os.sep) for each in self._readable)
        if (writes and real_path != "/dev/null") or not readable:
            raise Refused("no files are read or written here")


def _is_any(address: Any) -> bool:
    """Return whether a socket is bound to any local address, as before sending."""
    return isinstance(address, tuple) and len(address) > 1 and address[0] in ("", "0.0.0.0", "::") and address[1] == 0  # noqa: S104


class Statuses(logging.Handler):
    """Reads the HTTP status from the library's log. The rest may contain secrets and is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.last: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Handle one line."""
        found = STATUS.search(record.getMessage())
        if found:
            self.last = int(found.group(1))


def _resolve_before_connecting() -> None:
    """Resolve names before a socket connects: the hook checks addresses, not names."""
    connect: Callable[[socket.socket, Any], Any] = socket.socket.connect

    def resolved(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
            found = socket.getaddrinfo(address[0], address[1], self.family, self.type)
            address = found[0][4]
        return connect(self, address)

    socket.socket.connect = resolved  # type: ignore[method-assign,assignment]


def _load() -> Any:
    """Load the library and its services; keep in memory what it would store on disk."""
    import apprise
    import requests

    # A redirect would send a request without the message, and its response would pass for success.
    requests.Session.get_redirect_target = _nowhere  # type: ignore[method-assign]
    apprise.Apprise.instantiate("json://localhost")  # Loads the services: that takes seconds, before the deadline.
    asset = apprise.AppriseAsset(storage_mode="memory", async_mode=False, secure_logging=True)
    return lambda url: apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def _nowhere(*_: Any, **__: Any) -> None:
    """Return no target: redirects are not followed."""


def check(urls: Sequence[str], allowed: Sequence[Network], instantiate: Callable[[str], Any]) -> list[str | None]:
    """Return what is wrong with each URL."""
    return [_url_error(url, allowed, instantiate) for url in urls]


def _url_error(url: str, allowed: Sequence[Network], instantiate: Callable[[str], Any]) -> str | None:
    if url.partition("://")[0].lower() in LOCAL_SCHEMES:
        return LOCAL
    service = instantiate(url)
    if service is None:
        return "is not one that the Apprise library knows, or lacks a part"
    if not service.verify_certificate:
        return "must not turn off the check of certificates"
    hosts = (str(getattr(service, name, None) or "").strip("[]") for name in ("host", "smtp_host"))
    return next((reason for host in hosts if host and (reason := _is_forbidden_host(host, allowed))), None)


def _is_forbidden_host(host: str, allowed: Sequence[Network]) -> str | None:
    try:
        check_url(f"http://{f'[{host}]' if ':' in host else host}/", allowed)
    except ValueError as error:
        return str(error) if "lead to" in str(error) else None
    return None


def _leads_inside(service: Any, guard: Guard) -> bool:
    """Return whether a service's host is forbidden. Names that do not resolve here are left to the proxy."""
    host = str(getattr(service, "host", None) or "").strip("[]")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except OSError:
        return False
    return not all(guard.may_reach(str(address[0])) for _, _, _, _, address in found)


def _use_proxy(task: dict[str, Any]) -> frozenset[tuple[str, int]]:
    """Send the library's requests through the proxy; return the proxy's addresses."""
    if not task["proxy"]:
        return frozenset()
    os.environ.update(dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), task["proxy"]), NO_PROXY=task["no_proxy"])
    parts = urlsplit(task["proxy"])
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset((str(address[0]), port) for _, _, _, _, address in found)


def send(task: dict[str, Any], guard: Guard, instantiate: Callable[[str], Any]) -> dict[str, Any]:
    """Send one notification."""
    statuses = Statuses()
    logging.getLogger("apprise").addHandler(statuses)
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    logging.getLogger("apprise").propagate = False
    if task["url"].partition("://")[0].lower() in LOCAL_SCHEMES:
        return {"sent": False, "blocked": True}
    service = instantiate(task["url"])
    if task["proxy"] and service is not None and _leads_inside(service, guard):
        return {"sent": False, "blocked": True}
    sent = service is not None and bool(
        service.notify(body=task["body"], title=task["title"], notify_type=task["kind"], body_format="text")
    )
    return {"sent": sent, "blocked": guard.blocked, "status": None if sent else statuses.last}


def main() -> None:
    """Run the task from standard input and write the result to standard output."""
    task = json.load(sys.stdin)
    answer, sys.stdout = sys.stdout, sys.stderr
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
    allowed = [ip_network(network) for network in task["allowed"]]
    guard = Guard(allowed, _use_proxy(task))
    instantiate = _load()
    _resolve_before_connecting()
    sys.addaudithook(guard)

    def late(*_: object) -> None:
        answer.write(json.dumps({"sent": False, "timeout": True}))
        answer.flush()
        os._exit(0)

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, float(task["deadline_seconds"]))
    if task["do"] == "check":
        result: dict[str, Any] = {"wrong": check(task["urls"], allowed, instantiate)}
    else:
        result = send(task, guard, instantiate)
    answer.write(json.dumps(result))
    answer.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
