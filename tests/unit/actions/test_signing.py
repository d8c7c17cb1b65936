"""Signatures as receivers verify them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from app.actions.signing import key_of, make_secret, sign
from app.utils.clock import utc_now


def test_the_specifications_example_is_signed_as_it_says() -> None:
    # Source: the example of the Standard Webhooks libraries.
    signature = sign(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.dictionaries(st.text(), st.text()), st.uuids())
def test_the_reference_library_verifies_both_secrets_of_a_rotation(body: dict[str, str], delivery: object) -> None:
    old, new = make_secret(), make_secret()
    raw = json.dumps(body).encode()
    now = int(utc_now().timestamp())
    headers = {
        "webhook-id": str(delivery),
        "webhook-timestamp": str(now),
        "webhook-signature": sign([new, old], str(delivery), now, raw),
    }
    for secret in (old, new):
        assert Verifier(secret).verify(raw, headers) == body


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_AAAAAAAAAAA=",
        "whsec_" + "A" * 13336,
        "whsec_not base64!",
        "whsec_" + "AAAA!" * 10,
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ],
)
def test_a_bad_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValueError) as refused:
        key_of(secret)
    assert not secret[6:] or secret not in str(refused.value)


def test_new_secrets_differ_and_can_be_used() -> None:
    assert make_secret() != make_secret()
    assert len(key_of(make_secret())) == 32
