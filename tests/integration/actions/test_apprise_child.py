"""The process in which the Apprise library runs: what it gave up, and what is refused before it starts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.actions import apprise
from app.actions.apprise import Apprise
from app.actions.apprise_child import LOCAL, LOCAL_SCHEMES, check
from app.errors import InvalidInput
from tests.integration.actions.conftest import Configure
from tests.kits.waiting import PATIENCE_SECONDS

TRIES = """
import json, os, socket, ssl, subprocess, sys
from ipaddress import ip_network
from app.actions.apprise_child import Guard, _resolve_before_connecting

port, folder = int(sys.argv[1]), sys.argv[2]
inet, unix, udp = socket.AF_INET, socket.AF_UNIX, socket.SOCK_DGRAM
_resolve_before_connecting()
guard = Guard([ip_network(each) for each in sys.argv[3:]])
sys.addaudithook(guard)
tries = {
    "connect": lambda: socket.create_connection(("127.0.0.1", port), 2),
    "name": lambda: socket.create_connection(("localhost", port), 2),
    "number": lambda: socket.socket(inet).connect(("2130706433", port)),
    "mapped": lambda: socket.socket(socket.AF_INET6).connect(("::ffff:127.0.0.1", port)),
    "metadata": lambda: socket.create_connection(("169.254.169.254", 80), 0.2),
    "connect_ex": lambda: socket.socket(inet).connect_ex(("127.0.0.1", port)),
    "sendto": lambda: socket.socket(inet, udp).sendto(b"x", ("127.0.0.1", port)),
    "sendmsg": lambda: socket.socket(inet, udp).sendmsg([b"x"], [], 0, ("127.0.0.1", port)),
    "unix": lambda: socket.socket(unix).connect(folder + "/socket"),
    "listen": lambda: socket.socket(inet).bind(("127.0.0.1", 0)),
    "listen everywhere": lambda: socket.socket(inet).bind(("0.0.0.0", 18099)),
    "read": lambda: open(folder + "/secret").read(),
    "read a key": lambda: open("/etc/ssl/private/key.pem").read(),
    "read its neighbour": lambda: open(os.path.dirname(os.__file__) + "-not/x").read(),
    "read by dots": lambda: open(os.path.dirname(os.__file__) + "/.." * 20 + folder + "/secret").read(),
    "read by a link": lambda: open(folder + "/link").read(),
    "read through /proc": lambda: open("/proc/self/environ").read(),
    "write": lambda: open(folder + "/new", "w"),
    "write beside us": lambda: open(os.__file__ + ".new", "w"),
    "append": lambda: os.open(os.__file__, os.O_RDWR),
    "remove": lambda: os.remove(folder + "/secret"),
    "rename": lambda: os.rename(folder + "/secret", folder + "/other"),
    "make a folder": lambda: os.mkdir(folder + "/folder"),
    "run": lambda: subprocess.run(["true"]),
    "system": lambda: os.system("true"),
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
}
done = []
for name, attempt in tries.items():
    try:
        attempt()
        done.append(name)
    except OSError as error:
        if type(error).__name__ != "Refused":
            done.append(f"{name}: {error}")
print(json.dumps(done))
"""


def run(program: str, *arguments: str) -> list[str]:
    """Run a program that writes a list."""
    command = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=apprise.ROOT, check=True, timeout=PATIENCE_SECONDS
    )
    written: list[str] = json.loads(ended.stdout)
    return written


def tried(folder: Path, *allowed: str) -> list[str]:
    """Say which of the tries got further than the guard."""
    (folder / "secret").write_text("secret")
    (folder / "link").unlink(missing_ok=True)
    (folder / "link").symlink_to(folder / "secret")
    return run(TRIES, "9", str(folder), *allowed)


def test_the_process_reaches_no_address_file_or_program_of_this_machine(tmp_path: Path) -> None:
    assert tried(tmp_path) == []
    assert [each.partition(":")[0] for each in tried(tmp_path, "127.0.0.0/8")] == [
        "connect", "name", "number", "connect_ex", "sendto", "sendmsg",
    ]  # fmt: skip


LISTS = """
import json
from apprise.manager_plugins import NotificationManager
services = NotificationManager()
services.load_modules()
print(json.dumps([each for each in services.schemas() if "{schema}://" in services[each].templates]))
"""


def test_every_service_of_the_library_that_needs_no_address_is_refused_by_its_scheme() -> None:
    local = set(run(LISTS))
    assert {"dbus", "syslog", "windows", "macosx", "gnome", "kde", "blink1"} <= local <= LOCAL_SCHEMES
    assert set(check([f"{scheme.upper()}://x" for scheme in local], [], _look_at_none)) == {LOCAL}


def _look_at_none(url: str) -> None:
    pytest.fail("it was looked at")


AT_FIRST_SIGHT = ["SysLog://", "json:", "json://h.example/\0", "json://h.example/\u202e", "json://" + "a" * 3000]
BY_THE_LIBRARY = [
    "config://x", "json://LOCALHOST./", "json://2130706433/", "json://①②⑦.⓪.⓪.①/", "json://[::ffff:127.0.0.1]/",
    "json://user:canary@10.0.0.1/", "rsyslog://127.0.0.1", "mailto://u:p@example.com?smtp=127.0.0.1",
    "apprise://10.0.0.1/token", "jsons://h.example?VERIFY=0",
]  # fmt: skip


@pytest.mark.parametrize("urls", [AT_FIRST_SIGHT, BY_THE_LIBRARY])
def test_urls_that_lead_to_forbidden_addresses_are_refused_each_at_its_own_field(
    configure: Configure, urls: list[str]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        Apprise(configure(webhook_allowed_networks=())).check({"urls": ["json://hooks.example.com/", *urls]})
    assert [error.field for error in refused.value.errors] == [f"config.urls.{n}" for n, _ in enumerate(urls, 1)]
    assert not [url for url in urls if url in str(refused.value)]
