"""`Idempotency-Key`: a repeated POST takes effect once and gets the same response.

The response is stored in the transaction of the effect, so a crash leaves both or neither. While a request runs, it
holds an advisory lock on its key, and a second request with that key is rejected.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import orjson
from fastapi import Depends, Header, Request, Response
from sqlalchemy import delete, func, select
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
            self._lock(session, caller, self.key)
            stored = session.scalar(
                select(IdempotentAnswer).where(
                    IdempotentAnswer.caller == caller,
                    IdempotentAnswer.key == self.key,
                    IdempotentAnswer.created_at > utc_now() - RETENTION,
                )
            )
            return self._replay(stored) if stored else self._run_and_store(session, caller, self.key, effect)

    def _lock(self, session: Session, caller: str, key: str) -> None:
        digest = hashlib.sha256(f"{caller}\n{key}".encode()).digest()
        number = int.from_bytes(digest[:8], signed=True)
        if not session.scalar(select(func.pg_try_advisory_xact_lock(number))):
            raise Refused(409, "A request with this Idempotency-Key is in progress.", {"Retry-After": "1"})

    def _replay(self, stored: IdempotentAnswer) -> Response:
        if stored.request_hash != self.request_hash:
            raise InvalidInput([FieldError("Idempotency-Key", "was used for another request within 24 hours")])
        try:
            kept = orjson.loads(decrypt(self.settings.secret_keys, stored.answer))
        except Undecryptable:
            raise Refused(
                409,
                "This Idempotency-Key was used before, and SECRET_KEY no longer decrypts its response: use a new one.",
            ) from None
        return Response(kept["body"].encode(), stored.status, {**kept["headers"], "Idempotency-Replayed": "true"})

    def _run_and_store(
        self, session: Session, caller: str, key: str, effect: Callable[[Session], Response]
    ) -> Response:
        answer = effect(session)
        kept = {
            "headers": {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers},
            "body": bytes(answer.body).decode(),
        }
        session.execute(
            delete(IdempotentAnswer).where(IdempotentAnswer.caller == caller, IdempotentAnswer.key == key)
        )  # an expired one
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
        return answer


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
