"""A file of texts in, the same file with answers out, in little memory.

The upload is kept on disk until it is answered: every row is checked before the first answer is sent, and a client that
reads only after it has sent everything is not waited for in vain.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from whichtune.errors import DataError, WhichtuneError
from whichtune.handover.serve.bodies import refuse_announced, too_large
from whichtune.handover.serve.limits import Limits, RequestError, check_length
from whichtune.runs.writing import writer_of
from whichtune.study.fields import column_names
from whichtune.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from whichtune.data.streamed import TextFile
    from whichtune.handover.serve.batching import Batcher
    from whichtune.handover.serve.rows import Answer, Served

KINDS = {"text/csv": "csv", "application/jsonl": "jsonl", "application/x-ndjson": "jsonl"}


class Uploads:
    """Answers files, a few at a time."""

    def __init__(self, served: Served, batcher: Batcher[tuple[Answer, ...]], limits: Limits) -> None:
        self.served, self.batcher, self.limits = served, batcher, limits
        self.under_way = 0

    async def answer(self, request: Request) -> Response:
        """Read and check the whole file, then send its answers piece by piece."""
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        kind = KINDS.get(media)
        if kind is None:
            raise RequestError(415, "wrong_type", f"Send a file, with a Content-Type of {', '.join(KINDS)}.")
        if self.under_way >= self.limits.uploads:
            raise RequestError(503, "busy", f"{self.under_way} files are answered just now: try again in a while.")
        self.under_way += 1
        place = tempfile.TemporaryDirectory(prefix="whichtune-serve-")
        try:
            texts = await self._checked(request, Path(place.name) / f"upload.{kind}")
        except BaseException:
            self._done(place)
            raise
        return _Answers(self._answers(texts, kind), media, lambda: self._done(place))

    def _done(self, place: tempfile.TemporaryDirectory[str]) -> None:
        self.under_way -= 1
        place.cleanup()

    async def _checked(self, request: Request, file: Path) -> TextFile:
        """The upload's texts, once each of them is known to be one. Raises RequestError where one is none."""
        await _keep(request, file, self.limits.upload_bytes)
        column = request.query_params.get("text_column") or self.served.text_column
        fields = max(1, len(self.served.fields))
        if (named := len(column_names(column)) or 1) != fields:
            sentence = f"text_column names {named} columns, and a text has {plural(fields, 'field')}: name as many."
            raise RequestError(422, "unusable_file", sentence)

        def check() -> TextFile:
            texts = self.served.texts_in(file, column)
            row = 0
            for piece in texts.pieces():
                for text in piece:
                    row += 1
                    check_length(text, f"Row {row}", self.limits)
            return texts

        try:
            return await asyncio.to_thread(check)
        except DataError as error:
            raise RequestError(422, "unusable_file", " ".join(str(error).split())) from error

    async def _answers(self, texts: TextFile, kind: str) -> AsyncIterator[bytes]:
        out = io.BytesIO()
        writer = writer_of(kind, out)
        pieces = texts.pieces(self.batcher.most_texts)
        while piece := await asyncio.to_thread(_next, pieces):
            try:
                answers = await self.batcher.ask(piece, patient=True)
            except WhichtuneError as error:  # the answer ends without its end, which clients notice
                print(f"A file was answered in part: {error}", file=sys.stderr)
                raise
            writer.write(self.served.table(piece, answers))
            yield out.getvalue()
            out.seek(0)
            out.truncate()


class _Answers(StreamingResponse):
    """Sent piece by piece; `done` is called whatever became of it, a client that has gone included."""

    def __init__(self, pieces: AsyncIterator[bytes], media_type: str, done: Callable[[], None]) -> None:
        super().__init__(pieces, media_type=media_type)
        self.done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.done()


def _next(pieces: Iterator[list[str]]) -> list[str] | None:
    return next(pieces, None)


async def _keep(request: Request, file: Path, most: int) -> None:
    refuse_announced(request, most)
    size = 0
    with file.open("wb") as handle:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise too_large(most)
            handle.write(piece)
    if not size:
        raise RequestError(422, "unusable_file", "The body is empty: send the file.")
