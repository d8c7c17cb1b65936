"""The console's own files stay small, and its style sheet has nothing that no page uses."""

import re

from app.api.console.assets import ASSETS, FOLDER
from app.api.console.rendering import TEMPLATES

MAX_BYTES = {"console.css": (35_000, 8_192), "console.js": (12_000, 4_000)}
"""Most bytes of a file, and of what a browser loads of it."""
CODE = FOLDER.parent
INBOX = CODE.parents[2] / "scripts" / "inbox" / "pages"
"""Pages that borrow the style sheet."""


def test_the_style_sheet_and_the_script_are_small() -> None:
    sizes = {name: (len(ASSETS[name].content), len(ASSETS[name].compressed)) for name in MAX_BYTES}
    for name, (most, most_compressed) in MAX_BYTES.items():
        assert sizes[name][0] <= most, (name, sizes[name])
        assert sizes[name][1] <= most_compressed, (name, sizes[name])


def _selectors() -> str:
    css = re.sub(r"/\*.*?\*/", "", (FOLDER / "console.css").read_text(), flags=re.DOTALL)
    return re.sub(r"\{[^{}]*\}|\"[^\"]*\"", " ", css)


def test_each_class_of_the_style_sheet_is_used_by_a_page() -> None:
    classes = set(re.findall(r"\.([a-zA-Z][\w-]*)", _selectors()))
    sources = [*TEMPLATES.glob("*.html"), *FOLDER.glob("*.js"), *CODE.rglob("*.py")]
    used = {word for path in sources for word in re.findall(r"[a-zA-Z_][\w-]*", path.read_text())}
    assert classes - used == set()
    assert len(classes) > 100


def test_each_custom_property_is_declared_and_used() -> None:
    css = (FOLDER / "console.css").read_text()
    assert set(re.findall(r"(--[\w-]+):", css)) == set(re.findall(r"var\((--[\w-]+)\)", css))


def test_the_inbox_uses_only_properties_that_the_style_sheet_declares() -> None:
    declared = set(re.findall(r"(--[\w-]+):", (FOLDER / "console.css").read_text()))
    pages = "".join(path.read_text() for path in INBOX.glob("*.html"))
    used = set(re.findall(r"var\((--[\w-]+)\)", pages))
    assert used
    assert used <= declared


def test_a_squeezed_style_sheet_keeps_its_declarations() -> None:
    squeezed = ASSETS["console.css"].content.decode()
    source = re.sub(r"/\*.*?\*/", "", (FOLDER / "console.css").read_text(), flags=re.DOTALL)
    for text in (squeezed, source):
        assert text.count("{") == text.count("}")
    assert squeezed.count("{") == source.count("{")
    assert len(re.findall(r"[{;][\w-]+:", squeezed)) == len(re.findall(r"[{;]\s*[\w-]+: ", source))
