"""Checks the ID token of a sign-in: who signed it, for whom, when, and for which request. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import Key, KeySet

LEEWAY_SECONDS = 60
"""How far the provider's clock may be off."""
DEFAULT_ALGORITHMS = ("RS256",)
ALGORITHMS = frozenset(f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)) | {"EdDSA"}
"""Signatures with a private key. One made with the client's secret, or none at all, is refused."""


class BadToken(Exception):
    """The token does not prove who signed in; the message says why, and contains no part of it."""


class UnknownKey(BadToken):
    """The token is signed with a key that is not in the set: the provider may have a new one."""


def read_keys(document: Mapping[str, Any]) -> KeySet:
    """Read the provider's set of public keys that sign, and leave out what cannot be used.

    Raises: BadToken if none is left.
    """
    keys: list[Key] = []
    listed = document.get("keys")
    for each in listed if isinstance(listed, list) else ():
        try:
            if isinstance(each, dict) and each.get("kty") != "oct" and each.get("use", "sig") == "sig":
                keys.extend(KeySet.import_key_set({"keys": [each]}))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    if not keys:
        raise BadToken("its set of keys contains none that signs")
    return KeySet(keys)


def check(
    token: str,
    keys: KeySet,
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    algorithms: Sequence[str],
    now: datetime,
) -> dict[str, Any]:
    """Return the claims of a token that proves a sign-in.

    Args:    issuer: as the provider's own document names it; algorithms: those that the provider says it signs with.
    Raises:  UnknownKey; BadToken.
    """
    usable = sorted(ALGORITHMS.intersection(algorithms))
    expected = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        claims = jwt.decode(token, keys, algorithms=usable).claims
        expected.validate(claims)
    except InvalidKeyIdError:
        raise UnknownKey("its ID token is signed with a key that is not in its set of keys") from None
    except JoseError as error:
        raise BadToken(f"its ID token does not hold ({error})") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise BadToken(f"its ID token cannot be read ({type(error).__name__})") from None
    if not _is_for(claims, client_id):
        raise BadToken("its ID token is for another client")
    return claims


def _is_for(claims: Mapping[str, Any], client_id: str) -> bool:
    """Check that a token for several parties names the one that it was issued to."""
    if "azp" in claims:
        return bool(claims["azp"] == client_id)
    return claims["aud"] in (client_id, [client_id])
