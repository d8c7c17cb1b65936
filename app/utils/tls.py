"""How this process trusts servers: one TLS context for all connections that it opens."""

import ssl
from functools import lru_cache

UNTRUSTED = "its certificate comes from an authority that this machine does not know, or is for another name"
"""What `is_untrusted` means, for people."""


@lru_cache
def tls_context() -> ssl.SSLContext:
    """Return the process's TLS context: certificates are verified against the system's store or `SSL_CERT_FILE`."""
    return ssl.create_default_context()


def is_untrusted(error: BaseException | None) -> bool:
    """Return whether the server's certificate was rejected."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
