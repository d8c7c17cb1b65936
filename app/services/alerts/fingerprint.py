"""The identity of an alert: its rule and group. Pure."""

from hashlib import blake2b
from uuid import UUID


def fingerprint(rule_id: UUID, key: str) -> str:
    """Return the identity of a rule's alert for a group, the same in every process and release.

    Args:    key: the group as `group_key` writes it.
    Returns: 32 hexadecimal digits.
    """
    return blake2b(rule_id.bytes + key.encode(), digest_size=16).hexdigest()


def built_in_fingerprint(name: str, key: str) -> str:
    """Return the identity of a built-in alert.

    Args:    name: of the problem; key: its group, as written by `group_key`.
    """
    return blake2b(f"built-in\0{name}\0{key}".encode(), digest_size=16).hexdigest()
