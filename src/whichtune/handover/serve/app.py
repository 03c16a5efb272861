"""The server's addresses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from whichtune.errors import WhichtuneError
from whichtune.handover.serve.batching import Batcher
from whichtune.handover.serve.bodies import problem_response, read_body
from whichtune.handover.serve.guard import Guard
from whichtune.handover.serve.limits import Limits, RequestError, check_texts
from whichtune.handover.serve.rows import Answer, Served
from whichtune.handover.serve.schema import openapi
from whichtune.handover.serve.tags import joined_words
from whichtune.handover.serve.uploads import Uploads

PAGE = Path(__file__).with_name("page.html")


class Service:
    """What is served, and how."""

    def __init__(self, served: Served, limits: Limits, secured: bool) -> None:
        self.served, self.limits, self.secured = served, limits, secured
        self.batcher: Batcher[tuple[Answer, ...]] = Batcher(served.answers, served.most_texts, limits.queued_texts)
        self.uploads = Uploads(served, self.batcher, limits)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self.batcher:
            yield

    async def page(self, request: Request) -> Response:
        return HTMLResponse(page_text())

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metadata(self, request: Request) -> Response:
        return JSONResponse(self.served.metadata(self.limits).model_dump(mode="json"))

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(openapi(self.secured))

    async def predict(self, request: Request) -> Response:
        texts = check_texts(await self._given(request), self.limits, self.served.fields)
        answers = await self.batcher.ask(texts)
        pairs = list(zip(texts, answers, strict=True))
        rows = [
            {"row": name, "predictions": [self.served.prediction(text, each[place]) for text, each in pairs]}
            for place, name in enumerate(self.served.names)
        ]
        return JSONResponse({**rows[0], "compared": rows[1]} if len(rows) > 1 else rows[0])

    async def _given(self, request: Request) -> object:
        """The request's texts; where words are tagged, those that are given as lists of words are joined."""
        given = await self._texts(request)
        if self.served.kind != "tags" or not isinstance(given, list):
            return given
        return [joined_words(text, f"Text {number}") for number, text in enumerate(given, start=1)]

    async def batch(self, request: Request) -> Response:
        return await self.uploads.answer(request)

    async def _texts(self, request: Request) -> object:
        """What stands under "texts" in the request's JSON."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            # What a page of another site may send unasked is never this type.
            raise RequestError(415, "wrong_type", "Send JSON, with the header Content-Type: application/json.")
        try:
            value = json.loads(await read_body(request, self.limits.body_bytes))
        except (ValueError, RecursionError) as error:
            raise RequestError(400, "no_json", "The body is no JSON that can be read.") from error
        if not isinstance(value, dict) or set(value) != {"texts"}:
            raise RequestError(422, "no_texts", 'The body must be {"texts": ["...", ...]} and nothing else.')
        return value["texts"]


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return problem_response(error.status, error.code, error.text)


async def _unanswerable(request: Request, error: Exception) -> Response:
    """A text that the row cannot answer, such as one without a token."""
    return problem_response(422, "not_answered", " ".join(str(error).split()))


async def _no_such_place(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "There is nothing at this address: see /openapi.json.", 405: "This address takes another method."}
    code = {404: "not_found", 405: "wrong_method"}.get(error.status_code, "refused")
    return problem_response(error.status_code, code, words.get(error.status_code, str(error.detail)))


async def _failed(request: Request, error: Exception) -> Response:
    return problem_response(500, "failed", "The server failed; its log says more.")


@cache
def page_text() -> str:
    """The page where texts are tried: one file, without the network."""
    return PAGE.read_text(encoding="utf-8")


@cache
def page_policy() -> str:
    """A content security policy that allows the page's own script and style, and talking to this server alone."""
    text = page_text()
    hashes = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"
            for inside in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def make_app(
    served: Served, limits: Limits | None = None, token: str | None = None, hosts: tuple[str, ...] | None = None
) -> Guard:
    """The ASGI application. `token` is asked for where there is one; `hosts` see `Guard`."""
    service = Service(served, limits or Limits(), token is not None)
    app = Starlette(
        routes=[
            Route("/", service.page),
            Route("/health", service.health),
            Route("/metadata", service.metadata),
            Route("/openapi.json", service.openapi),
            Route("/predict", service.predict, methods=["POST"]),
            Route("/batch", service.batch, methods=["POST"]),
        ],
        lifespan=service.lifespan,
        exception_handlers={
            RequestError: _problem,
            WhichtuneError: _unanswerable,
            HTTPException: _no_such_place,
            500: _failed,
        },
    )
    return Guard(app, token, hosts, page_policy())
