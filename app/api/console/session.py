"""Sessions: a signed cookie that names an API key and a person. It contains no key and no scope. Pure.

The key is looked up at each request, so a revoked key ends its sessions at once. People who sign in with their
organization's own provider have no key: they are looked up themselves, and sign in again after twelve hours.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson
from itsdangerous import BadSignature, TimestampSigner

SALT = "giftpulse.session"
IDLE = timedelta(hours=12)
"""A session ends if it is not used for this long."""
REMEMBERED = timedelta(days=30)
"""The same with "Keep me signed in"."""
OF_A_PERSON = timedelta(hours=12)
"""A session of a person ends so long after the sign-in, however it is used: only then their groups are read again."""
RENEW_AFTER = timedelta(minutes=5)
"""A cookie older than this is signed again when it is used."""
MAX_NAME_LENGTH = 100
TOKEN_BYTES = 16


class Session(NamedTuple):
    """One person on one device."""

    key_id: str
    """Id of the API key; `bootstrap` for `API_KEY`; `person:` and an id for a person of the sign-in provider."""
    key_mark: str
    """Fingerprint of `API_KEY` for `bootstrap`, the mark of a person, else empty: once it differs, the session ends."""
    name: str
    """The person's name, as acknowledgements and the audit show it."""
    nonce: str
    """Random; the CSRF tokens are bound to it, and signing out ends it."""
    remember: bool
    """Ends after 30 idle days instead of 12 idle hours."""
    until: int | None = None
    """When it ends however it is used, in seconds since 1970; None: never."""

    @property
    def lifetime(self) -> timedelta:
        """How long the session lives without being used."""
        return REMEMBERED if self.remember else IDLE

    def ends_at(self, now: datetime) -> datetime:
        """Return when it ends if it is not used after now."""
        idle = now + self.lifetime
        return idle if self.until is None else min(idle, datetime.fromtimestamp(self.until, UTC))


def new_session(key_id: str, key_mark: str, name: str, *, remember: bool) -> Session:
    """Start a session."""
    return Session(key_id, key_mark, name[:MAX_NAME_LENGTH], secrets.token_urlsafe(TOKEN_BYTES), remember)


def person_session(key_id: str, mark: str, name: str, now: datetime) -> Session:
    """Start a session of a person of the sign-in provider."""
    until = int((now + OF_A_PERSON).timestamp())
    return Session(key_id, mark, name, secrets.token_urlsafe(TOKEN_BYTES), remember=False, until=until)


def sign(secret_keys: Sequence[str], session: Session) -> str:
    """Write the cookie, signed by the first key."""
    # Without an end it is as versions wrote it that knew none, so that they can read it.
    fields = [*session] if session.until is not None else [*session[:-1]]
    return _signer(secret_keys).sign(base64.urlsafe_b64encode(orjson.dumps(fields))).decode()


def read(secret_keys: Sequence[str], cookie: str, now: datetime) -> tuple[Session, datetime] | None:
    """Read a cookie that any of the keys signed.

    Returns: the session and when it was signed; None if the cookie is forged, malformed or expired.
    """
    try:
        payload, signed_at = _signer(secret_keys).unsign(cookie, return_timestamp=True)
        session = Session(*orjson.loads(base64.urlsafe_b64decode(payload)))
    except (BadSignature, ValueError, TypeError):
        return None
    signed_at = signed_at.astimezone(UTC)
    is_over = session.until is not None and now.timestamp() >= session.until
    return (session, signed_at) if now - signed_at < session.lifetime and not is_over else None


def _signer(secret_keys: Sequence[str]) -> TimestampSigner:
    # itsdangerous signs with the last key of its list and accepts all of them; SECRET_KEY has the newest key first.
    return TimestampSigner([*reversed(secret_keys)], salt=SALT, digest_method=hashlib.sha256)


def key_mark(secret_keys: Sequence[str], api_key: str) -> str:
    """Return the fingerprint of `API_KEY` that a bootstrap session carries."""
    return hmac.new(secret_keys[0].encode(), b"session" + api_key.encode(), hashlib.sha256).hexdigest()[:16]


def csrf_token(secret_keys: Sequence[str], session: Session) -> str:
    """Make a CSRF token of a session. Its mask differs each time, so that compression of the page reveals nothing."""
    mask = secrets.token_bytes(TOKEN_BYTES)
    masked = _xor(mask, _csrf_digest(secret_keys[0], session))
    return base64.urlsafe_b64encode(mask + masked).rstrip(b"=").decode()


def is_csrf_token(secret_keys: Sequence[str], session: Session, token: str) -> bool:
    """Check a CSRF token that `csrf_token` made for this session under any of the keys."""
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except ValueError:
        return False
    if len(raw) != 2 * TOKEN_BYTES:
        return False
    digest = _xor(raw[:TOKEN_BYTES], raw[TOKEN_BYTES:])
    return any(hmac.compare_digest(digest, _csrf_digest(key, session)) for key in secret_keys)


def _csrf_digest(secret_key: str, session: Session) -> bytes:
    return hmac.new(secret_key.encode(), b"csrf" + session.nonce.encode(), hashlib.sha256).digest()[:TOKEN_BYTES]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
