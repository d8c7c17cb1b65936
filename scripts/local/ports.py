"""Chooses the ports of `scripts/start`: always the same, or others if they are taken."""

import errno
import json
import socket
from collections.abc import Mapping
from pathlib import Path

from scripts.local import processes
from scripts.local.files import write_whole

USUAL = {"api": 8000, "inbox": 8025, "smtp": 8026, "simulator": 8027, "postgres": 8028, "valkey": 8029}


def choose(path: Path, wanted: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
    """Choose a port for each server, and store the choice.

    Args:    wanted: ports that the operator set; if one is taken, that is an error.
    Returns: the ports, and a line for people about each replaced port.
    Raises:  OSError; the message names the taken port and how to choose another.
    """
    kept = _kept(path)
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
    write_whole(path, json.dumps(chosen))
    return chosen, remarks


def _kept(path: Path) -> dict[str, int]:
    """Read the ports of the previous start; none if they cannot be read."""
    try:
        kept: dict[str, int] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return kept


def check_address(host: str, port: int) -> None:
    """Check that this process may listen at an address.

    Raises: OSError; the message says in one line what to choose instead.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise OSError(f"--host {host} is no address and no name that is known here") from None
    except PermissionError:
        raise OSError(f"port {port} may be used by root alone: choose one above 1023 with --port") from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise OSError(f"--host {host} is no address of this machine: 0.0.0.0 means all of them") from None
        raise OSError(f"port {port} is taken: choose another with --port") from None
