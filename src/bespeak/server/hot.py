"""What every hot endpoint shares: plain ASGI, headers read once, errors turned into answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.types import Receive, Scope, Send

from bespeak.errors import BespeakError
from bespeak.server.answers import INTERNAL, Answer, error_answer, log_failure, send_answer
from bespeak.server.bodies import Disconnected

Handler = Callable[[Scope, Mapping[bytes, bytes], Receive], Awaitable[Answer]]

CLOSING = ((b"connection", b"close"),)
"""After an unread or late body the connection cannot be used again."""


class Hot:
    """One hot endpoint as an ASGI application: a handler that takes scope, headers and body, and gives an answer."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing escapes."""
        try:
            answer = await self._handler(scope, dict(scope["headers"]), receive)
        except Disconnected:
            return
        except BespeakError as error:
            answer = error_answer(error)
            if error.status in (400, 408) and error.code in ("too_large", "request_timeout"):
                answer = Answer(answer.body, answer.status, headers=(*answer.headers, *CLOSING))
        except Exception as error:  # noqa: BLE001  the last line before the wire: nothing may take the server down
            log_failure(error)
            answer = INTERNAL
        await send_answer(send, answer)
