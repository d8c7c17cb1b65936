"""Pages as bytes: cut, odd, deep; and links that may be followed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import TwilioRefused, TwilioUnavailable
from app.services.twilio.pages import follow, mend, prune, read_page


def test_both_apis_name_the_next_page_in_their_own_way() -> None:
    old = json.dumps({"messages": [{"sid": "a"}], "next_page_uri": "/next", "page": 0}).encode()
    new = json.dumps({"alerts": [], "meta": {"key": "alerts", "next_page_url": "https://m/next"}}).encode()
    assert [bytes(record) for record in read_page(old, "messages")[0]] == [b'{"sid": "a"}']
    assert (read_page(old, "messages")[1], read_page(new, "alerts")[1]) == ("/next", "https://m/next")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"messages": {}}', b'{"calls": [], "next_page_uri": null}', b'{"messages": [{"a": 1'],
)
def test_what_is_no_page_is_to_be_read_again(body: bytes) -> None:
    with pytest.raises(TwilioUnavailable):
        read_page(body, "messages")


@pytest.mark.parametrize("rest", [b"", b', "meta": {}'])
def test_a_page_that_does_not_say_whether_it_is_the_last_is_not_taken_for_it(rest: bytes) -> None:
    with pytest.raises(TwilioUnavailable):
        read_page(b'{"messages": []' + rest + b"}", "messages")


def test_odd_characters_and_depths_cost_no_more_than_themselves() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    body = (
        b'{"messages": [{"sid": "a", "b": "\\ud800 \xff"}, {"sid": "b", "c": '
        + deep
        + b'}, {"sid": "c"}], "next_page_uri": ""}'
    )
    records, _ = read_page(body, "messages")
    assert [json.loads(bytes(record))["sid"] for record in records] == ["a", "b", "c"]


@given(st.text())
def test_whole_text_is_left_as_it_is(text: str) -> None:
    body = json.dumps([text]).encode()
    assert json.loads(mend(body)) == [text]
    assert prune(body) == body


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example.com/x",
        "//evil.example.com/x",
        "http://api.twilio.com/x",
        "https://api.twilio.com:8443/x",
        "https://api.twilio.com@evil.example.com/x",
        "https://user:pass@api.twilio.com/x",
        "https://api.twilio.com.evil.example.com/",
        "file:///etc/passwd",
        "https://api.twilio.com:port/x",
    ],
)
def test_a_link_to_another_place_is_not_followed(link: str) -> None:
    with pytest.raises(TwilioRefused):
        follow("https://api.twilio.com", link)


@pytest.mark.parametrize("link", ["/2010-04-01/x?Page=1&PageToken=PASM", "https://api.twilio.com/x?a=%20b"])
def test_a_link_to_the_same_place_is_followed_verbatim(link: str) -> None:
    assert follow("https://api.twilio.com", link).endswith(link)
