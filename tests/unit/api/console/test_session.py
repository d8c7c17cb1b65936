"""The session's cookie and its CSRF tokens, without a server."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from app.api.console import session
from app.api.console.session import Session

KEYS = ("first-secret-of-a-test", "second-secret-of-a-test")
NOW = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
MARIA = Session("bootstrap", "mark", "Maria", "nonce-of-maria", remember=False)


def signed(who: Session = MARIA, keys: tuple[str, ...] = KEYS) -> str:
    with time_machine.travel(NOW, tick=False):
        return session.sign(keys, who)


def test_a_cookie_is_read_back_with_the_time_of_its_signing() -> None:
    assert session.read(KEYS, signed(), NOW) == (MARIA, NOW)


def test_the_cookie_holds_no_key_and_no_scope() -> None:
    assert not {"key", "scope", "api_key"} & set(Session._fields)


@pytest.mark.parametrize(
    ("remember", "idle", "is_alive"),
    [
        (False, timedelta(hours=11, minutes=59), True),
        (False, timedelta(hours=12), False),
        (True, timedelta(days=29, hours=23), True),
        (True, timedelta(days=30), False),
    ],
)
def test_a_session_ends_when_it_was_idle_for_too_long(remember: bool, idle: timedelta, is_alive: bool) -> None:
    cookie = signed(MARIA._replace(remember=remember))
    assert (session.read(KEYS, cookie, NOW + idle) is not None) is is_alive


@given(st.data())
def test_a_cookie_with_one_character_changed_is_refused(data: st.DataObject) -> None:
    cookie = signed()
    at = data.draw(st.integers(0, len(cookie) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != cookie[at]))
    forged = cookie[:at] + other + cookie[at + 1 :]
    found = session.read(KEYS, forged, NOW)
    # The last character of base64 holds bits that are not read: another one may mean the same bytes.
    assert found is None or found == (MARIA, NOW)


def test_a_cookie_of_an_older_key_stays_valid_while_the_key_is_listed() -> None:
    cookie = signed(keys=KEYS[1:])
    assert session.read(KEYS, cookie, NOW) == (MARIA, NOW)
    assert session.read(KEYS[:1], cookie, NOW) is None


def test_the_first_key_signs() -> None:
    assert session.read(KEYS[:1], signed(), NOW) == (MARIA, NOW)


@pytest.mark.parametrize("cookie", ["", ".", "x.y.z", "é", "a" * 5000])
def test_no_other_text_is_a_cookie(cookie: str) -> None:
    assert session.read(KEYS, cookie, NOW) is None


def test_csrf_tokens_differ_each_time_and_are_all_valid() -> None:
    tokens = {session.csrf_token(KEYS, MARIA) for _ in range(20)}
    assert len(tokens) == 20
    assert all(session.is_csrf_token(KEYS, MARIA, token) for token in tokens)


def test_a_csrf_token_of_another_session_is_refused() -> None:
    other = MARIA._replace(nonce="nonce-of-jonas")
    assert not session.is_csrf_token(KEYS, MARIA, session.csrf_token(KEYS, other))


@pytest.mark.parametrize("token", ["", "abc", "é", "A" * 43, "=" * 4])
def test_no_other_text_is_a_csrf_token(token: str) -> None:
    assert not session.is_csrf_token(KEYS, MARIA, token)


def test_a_csrf_token_of_an_older_key_is_valid_while_the_key_is_listed() -> None:
    token = session.csrf_token(KEYS[1:], MARIA)
    assert session.is_csrf_token(KEYS, MARIA, token)
    assert not session.is_csrf_token(KEYS[:1], MARIA, token)
