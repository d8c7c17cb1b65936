"""Sign-ins of the console, and what its users hide."""

from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp


class SignInToken(Base):
    """A one-time sign-in that has not been used."""

    __tablename__ = "sign_in_tokens"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    """SHA-256 of the token, in hex."""
    key_id: Mapped[str]
    key_mark: Mapped[str]
    name: Mapped[str]
    expires_at: Mapped[Timestamp]


class HiddenPart(Base):
    """A part of the console that is hidden from all who use a key."""

    __tablename__ = "hidden_parts"

    key_id: Mapped[str] = mapped_column(primary_key=True)
    """Id of the API key; `bootstrap` for `API_KEY`."""
    part: Mapped[str] = mapped_column(primary_key=True)


class ConsoleSession(Base):
    """A session of the console, as it was last seen. The cookie decides whether it is valid, not this row."""

    __tablename__ = "console_sessions"

    nonce: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str]
    """Id of the API key; `bootstrap` for `API_KEY`."""
    name: Mapped[str]
    """The person's name."""
    seen_at: Mapped[Timestamp]
    """To some minutes: when its cookie was last signed."""
    expires_at: Mapped[Timestamp]
