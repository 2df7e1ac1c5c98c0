"""Errors as OpenAI's clients read them; none tells what a customer wrote."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

_NO_FIELDS = ("body", "query", "path", "constrained-int", "constrained-float")
"""What pydantic names in a place beside fields: parts of a request, and kinds of a value."""


class ApiError(HTTPException):
    """A request that is not served, and why."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        # Whoever sends too much is not listened to any longer.
        headers = {"connection": "close"} if status == 413 else None
        super().__init__(status, message, headers)
        self.body = body(status, message, param, code)


def body(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The body of an error."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def unknown(what: str, param: str | None = None) -> ApiError:
    """Nothing of that id is here. The id is not repeated: it is whatever somebody sent."""
    return ApiError(404, f"there is no such {what}", param=param, code=f"{what}_not_found")


def invalid(errors: Any) -> ApiError:
    """The first of pydantic's errors; it names the field and leaves out its value."""
    first = errors[0]
    # Places count from the request's part (`body`), and hold the place in the text of bad JSON.
    place = [str(part) for part in first["loc"] if part not in _NO_FIELDS]
    if first["type"] == "json_invalid":
        return ApiError(400, "the body is not JSON", code="invalid_json")
    if first["type"] == "extra_forbidden":
        # The name of a field is the customer's text too, but what they must be told.
        name = ".".join(place)[:64]
        return ApiError(
            400, f"unsupported parameter: {name}", param=name, code="unsupported_parameter"
        )
    param = ".".join(place) or None
    said = f"{param}: {first['msg']}" if param else str(first["msg"])
    return ApiError(400, said, param=param, code="invalid_value")


def install(app: FastAPI) -> None:
    """Give every error its body."""

    def known(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, AnyHTTPException)
        told = getattr(error, "body", None) or body(error.status_code, str(error.detail))
        return JSONResponse(told, error.status_code, headers=getattr(error, "headers", None))

    def bad(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return known(request, invalid(error.errors()))

    app.add_exception_handler(AnyHTTPException, known)
    app.add_exception_handler(RequestValidationError, bad)
