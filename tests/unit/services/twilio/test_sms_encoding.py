"""The encoding of a text message, and its segments."""

import pytest

from app.services.twilio.sms_encoding import encode


@pytest.mark.parametrize(
    ("text", "name", "units", "segments"),
    [
        ("", "GSM-7", 0, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("€" * 80, "GSM-7", 160, 1),
        ("€" * 81, "GSM-7", 162, 2),
        ("ж" * 70, "UCS-2", 70, 1),
        ("ж" * 71, "UCS-2", 71, 2),
        ("ж" * 134, "UCS-2", 134, 2),
        ("ж" * 135, "UCS-2", 135, 3),
        ("😀", "UCS-2", 2, 1),
        ("😀" * 36, "UCS-2", 72, 2),
    ],
)
def test_a_text_falls_into_segments(text: str, name: str, units: int, segments: int) -> None:
    assert encode(text)[:3] == (name, units, segments)


def test_the_characters_that_cost_are_named_once_each() -> None:
    assert encode("“Your parcel” ж waits… “here”").foreign == "“”ж…"
    assert encode("plain [brackets] and ñ").foreign == ""


def test_half_of_a_surrogate_pair_does_no_harm() -> None:
    assert encode("\ud83d").name == "UCS-2"
