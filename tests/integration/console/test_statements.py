"""How many statements a page asks the database for: it stays quick however far away the database is.

What a process keeps for some seconds for all who look was asked for before.
"""

import pytest
from sqlalchemy import event

from app.database import get_engine
from tests.integration.api.conftest import make_app
from tests.integration.api.serving import serving
from tests.integration.console.conftest import Browser
from tests.integration.console.filled import Filled

MAX_STATEMENTS = 12
"""Beside the limits that each transaction begins with."""


@pytest.mark.usefixtures("database")
async def test_no_page_asks_for_more_than_a_dozen_statements() -> None:
    app = make_app()
    with serving(app) as url:
        addresses = list(Filled(url).addresses(app))
    asked: list[str] = []
    event.listen(get_engine(), "before_cursor_execute", lambda *execution: asked.append(execution[2]))
    too_many = {}
    async with Browser(app) as browser:
        await browser.sign_in()
        for address in addresses:
            await browser.get(address)
            asked.clear()
            assert (await browser.get(address)).status_code in {200, 303, 404}, address
            statements = [each for each in asked if not each.startswith("SET LOCAL")]
            if len(statements) > MAX_STATEMENTS:
                too_many[address] = statements
    assert not too_many, "\n".join(f"{path}: {len(found)}\n{chr(10).join(found)}" for path, found in too_many.items())
