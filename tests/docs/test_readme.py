"""What README.md and the pages beside it say is so: commands work by copy and paste, links lead somewhere."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli import cli
from app.metrics import INSTRUMENTS
from scripts.local import first_start
from tests.conftest import API_KEY
from tests.integration.api.conftest import Api, make_app

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text()
ALERT = "00000000-0000-0000-0000-000000000000"


def _curls() -> Iterator[list[str]]:
    """Read the curl commands of README.md as a shell would."""
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        for command in re.split(r"\n(?=curl|export|$)", block):
            if command.startswith("curl"):
                filled = command.replace("$API_KEY", API_KEY).replace("$ALERT_ID", ALERT)
                yield shlex.split(filled.replace("\\\n", " "))


def _request(words: list[str]) -> dict[str, Any]:
    """Turn a curl command into a request."""
    request: dict[str, Any] = {"method": "GET", "headers": {}}
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            request["method"] = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            request["headers"][name] = value
        elif word == "-d":
            request["content"] = next(rest)
        else:
            request["url"] = word
    return request


async def test_every_request_works_by_copy_and_paste(database: str) -> None:
    answers = {}
    async with Api(make_app(), key=None) as client:
        for words in _curls():
            request = _request(words)
            answers[request["url"].split("?")[0]] = answer = await client.request(**request)
            wanted = 404 if ALERT in request["url"] else 201 if request["method"] == "POST" else 200
            assert answer.status_code == wanted, f"{words}: {answer.text}"
        rules = (await client.get("/api/rules", headers={"X-API-Key": API_KEY})).json()["items"]
        actions = (await client.get("/api/actions", headers={"X-API-Key": API_KEY})).json()["items"]
    assert "Failed Call Detection" in {rule["name"] for rule in rules}
    assert "error_notification" in {action["config"].get("template") for action in actions}
    assert len(answers) >= 5


def test_the_requests_make_nothing_that_the_first_start_made() -> None:
    sent = [json.loads(request["content"]) for words in _curls() if "content" in (request := _request(words))]
    names = {body["name"] for body in sent if "pattern_type" in body}
    assert len(names) == 2
    assert not names & {rule["name"] for rule in first_start.RULES}
    receivers = {receiver for body in sent for receiver in body.get("config", {}).get("recipients", [])}
    assert receivers
    assert first_start.RECIPIENT not in receivers


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set[Path](), [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page in reached or not page.exists():
            continue
        reached.add(page)
        targets = re.findall(r"\]\(([^)#]+)", page.read_text()) if page.suffix == ".md" else []
        todo += [page.parent / target for target in targets if "://" not in target]
    assert (ROOT / "docs" / "adr").resolve() in reached
    assert [page for page in PAGES if page.parent.name != "adr" and page.resolve() not in reached] == []


def test_the_licence_is_one_sentence() -> None:
    words = README.split("## Licence\n\n")[1].strip()
    assert "has yet to choose" in words
    assert re.findall(r"\.(?:\s|$)", words) == ["."]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_heading_that_is_linked_within_the_readme_is_there() -> None:
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-") for line in _headings()}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def _headings() -> list[str]:
    return re.findall(r"^#+ (.+)$", README, re.MULTILINE)


def test_every_metric_is_explained() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    for instrument in INSTRUMENTS:
        assert f"`{instrument.name}" in page, instrument.name


def test_every_command_is_named_in_the_readme() -> None:
    names = {command.name or command.callback.__name__ for command in cli.registered_commands if command.callback}
    names |= {str(group.name) for group in cli.registered_groups}
    assert {name for name in names if f"`{name}`" not in README} == set()


def test_the_readme_begins_with_the_two_commands() -> None:
    first = re.search(r"```sh\n(.*?)```", README, re.DOTALL)
    assert first is not None
    assert [line.split()[0] for line in first[1].splitlines()] == ["scripts/start", "scripts/test"]


def test_every_decision_is_numbered_once_and_has_its_parts() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert len({page.name[:4] for page in decisions}) == len(decisions)
    for page in decisions:
        found = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
        assert found[:3] == ["Context", "Decision", "Consequences"], page.name
