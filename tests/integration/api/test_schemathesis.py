"""Schemathesis calls everything that the OpenAPI document has, in every way it can think of."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from app.utils.clock import cut_to_second, utc_now
from tests.conftest import API_KEY
from tests.feeding import Feed, evaluate, log
from tests.integration.api.conftest import EMAIL, RULE, make_app
from tests.integration.api.serving import serving
from tests.profiles import examples

SEED = "20261123"
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", str(examples(1)))
"""For each operation, beside those that the document shows and those at the edges of its types."""
PATIENCE_SECONDS = max(1_800, 30 * int(EXAMPLES))
"""For a hang alone: at rest it takes three minutes, on a busy machine any number of them."""
CONFIG = Path(__file__).parent / "schemathesis.toml"


@pytest.mark.hunt
@pytest.mark.timeout(PATIENCE_SECONDS + 10)
def test_no_call_ends_in_an_error_of_the_server_or_answers_otherwise_than_documented(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seed = request.config.getoption("--hypothesis-seed") or SEED
    with serving(make_app()) as address:
        _fill(address)
        command = ["-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{address}/openapi.json"]
        options = ["--seed", seed, "--max-examples", EXAMPLES, "--header", f"X-API-Key: {API_KEY}", "--no-color"]
        done = subprocess.run(
            [sys.executable, *command, *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]


def _fill(address: str) -> None:
    """Have something of each kind, so that answers are long enough to be wrong."""
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(hours=1))
    for kind, body in (("rules", RULE), ("actions", EMAIL)):
        httpx.post(f"{address}/api/{kind}", json=body, headers={"X-API-Key": API_KEY}).raise_for_status()
    feed.store([log(number, now + timedelta(seconds=number)) for number in range(5)], now)
    feed.complete(now)
    evaluate(now + timedelta(seconds=9))
