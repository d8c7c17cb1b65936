"""What an ID token must hold to prove a sign-in. Every claim of a good one matters."""

import base64
import hmac
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from app.services.openid.id_token import BadToken, UnknownKey, check, read_keys
from tests.kits.identity_provider import KEYS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
CLAIMS: dict[str, Any] = {
    "iss": "https://login.example.com",
    "aud": "giftpulse",
    "sub": "ann-7",
    "exp": SECONDS + 300,
    "iat": SECONDS,
    "nonce": "n-1",
}
PUBLIC_PEM = RSAKey.import_key(KEYS["first"].as_dict(private=False)).as_pem(private=False)
PUBLISHED = read_keys({"keys": [KEYS["first"].as_dict(private=False), KEYS["curve"].as_dict(private=False)]})


def checked(token: str, keys: KeySet = PUBLISHED, **changed: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "issuer": "https://login.example.com",
        "client_id": "giftpulse",
        "nonce": "n-1",
        "algorithms": ["RS256", "ES256", "HS256", "none"],
        "now": NOW,
    }
    return check(token, keys, **(known | changed))


def signed(claims: dict[str, Any], key: str = "first", algorithm: str = "RS256") -> str:
    return jwt.encode({"alg": algorithm, "kid": key}, dict(claims), KEYS[key])


@pytest.mark.parametrize(("key", "algorithm"), [("first", "RS256"), ("curve", "ES256")])
def test_a_good_token_proves_who_signed_in(key: str, algorithm: str) -> None:
    assert checked(signed(CLAIMS, key, algorithm)) == CLAIMS


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_claim_may_be_missing(claim: str) -> None:
    with pytest.raises(BadToken):
        checked(signed({name: value for name, value in CLAIMS.items() if name != claim}))


@given(
    st.sampled_from(["iss", "aud", "nonce"]),
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2),
)
def test_no_other_value_of_a_claim_that_is_compared_is_accepted(claim: str, value: Any) -> None:
    if value in (CLAIMS[claim], [CLAIMS[claim]]):
        return
    with pytest.raises(BadToken):
        checked(signed(CLAIMS | {claim: value}))


@pytest.mark.parametrize(
    ("claim", "good", "bad"),
    [("exp", SECONDS - 59, SECONDS - 60), ("iat", SECONDS + 60, SECONDS + 61), ("nbf", SECONDS + 60, SECONDS + 61)],
)
def test_clocks_may_differ_by_a_minute_and_no_more(claim: str, good: int, bad: int) -> None:
    checked(signed(CLAIMS | {claim: good}))
    with pytest.raises(BadToken):
        checked(signed(CLAIMS | {claim: bad}))


@pytest.mark.parametrize(
    ("claims", "holds"),
    [
        ({"aud": ["giftpulse"]}, True),
        ({"aud": ["giftpulse", "other"], "azp": "giftpulse"}, True),
        ({"aud": ["giftpulse", "other"]}, False),
        ({"aud": ["giftpulse", "other"], "azp": "other"}, False),
        ({"azp": "other"}, False),
        ({"aud": "other", "azp": "giftpulse"}, False),
    ],
)
def test_a_token_is_for_us(claims: dict[str, Any], holds: bool) -> None:
    if holds:
        assert checked(signed(CLAIMS | claims))["sub"] == "ann-7"
    else:
        with pytest.raises(BadToken):
            checked(signed(CLAIMS | claims))


def test_a_changed_token_is_not_believed() -> None:
    head, _, signature = signed(CLAIMS).split(".")
    _, other, _ = signed(CLAIMS | {"sub": "boss-1"}).split(".")
    with pytest.raises(BadToken):
        checked(f"{head}.{other}.{signature}")


def test_a_key_of_ours_that_the_provider_publishes_cannot_sign_as_a_shared_secret() -> None:
    head = _encoded(orjson.dumps({"alg": "HS256", "kid": "first"})) + b"." + _encoded(orjson.dumps(CLAIMS))
    forged = hmac.digest(PUBLIC_PEM, head, "sha256")
    with pytest.raises(BadToken):
        checked((head + b"." + _encoded(forged)).decode())


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def test_a_key_that_is_not_published_is_told_apart() -> None:
    with pytest.raises(UnknownKey):
        checked(signed(CLAIMS, "second"))


def test_an_algorithm_that_the_provider_does_not_name_is_refused() -> None:
    with pytest.raises(BadToken):
        checked(signed(CLAIMS), algorithms=["ES256"])


@given(st.text() | st.lists(st.text(alphabet="abcXYZ019-_=", max_size=20), min_size=3, max_size=5).map(".".join))
def test_no_text_that_is_no_token_is_believed_or_breaks(text: str) -> None:
    with pytest.raises(BadToken):
        checked(text)


@pytest.mark.parametrize(
    "keys",
    [None, [], 7, "x", {}, [7], [{"kty": "RSA"}], [{"kty": "oct", "k": "c2VjcmV0"}], [{"kty": "EC", "crv": "P-0"}]],
)
def test_a_set_without_a_key_that_signs_is_no_set(keys: Any) -> None:
    with pytest.raises(BadToken):
        read_keys({"keys": keys})
