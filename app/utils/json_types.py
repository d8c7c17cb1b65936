"""Names for the JSON that is passed around."""

from typing import Any

JsonObject = dict[str, Any]
"""A JSON object: values are None, bool, int, float, str, lists and further objects."""
