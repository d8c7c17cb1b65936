"""Advice on errors that occur while reading Twilio. Pure."""

CREDENTIALS = "Enter the account's current auth token, or an API key with its secret, in the account's settings."
ENVIRONMENT = "Correct TWILIO_AUTH_TOKEN, or the API key, in the environment or .env, and restart GiftPulse."
"""For the account whose credentials no page can change."""
PERMISSION = "These credentials may not read this: use the auth token, or an API key that may read all logs."
NOT_FOUND = "Check the account's SID and region: Twilio knows no such account at this address."
SECRET_KEY = "Put the earlier SECRET_KEY back after the new one, or enter the credentials again."  # noqa: S105  # advice
LIMITED = "Nothing to do: GiftPulse continues more slowly. If it lasts, lower TWILIO_MAX_REQUESTS_PER_MINUTE."
PROXY = "Check HTTPS_PROXY: the proxy has to let requests to Twilio through."
CERTIFICATE = (
    "Let SSL_CERT_FILE name a file with the certificate of its authority, such as that of a proxy that inspects TLS."
)
UNREACHED = "Check that this server reaches Twilio: DNS, firewall, proxy. The command python -m app doctor tries it."
TWILIO = "Nothing to do here: it is tried again. See status.twilio.com if it lasts."

_ADVICE = (
    ("HTTP 401", CREDENTIALS),
    ("HTTP 403", PERMISSION),
    ("HTTP 404", NOT_FOUND),
    ("no credentials are known", CREDENTIALS),
    ("cannot be decrypted", SECRET_KEY),
    ("too many requests", LIMITED),
    ("see HTTPS_PROXY", PROXY),
    ("see SSL_CERT_FILE", CERTIFICATE),
    ("no answer from Twilio", UNREACHED),
    ("took longer than", UNREACHED),
    ("Twilio refused", CREDENTIALS),
    ("Twilio", TWILIO),
)
"""Parts of error messages with the advice for them, the most specific first."""


def advise(error: str | None, *, from_environment: bool = False) -> str:
    """Return the advice for an error message; empty if there is none.

    Args:    from_environment: the account's credentials come from the environment.
    """
    advice = next((advice for text, advice in _ADVICE if error and text in error), "")
    return ENVIRONMENT if from_environment and advice == CREDENTIALS else advice
