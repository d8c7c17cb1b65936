"""`Idempotency-Key`: a repeated POST takes effect once and gets the same response.

The response is stored in the transaction of the effect, so a crash leaves both or neither. While a request runs, it
holds an advisory lock on its key, and a second request with that key is rejected. An effect that waits for other
servers keeps no transaction open: its key is reserved first, and the response stored afterwards.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import orjson
from fastapi import Depends, Header, Request, Response
from sqlalchemy import Delete, case, delete, func, select
from sqlalchemy.orm import Session

from app.api.deps import read_body
from app.api.problems import Refused
from app.config import Settings
from app.database import session_scope
from app.errors import FieldError, InvalidInput
from app.models import IdempotentAnswer
from app.utils.clock import utc_now
from app.utils.crypto import Undecryptable, decrypt, encrypt

RETENTION = timedelta(hours=24)
RESERVED_FOR = timedelta(minutes=10)
"""Longer than any effect takes: a reservation that is older belongs to a process that died."""
RESERVED = 0
"""The status of an answer that is still to come."""
KEPT_HEADERS = ("etag", "location", "content-type")


@dataclass(frozen=True)
class IdempotencyGuard:
    """Runs the effect of a request once per key. Without a key, it runs the effect every time."""

    settings: Settings
    key: str | None
    request_hash: str

    def run(self, caller: str, effect: Callable[[Session], Response]) -> Response:
        """Run the effect in a transaction, or replay the stored response.

        Raises: Refused with 409 while a request with this key runs; InvalidInput if the key was used for another
            request.
        """
        with session_scope() as session:
            if self.key is None:
                return effect(session)
            stored = self._stored(session, caller, self.key)
            if stored:
                return self._replay(stored)
            answer = effect(session)
            self._store(session, caller, self.key, answer)
            return answer

    def run_without_transaction(self, caller: str, effect: Callable[[], Response]) -> Response:
        """Run an effect that opens its own transactions, or replay the stored response; raises what `run` raises.

        A process that dies meanwhile leaves the key reserved for a while, then the effect may be repeated.
        """
        if self.key is None:
            return effect()
        with session_scope() as session:
            stored = self._stored(session, caller, self.key)
            if stored:
                return self._replay(stored)
            self._store(session, caller, self.key, Response(status_code=RESERVED))
        try:
            answer = effect()
        except BaseException:
            with session_scope() as session:
                session.execute(_answer_of(caller, self.key))
            raise
        with session_scope() as session:
            self._store(session, caller, self.key, answer)
        return answer

    def _stored(self, session: Session, caller: str, key: str) -> IdempotentAnswer | None:
        """Return the answer that is stored, and reject other requests with this key until the transaction ends.

        Raises: Refused with 409 while another request with this key is running.
        """
        self._lock(session, caller, key)
        now = utc_now()
        is_reserved = IdempotentAnswer.status == RESERVED
        return session.scalar(
            select(IdempotentAnswer).where(
                IdempotentAnswer.caller == caller,
                IdempotentAnswer.key == key,
                IdempotentAnswer.created_at > case((is_reserved, now - RESERVED_FOR), else_=now - RETENTION),
            )
        )

    def _lock(self, session: Session, caller: str, key: str) -> None:
        digest = hashlib.sha256(f"{caller}\n{key}".encode()).digest()
        number = int.from_bytes(digest[:8], signed=True)
        if not session.scalar(select(func.pg_try_advisory_xact_lock(number))):
            raise _in_progress()

    def _replay(self, stored: IdempotentAnswer) -> Response:
        if stored.request_hash != self.request_hash:
            raise InvalidInput([FieldError("Idempotency-Key", "was used for another request within 24 hours")])
        if stored.status == RESERVED:
            raise _in_progress()
        try:
            kept = orjson.loads(decrypt(self.settings.secret_keys, stored.answer))
        except Undecryptable:
            raise Refused(
                409,
                "This Idempotency-Key was used before, and SECRET_KEY no longer decrypts its response: use a new one.",
            ) from None
        return Response(kept["body"].encode(), stored.status, {**kept["headers"], "Idempotency-Replayed": "true"})

    def _store(self, session: Session, caller: str, key: str, answer: Response) -> None:
        kept = {
            "headers": {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers},
            "body": bytes(answer.body).decode(),
        }
        session.execute(_answer_of(caller, key))  # an expired one, or its own reservation
        session.add(
            IdempotentAnswer(
                caller=caller,
                key=key,
                request_hash=self.request_hash,
                status=answer.status_code,
                answer=encrypt(self.settings.secret_keys, orjson.dumps(kept).decode()),
                created_at=utc_now(),
            )
        )


def _answer_of(caller: str, key: str) -> Delete:
    return delete(IdempotentAnswer).where(IdempotentAnswer.caller == caller, IdempotentAnswer.key == key)


def _in_progress() -> Refused:
    return Refused(409, "A request with this Idempotency-Key is in progress.", {"Retry-After": "1"})


async def idempotency_guard(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=r"^[\x21-\x7e]{1,128}$",
            description="A text that you choose: a repeated request with the same key takes effect once in 24 hours.",
        ),
    ] = None,
) -> IdempotencyGuard:
    """Read the key and hash what it is bound to: method, path, query and body."""
    digest = hashlib.sha256()
    if key is not None:
        parts = (request.method.encode(), request.url.path.encode(), request.scope["query_string"])
        digest.update(b"\n".join(parts) + b"\n" + await read_body(request))
    return IdempotencyGuard(request.app.state.settings, key, digest.hexdigest())


Idempotent = Annotated[IdempotencyGuard, Depends(idempotency_guard)]
