"""Bodies of requests as far as they are read, and errors as they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from whichtune.handover.serve.limits import RequestError

if TYPE_CHECKING:
    from starlette.requests import Request


def problem_response(status: int, code: str, text: str) -> Response:
    """An error as JSON."""
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(status)
    return JSONResponse({"error": {"code": code, "message": text}}, status, headers)


async def read_body(request: Request, most: int) -> bytes:
    """The body. Raises RequestError for one of more than `most` bytes, without reading it to its end."""
    body = bytearray()
    refuse_announced(request, most)
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise too_large(most)
    return bytes(body)


def refuse_announced(request: Request, most: int) -> None:
    """Raise RequestError where the request says itself that it is too long."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > most:
        raise too_large(most)


def too_large(most: int) -> RequestError:
    return RequestError(413, "body_too_large", f"The body has more than {most:,} bytes: send less at a time.")
