"""Who may ask, and what every answer says to browsers."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whichtune.handover.serve.bodies import problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/", "/health")  # the page has nothing of the study in it
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True)
class Guard:
    """Lets through who has the token, where there is one.

    `hosts` are the names by which the server may be asked for, None for any: a page of somebody else's whose name was
    made to lead here (DNS rebinding) has another.
    """

    app: ASGIApp
    token: str | None
    hosts: tuple[str, ...] | None
    csp: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                csp = (b"content-security-policy", self.csp.encode())
                message["headers"] = [*message.get("headers", ()), *HEADERS, csp]
            await send(message)

        if (refusal := self._refusal(scope)) is not None:
            await problem_response(*refusal)(scope, receive, send_headed)
            return
        await self.app(scope, receive, send_headed)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self.hosts is not None and re.sub(r":\d+$", "", host) not in self.hosts:
            return (
                421,
                "wrong_host",
                "This server was started under another name: use the address that it told.",
            )
        if self.token is None or scope["path"] in OPEN:
            return None
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        right = hmac.compare_digest(given.strip(), self.token.encode())
        if kind.lower() == b"bearer" and right:
            return None
        return 401, "no_token", "The token is missing or wrong: send it as 'Authorization: Bearer TOKEN'."
