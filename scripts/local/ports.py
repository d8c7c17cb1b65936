"""Which ports `scripts/start` uses: the same ones every time, or others where somebody else has taken them."""

import json
from collections.abc import Mapping
from pathlib import Path

from scripts.local import processes

USUAL = {"api": 8000, "inbox": 8025, "smtp": 8026, "simulator": 8027, "postgres": 8028, "valkey": 8029}


def choose(path: Path, wanted: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
    """Choose a port for each server, and remember them.

    Args:    wanted: ports that the operator asked for; one that is taken is an error, not a reason for another.
    Returns: the ports, and a line for people about each that had to give way.
    Raises:  OSError, whose text says which port is taken and how to choose another.
    """
    kept: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    chosen: dict[str, int] = {}
    remarks = []
    for name, usual in USUAL.items():
        port = wanted.get(name) or kept.get(name) or usual
        if not processes.port_is_free(port):
            if name in wanted:
                raise OSError(f"port {port} is taken: choose another with --port")
            taken, port = port, processes.free_port()
            remarks.append(f"port {taken} is taken; the {name} uses {port}")
        chosen[name] = port
    path.write_text(json.dumps(chosen))
    return chosen, remarks
