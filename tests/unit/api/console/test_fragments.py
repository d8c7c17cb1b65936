"""Every part of a page that is fetched apart has a block of its name."""

import re

from app.api.console.rendering import TEMPLATES, load_environment

PARTS = re.compile(r'<[a-z]+[^>]*\bid="([\w-]+)"[^>]*\bdata-(?:live|part)=|data-fragment="([\w-]+)"', re.DOTALL)


def test_every_part_that_is_fetched_apart_has_a_block() -> None:
    frame = load_environment().get_template("base.html").blocks
    found = 0
    for path in sorted(TEMPLATES.glob("*.html")):
        blocks = {**frame, **load_environment().get_template(path.name).blocks}
        for names in PARTS.findall(path.read_text()):
            found += 1
            assert "".join(names).replace("-", "_") in blocks, (path.name, names)
    assert found > 10
