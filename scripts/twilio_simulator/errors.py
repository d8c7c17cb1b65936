"""Errors as Twilio's REST API words them."""

from scripts.twilio_simulator.http import Response, json_response


class ApiError(Exception):
    """A request that is answered with one of Twilio's error documents."""

    def __init__(self, status: int, code: int, message: str, **headers: str) -> None:
        """Keep what the document says."""
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers

    def response(self) -> Response:
        """Write the document."""
        document = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return json_response(self.status, document, **self.headers)


def bad_parameter(message: str) -> ApiError:
    """Refuse a parameter that cannot be used."""
    return ApiError(400, 20001, message)


def not_authenticated() -> ApiError:
    """Refuse credentials that are wrong, or reach too far."""
    return ApiError(401, 20003, "Authenticate", **{"WWW-Authenticate": 'Basic realm="Twilio API"'})


def not_active() -> ApiError:
    """Refuse an account that is suspended."""
    return ApiError(403, 20005, "Account is not active")


def not_found(path: str) -> ApiError:
    """Say that there is nothing at this path."""
    return ApiError(404, 20404, f"The requested resource {path} was not found")


def too_many_requests(retry_after_seconds: int | None = None) -> ApiError:
    """Say that the request came on top of too many others and was not processed."""
    headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
    return ApiError(429, 20429, "Too Many Requests", **headers)
