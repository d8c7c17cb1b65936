"""Child processes that do not outlive their parent, and free ports."""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

LOOPBACK = "127.0.0.1"
FIRST_PORT, PORTS = 12_000, 20_000
"""Systems give connections ports from 32768 (Linux) or 49152 (others) on."""
PR_SET_PDEATHSIG = 1
"""Source: man 2 prctl."""
UNPRIVILEGED_USER = "nobody"


def free_port() -> int:
    """Find a port of the loopback address that nobody listens on now.

    It lies below those that the system gives to connections, one of which could take it before its server starts.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(PORTS)
        if port_is_free(port):
            return port


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def start(
    command: Sequence[str],
    *,
    stop_signal: signal.Signals = signal.SIGTERM,
    unprivileged: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in its own process group, so that Ctrl-C reaches only the parent, which stops it in order.

    Args:
        stop_signal: sent by the system if the parent dies (Linux).
        unprivileged: if given and we are root, run as an unprivileged user who can reach these paths.
    """
    user: str | None = None
    if unprivileged and os.geteuid() == 0:
        if _all_can_reach(unprivileged):
            user = UNPRIVILEGED_USER
        else:
            command = [*_without_root(stop_signal), *command]
    return subprocess.Popen(
        command,
        user=user,
        group=_group_of(user),
        extra_groups=[] if user else None,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,
        preexec_fn=_dies_with_parent(stop_signal),  # noqa: PLW1509  # it only makes one system call
    )


def stop(process: subprocess.Popen[bytes], *, by: signal.Signals = signal.SIGTERM, seconds: float = 30) -> None:
    """Ask a process to stop; kill it and its group if it does not."""
    if process.poll() is None:
        process.send_signal(by)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the rest of a process and its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 30, pause_seconds: float = 0.05) -> None:
    """Wait for a condition.

    Raises: TimeoutError, which names `what`.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} seconds in vain: {what}")
        time.sleep(pause_seconds)


def give_to_unprivileged(path: Path) -> None:
    """Give a directory to the user that `unprivileged` programs run as."""
    if os.geteuid() == 0:
        shutil.chown(path, UNPRIVILEGED_USER)


def _group_of(user: str | None) -> int | None:
    if user is None:
        return None
    import pwd

    return pwd.getpwnam(user).pw_gid


def _all_can_reach(paths: Sequence[Path]) -> bool:
    """Return whether every user may pass through the directories of these paths."""
    parents = {parent for path in paths for parent in path.resolve().parents}
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in parents)


def _without_root(stop_signal: signal.Signals) -> list[str]:
    """Build a command prefix that drops root but may still pass through root's private directories, such as /root."""
    program = shutil.which("setpriv")
    if program is None:
        raise RuntimeError(
            "this folder can be reached only by root, and PostgreSQL refuses to run as root:"
            " move the project to a folder that every user can reach, or run as another user"
        )
    capability = "-all,+dac_override"
    return [
        program,
        f"--reuid={UNPRIVILEGED_USER}",
        f"--regid={_group_of(UNPRIVILEGED_USER)}",
        "--clear-groups",
        f"--inh-caps={capability}",
        f"--ambient-caps={capability}",
        f"--pdeathsig={stop_signal.name.removeprefix('SIG')}",
    ]


def _dies_with_parent(stop_signal: signal.Signals) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, int(stop_signal))
