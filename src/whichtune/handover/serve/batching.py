"""Requests that arrive together are computed together; each gets its own answers, in its own order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from whichtune.handover.serve.limits import RequestError

AnswerT = TypeVar("AnswerT")
# Under load, how long a batch waits for the requests of clients who were just answered. One request at a time waits
# for nothing.
GATHER_SECONDS = 0.002


@dataclass(frozen=True)
class _Asked(Generic[AnswerT]):
    texts: list[str]
    answers: asyncio.Future[list[AnswerT]]


class Batcher(Generic[AnswerT]):
    """Computes on one thread, whole requests at a time, of up to `most_texts` texts unless one request has more.

    `compute` gives as many answers as it is given texts, in their order. Use `running` around everything that asks.
    """

    def __init__(self, compute: Callable[[list[str]], Sequence[AnswerT]], most_texts: int, most_waiting: int) -> None:
        self.compute, self.most_texts, self.most_waiting = compute, most_texts, most_waiting
        self._asked: deque[_Asked[AnswerT]] = deque()
        self._waiting = 0  # texts
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "whichtune-serve")
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batcher[AnswerT]:
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._worker is not None
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        self._thread.shutdown()

    async def ask(self, texts: list[str], patient: bool = False) -> list[AnswerT]:
        """One answer for each text. Raises RequestError (503) where too many wait, unless the caller is patient."""
        if not patient and self._waiting + len(texts) > self.most_waiting:
            raise RequestError(503, "busy", f"{self._waiting:,} texts wait already: try again in a moment.")
        answers: asyncio.Future[list[AnswerT]] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(texts, answers))
        self._waiting += len(texts)
        self._wake.set()
        return await answers

    def _take(self) -> list[_Asked[AnswerT]]:
        """The requests of the next batch, first come, first served."""
        taken: list[_Asked[AnswerT]] = []
        count = 0
        while self._asked and (not taken or count + len(self._asked[0].texts) <= self.most_texts):
            taken.append(self._asked.popleft())
            count += len(taken[-1].texts)
        self._waiting -= count
        if not self._asked:
            self._wake.clear()
        return [asked for asked in taken if not asked.answers.cancelled()]

    async def _work(self) -> None:
        several = False
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS if several and len(self._asked) < self.most_texts else 0)
            taken = self._take()
            several = len(taken) > 1
            if taken:
                await self._answer(taken)

    async def _answer(self, taken: list[_Asked[AnswerT]]) -> None:
        texts = [text for asked in taken for text in asked.texts]
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self.compute, texts)
        except Exception as error:
            if len(taken) == 1:
                if not taken[0].answers.cancelled():
                    taken[0].answers.set_exception(error)
                return
            for asked in taken:  # one that cannot be answered leaves the others their answers
                await self._answer([asked])
            return
        start = 0
        for asked in taken:
            if not asked.answers.cancelled():
                asked.answers.set_result(list(found[start : start + len(asked.texts)]))
            start += len(asked.texts)
