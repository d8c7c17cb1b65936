"""The API behind a real server, for what only a socket shows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from scripts.local.processes import free_port
from tests.kits.waiting import PATIENCE_SECONDS, wait_until


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve the app on the loopback; the answer is its address."""
    port = free_port()
    # No proxy is trusted: by default uvicorn believes what one on the same machine says of the caller's address.
    config = uvicorn.Config(
        app, "127.0.0.1", port, log_level="critical", server_header=False, ws="none", forwarded_allow_ips=""
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, "the API listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
