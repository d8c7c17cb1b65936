"""Who signed in, by the claims of the provider, and what they may do. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from app.enums import Scope

EVERYBODY = "*"
MAX_NAME_LENGTH = 100
MAX_ADDRESS_LENGTH = 254
NAME_CLAIMS = ("name", "preferred_username", "email", "sub")
"""The first of them that is a text names the person."""

Grants = Sequence[tuple[Scope, Sequence[str]]]
"""Scopes and the groups that have them, the widest scope first."""


class Identity(NamedTuple):
    """A person, as the provider describes them."""

    subject: str
    """What identifies the person at this provider, for ever."""
    name: str
    address: str | None
    """The mail address; None if the provider gives none, or says that it is not verified."""
    groups: frozenset[str]


def read_identity(claims: Mapping[str, Any], groups_claim: str) -> Identity:
    """Read a person from the claims of an ID token, completed by those of the userinfo endpoint."""
    if claims.get("email_verified") in (False, "false"):
        claims = {name: value for name, value in claims.items() if value != claims.get("email")}
    texts = (_line(claims.get(claim)) for claim in NAME_CLAIMS)
    name = next(filter(None, texts), "unnamed")[:MAX_NAME_LENGTH]
    address = _line(claims.get("email"))
    is_address = "@" in address and len(address) <= MAX_ADDRESS_LENGTH
    return Identity(claims["sub"], name, address if is_address else None, _groups(find_claim(claims, groups_claim)))


def find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """Find a claim by its name, or by the names of nested objects with dots, such as `realm_access.roles`.

    Returns: its value; None if there is none.
    """
    if name in claims:
        return claims[name]
    outer, _, inner = name.partition(".")
    nested = claims.get(outer)
    return find_claim(nested, inner) if inner and isinstance(nested, Mapping) else None


def scope_of(groups: frozenset[str], grants: Grants) -> Scope | None:
    """Return the widest scope that one of the groups has; None if there is none."""
    return next((scope for scope, granted in grants if EVERYBODY in granted or groups.intersection(granted)), None)


def _groups(claim: Any) -> frozenset[str]:
    """Read a claim of groups: a list of texts, or one text."""
    listed = claim if isinstance(claim, list) else [claim]
    return frozenset(group for group in listed if isinstance(group, str))


def _line(value: Any) -> str:
    """Turn a text from elsewhere into one line of printable characters."""
    words = value.split() if isinstance(value, str) else []
    return "".join(letter for letter in " ".join(words) if letter.isprintable())
