"""Parses all templates and rule packs, so that errors are found before they break a mail."""

import sys
from pathlib import Path

import yaml
from jinja2 import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATES = Path(__file__).resolve().parent.parent.parent / "templates"


def problems(folder: Path) -> list[str]:
    """List parse errors, one line each: the file, the line, the reason."""
    found = []
    environment = ImmutableSandboxedEnvironment()
    for path in sorted(folder.rglob("*.*")):
        try:
            if path.suffix in (".html", ".txt"):
                environment.parse(path.read_text())
            elif path.suffix == ".yaml":
                yaml.safe_load(path.read_text())
        except TemplateSyntaxError as error:
            found.append(f"{path}:{error.lineno}: {error.message}")
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            found.append(f"{path}: {error}")
    return found


def main() -> int:
    found = problems(TEMPLATES)
    print("\n".join(found) or "templates: all parse")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
