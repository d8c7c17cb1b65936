"""How many statements a page asks the database for: it stays quick however far away the database is.

What a process keeps for some seconds for all who look was asked for before.
"""

import pytest

from tests.integration.api.conftest import make_app
from tests.integration.api.serving import serving
from tests.integration.console.conftest import Browser
from tests.integration.console.filled import Filled
from tests.integration.console.statements import MAX_STATEMENTS, count_statements


@pytest.mark.usefixtures("database", "warm_caches")
async def test_no_page_asks_for_more_than_a_dozen_statements() -> None:
    app = make_app()
    with serving(app) as url:
        addresses = list(Filled(url).addresses(app))
    too_many = {}
    async with Browser(app) as browser:
        await browser.sign_in()
        for address in addresses:
            await browser.get(address)
            with count_statements() as asked:
                assert (await browser.get(address)).status_code in {200, 303, 404}, address
            if len(asked) > MAX_STATEMENTS:
                too_many[address] = asked
    assert not too_many, "\n".join(f"{path}: {len(found)}\n{chr(10).join(found)}" for path, found in too_many.items())
