"""Where settings come from: the environment, `.env`, and the files that `NAME_FILE` variables name.

The environment takes precedence over `.env`. `$` is not expanded. Knows the names of settings, not their meaning.
"""

import difflib
import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from app.errors import ConfigError

FILE = "_FILE"
"""Suffix of a variable that holds the path of a file with the setting's value."""
LOCAL_FOLDER = Path(__file__).resolve().parent.parent / ".giftpulse"
"""The default folder of `scripts/start`."""
LOCAL_SETTINGS = "settings.json"
LOCAL_KEYS = ("API_KEY", "SECRET_KEY")
"""Those that `scripts/start` would provide for the operator's own database, too."""
DATABASE_NAMES = ("DATABASE_URL", f"DATABASE_URL{FILE}")
FOREIGN = re.compile(r"GIFTPULSE_|COMPOSE_|DOCKER_|POSTGRES_|NIX_")
"""Prefixes of variables in `.env` for other programs."""
ALIKE = 0.85
"""Similarity from 0 to 1 from which an unknown name counts as a misspelled setting."""


@dataclass(frozen=True)
class Given:
    """The settings of the operator."""

    values: dict[str, str]
    """By name in upper case. An empty value counts as not set."""
    origins: dict[str, str]
    """Where each value comes from: `environment`, `.env`, or the variable that names its file."""
    remarks: tuple[str, ...]
    """Likely mistakes, one per line, without values."""


@dataclass(frozen=True)
class Line:
    """One setting in `.env`."""

    name: str
    value: str
    number: int
    raw: str
    """The unparsed value, including quotes and comments."""


def read(settings: Collection[str], secret: Collection[str], file: Path | None, environ: Mapping[str, str]) -> Given:
    """Read all settings that are set.

    Args:
        settings: the names of all settings in upper case; `secret`: those of secrets.
        file: `.env`, whether or not it exists; None: the environment alone.
    Raises: ConfigError; the message names the line or setting that cannot be read.
    """
    lines = read_lines(file) if file is not None else []
    written = {line.name: line.value for line in lines if line.value}
    exported = {name.upper(): value for name, value in sorted(environ.items(), reverse=True) if value}
    found = written | exported
    values = {name: found[name] for name in settings if name in found}
    origins = {name: "environment" if name in exported else ".env" for name in values}
    for name in settings:
        if path := found.get(name + FILE):
            if name in values:
                raise ConfigError(f"{name} and {name}{FILE} are both set: leave one of them out")
            values[name], origins[name] = _read_value(name, Path(path)), name + FILE
    known = frozenset((*settings, *(name + FILE for name in settings)))
    remarks = [*_remarks(lines, known, secret), *_misspelled(environ, known)]
    if file is not None and lines and _others_can_read(file):
        remarks.append(".env can be read by every user of this machine: chmod 600 .env")
    return Given(values, origins, tuple(remarks))


def local_settings(file: Path) -> dict[str, str]:
    """Read the settings that `scripts/start` wrote for the command line; empty if there are none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def join_local(folder: Path, file: Path | None = None) -> set[str]:
    """Use the settings of the `scripts/start` with its data in this folder, unless they are set elsewhere.

    If `.env` names another database, which that start did not use, only its keys are used.

    Args:    file: `.env`, whether or not it exists.
    Returns: the names of these settings.
    Raises:  ConfigError.
    """
    found = local_settings(folder / LOCAL_SETTINGS)
    written = {line.name for line in read_lines(file) if line.value} if file is not None and found else set()
    if "DATABASE_URL" in found and not written.isdisjoint(DATABASE_NAMES):
        found = {name: found[name] for name in LOCAL_KEYS if name in found and name not in written}
    missing = {name for name in found if not os.environ.get(name) and not os.environ.get(name + FILE)}
    os.environ.update({name: found[name] for name in missing})
    return missing


def read_lines(file: Path) -> list[Line]:
    """Parse `.env` in order; empty if there is no such file.

    Raises: ConfigError with the line that cannot be parsed.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f".env cannot be read: {reason}; it must be a text file in UTF-8") from None
    return [_line(binding) for binding in parse_stream(StringIO(text)) if binding.key or binding.error]


def _line(binding: Binding) -> Line:
    """Parse one setting. The parser includes preceding blank lines and comments in its text."""
    text = binding.original.string
    number = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
    if binding.error or binding.key is None:
        said = "it must be NAME=value, and a quote that opens must close"
        raise ConfigError(f".env cannot be read in line {number}: {said}")
    raw = text.lstrip().partition("=")[2].strip()
    return Line(binding.key.upper(), binding.value or "", number, raw)


def _read_value(name: str, path: Path) -> str:
    """Read a setting from its file, without the final line break."""
    try:
        value = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{name}{FILE} names a file that cannot be read: {reason}") from None
    if not value:
        raise ConfigError(f"{name}{FILE} names a file that is empty: it must contain the value of {name}")
    return value


def _remarks(lines: list[Line], known: frozenset[str], secret: Collection[str]) -> Iterator[str]:
    """Report values that mean something else than they seem to."""
    numbers: dict[str, int] = {}
    for line in lines:
        where = f".env line {line.number}: {line.name}"
        if line.name in numbers:
            yield f"{where} is also set in line {numbers[line.name]}: the last one wins"
        numbers[line.name] = line.number
        if line.name not in known:
            if unknown := _unknown(line.name, known):
                yield f"{where} {unknown}"
        elif line.name in secret and not line.raw.startswith(("'", '"')) and re.search(r"(^|\s)#", line.raw):
            yield f"{where} ends before its # or may end there: put a value that contains # in single quotes"
        if "$" in line.raw and not line.raw.startswith("'"):
            yield f"{where} contains $, which Docker Compose takes for a variable: put the value in single quotes"


def _unknown(name: str, known: frozenset[str]) -> str | None:
    """Return what is wrong with an unknown name, if it looks like a setting."""
    if FOREIGN.match(name):
        return None
    if alike := _most_alike(name, known):
        return f"is not a setting and is ignored: did you mean {alike}?"
    prefixes = {setting.partition("_")[0] for setting in known}
    return "is not a setting and is ignored" if name.partition("_")[0] in prefixes else None


def _misspelled(environ: Mapping[str, str], known: frozenset[str]) -> Iterator[str]:
    """Report environment variables with misspelled names of settings."""
    for name in sorted(environ):
        alike = _most_alike(name.upper(), known) if name.upper() not in known else None
        if alike and not FOREIGN.match(name):
            yield f"the environment's {name} is not a setting and is ignored: did you mean {alike}?"


@lru_cache
def _most_alike(name: str, known: frozenset[str]) -> str | None:
    """Return the setting that was probably meant. Comparing one name with all takes about a millisecond."""
    return next(iter(difflib.get_close_matches(name, known, 1, ALIKE)), None)


def _others_can_read(file: Path) -> bool:
    return bool(file.stat().st_mode & stat.S_IROTH)
