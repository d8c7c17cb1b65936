"""Turns Pydantic's validation errors into our messages, without the value. Pure."""

from collections.abc import Mapping
from typing import Any

from app.utils import sids
from app.utils.zones import CLOCK_TIME

NO_UUID = "must be a UUID, such as 6f1c2f0e-7f0b-4a6e-9a54-0a3c5a1d2b11"
SENTENCES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "string_unicode": "must contain only valid Unicode characters",
    "string_too_short": "must not be empty",
    "string_too_long": "must not be longer than {max_length} characters",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "list_type": "must be a list",
    "too_short": "must not be empty",
    "too_long": "must not be longer than {max_length}",
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "uuid_type": NO_UUID,
    "uuid_parsing": NO_UUID,
}
"""By Pydantic's error type, with the error's context in braces."""
PATTERNS: Mapping[str, str] = {
    CLOCK_TIME: "must be a time of day, such as 22:00",
    sids.SID: "must be a sid: two capitals, and 32 digits or letters from a to f",
    sids.ACCOUNT_SID: "must be an account's sid: AC, and 32 digits or letters from a to f",
    sids.KEY_SID: "must be the sid of an API key: SK, and 32 digits or letters from a to f",
}
"""What fits a regular expression, in words."""


def sentence(detail: Mapping[str, Any]) -> str:
    """Describe an error and what is expected; messages of our own validators are kept."""
    kind, message = detail["type"], str(detail["msg"])
    if kind in SENTENCES:
        return SENTENCES[kind].format_map(detail.get("ctx", {}))
    if kind == "refused":
        return message
    if kind == "string_pattern_mismatch":
        pattern = detail["ctx"]["pattern"]
        return PATTERNS.get(pattern, f"must have the form {pattern}")
    if kind in ("value_error", "assertion_error"):
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message.removeprefix("Input ").removeprefix("String ").removeprefix("Value ")
    return message if message.startswith(("should", "must")) else f"cannot be used: {message}"
