"""The worked examples of docs/rules.md: what the page says, a preview says too."""

import re
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.cli import main
from app.config import get_settings
from app.database import session_scope
from app.services.preview.service import preview
from app.services.rules import definition
from app.services.rules.conditions.registry import CONDITION_TYPES
from app.services.twilio.vocabulary import DIRECTIONS
from app.utils.clock import rfc3339, utc_now
from tests.fakes import START
from tests.feeding import Feed, evaluate, log

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
EXAMPLES = [example for block in BLOCKS if "rule" in (example := yaml.safe_load(block))]
(FILE,) = (block for block in BLOCKS if "rule" not in yaml.safe_load(block))
"""The file for `python -m app preview`."""
PLAIN = {"name": "Example", "log_type": "message", "pattern_type": "status", "pattern_value": "undelivered"}


def test_every_condition_has_an_example() -> None:
    assert list(dict.fromkeys(example["rule"]["condition"]["type"] for example in EXAMPLES)) == list(CONDITION_TYPES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["rule"]["condition"]["type"])
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


def test_the_file_of_the_page_is_previewed_by_the_command_line_as_it_stands(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: pytest.MonkeyPatch
) -> None:
    now = utc_now()
    feed = Feed(now - timedelta(days=2))
    feed.store([log(number, now - timedelta(minutes=5, seconds=number)) for number in range(12)], now)
    feed.complete(now, now - timedelta(days=2))
    (tmp_path / "rule.yaml").write_text(FILE)
    environment.setattr(sys, "argv", ["app", "preview", str(tmp_path / "rule.yaml"), "--since", "1d"])
    with suppress(SystemExit):
        main()
    written = capsys.readouterr()
    assert written.err == ""
    assert "12 matches, 1 alert" in " ".join(written.out.split())
    assert "to_country GB" in written.out
    definition.parse_rule(yaml.safe_load(FILE))


def test_every_filter_is_explained_with_its_values() -> None:
    for name in definition.Filters.model_json_schema(by_alias=True)["properties"]:
        assert f"`{name}`" in PAGE
    for words in DIRECTIONS.values():
        assert all(f"`{word}`" in PAGE for word in words)
