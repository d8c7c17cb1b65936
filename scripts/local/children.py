"""The child processes of `scripts/start`: started in order, watched together, stopped in reverse order."""

import subprocess
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from scripts.local import processes

MAX_LOG_BYTES = 20 * 1024 * 1024
TAIL_LINES = 15
STOP_SECONDS = 150
"""Longer than the longest attempt of a delivery with any setting; an idle process stops immediately."""
MAX_DEATHS = 5
WITHIN_SECONDS = 600.0
"""A child that dies repeatedly within this time does not die by chance."""
UNUSABLE = 2
"""The exit code of a child with invalid settings: a restart would not help."""


class ChildDied(RuntimeError):
    """A child stopped by itself; the message names it and its last output."""


class Deaths:
    """Counts how often each process died recently."""

    def __init__(self) -> None:
        self._at: dict[str, list[float]] = defaultdict(list)

    def are_too_many(self, name: str) -> bool:
        """Count one more death; return whether a restart would not help."""
        now = time.monotonic()
        self._at[name] = [at for at in self._at[name] if now - at < WITHIN_SECONDS] + [now]
        return len(self._at[name]) > MAX_DEATHS


@dataclass
class Children:
    """Named processes, each with a log file."""

    logs: Path
    cwd: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _started_by: dict[str, tuple[Sequence[str], Mapping[str, str]]] = field(default_factory=dict)
    _deaths: Deaths = field(default_factory=Deaths)

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        with self._open_log(name) as output:
            self.running[name] = processes.start(command, env=env, cwd=self.cwd, output=output)
        self._started_by[name] = command, env

    def run(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> int:
        """Run a program until it ends; return its exit code."""
        self.start(name, command, env)
        return self.running.pop(name).wait()

    def check(self) -> None:
        """Check that all are running.

        Raises: ChildDied.
        """
        for name, process in self.running.items():
            code = process.poll()
            if code is not None:
                raise ChildDied(f"the {name} stopped with exit code {code}; it said last:\n{self.tail(name)}")

    def revive(self) -> list[str]:
        """Restart dead children; return their names.

        Raises: ChildDied if a restart would not help.
        """
        dead = [name for name, process in self.running.items() if process.poll() is not None]
        for name in dead:
            if self._deaths.are_too_many(name) or self.running[name].returncode == UNUSABLE:
                self.check()
            processes.kill_group(self.running[name])
            self.start(name, *self._started_by[name])
        return dead

    def stop(self) -> None:
        """Stop all in reverse order, so that each still finds those it depends on."""
        while self.running:
            _, process = self.running.popitem()
            processes.stop(process, seconds=STOP_SECONDS)

    def tail(self, name: str) -> str:
        lines = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])

    def _open_log(self, name: str) -> IO[bytes]:
        path = self.logs / f"{name}.log"
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")
