"""The worked examples of docs/rules.md: what the page says, a preview says too."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import get_settings
from app.database import session_scope
from app.services.preview.service import preview
from app.services.rules.types import PARAMS
from app.utils.clock import rfc3339
from tests.fakes import START
from tests.feeding import Feed, evaluate, log

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
PLAIN = {"name": "Example", "log_type": "message", "pattern_type": "status", "pattern_value": "undelivered"}


def test_every_condition_has_an_example() -> None:
    assert [example["rule"]["condition"]["type"] for example in EXAMPLES] == list(PARAMS)


@pytest.mark.parametrize("example", EXAMPLES, ids=list(PARAMS))
def test_an_example_does_what_the_page_says(database: str, example: dict[str, Any]) -> None:
    start = START.replace(minute=0)
    end = start + timedelta(hours=3)
    feed = Feed(start - timedelta(days=40))
    lines = [line.split() for line in example["logs"]]
    feed.store([log(n, start + timedelta(minutes=int(at)), status=status) for n, (at, status) in enumerate(lines)], end)
    feed.complete(end, start - timedelta(days=40))
    evaluate(end)
    with session_scope() as session:
        body = PLAIN | example["rule"] | {"since": rfc3339(start), "until": rfc3339(end)}
        shown = preview(session, body, get_settings(), end)["alerts"]
    times = {rfc3339(start + timedelta(minutes=minute)): minute for minute in range(181)}
    found = [[times[a["started_at"]], times.get(a["resolved_at"]), a["occurrences"]] for a in shown]
    assert found == example["alerts"]
