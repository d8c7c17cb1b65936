"""Errors in the wording of Twilio's REST API."""

from scripts.twilio_simulator.http import Response, json_response


class ApiError(Exception):
    """A request that gets one of Twilio's error documents."""

    def __init__(self, status: int, code: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers

    def response(self) -> Response:
        """Build the document."""
        document = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return json_response(self.status, document, **self.headers)


def bad_parameter(message: str) -> ApiError:
    """Reject an invalid parameter."""
    return ApiError(400, 20001, message)


def not_authenticated() -> ApiError:
    """Reject credentials that are wrong or lack permission."""
    return ApiError(401, 20003, "Authenticate", **{"WWW-Authenticate": 'Basic realm="Twilio API"'})


def not_active() -> ApiError:
    """Reject a suspended account."""
    return ApiError(403, 20005, "Account is not active")


def not_found(path: str) -> ApiError:
    """Report that nothing exists at this path."""
    return ApiError(404, 20404, f"The requested resource {path} was not found")


def too_many_requests(retry_after_seconds: int | None = None) -> ApiError:
    """Reject a request that exceeds the concurrency limit."""
    headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
    return ApiError(429, 20429, "Too Many Requests", **headers)
