"""Secrets in the audit."""

from app.services import audit

KEYS = ("a-secret-key-of-the-settings",)


def test_a_secret_stands_as_its_mask_and_a_fingerprint() -> None:
    clear = {"url": "https://x.example/?t=canary", "headers": {"A": "canary"}, "method": "POST", "to": ["canary", "b"]}
    masked = {"url": "https://x.example/?•••", "headers": {"A": "•••"}, "method": "POST", "to": ["•••", "b"]}
    shown = audit.fingerprinted(KEYS, clear, masked)
    assert "canary" not in str(shown)
    assert (shown["method"], shown["to"][1]) == ("POST", "b")
    assert shown["headers"]["A"] == f"••• (fingerprint {audit.fingerprint(KEYS, 'canary')})"


def test_fingerprints_are_equal_where_secrets_are_and_differ_where_they_differ() -> None:
    assert audit.fingerprint(KEYS, "a") == audit.fingerprint(KEYS, "a") != audit.fingerprint(KEYS, "b")
    assert audit.fingerprint(("another-secret-key",), "a") != audit.fingerprint(KEYS, "a")


def test_an_action_without_readable_secrets_is_shown() -> None:
    assert audit.fingerprinted(KEYS, {}, {}) == {}
