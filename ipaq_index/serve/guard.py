"""What every request passes first: the key, the size of its body, the clock. Plain ASGI, so that it costs little."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ipaq_index.serve.keys import KeyRing
from ipaq_index.serve.limits import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
OPEN_PATHS = ("/health", "/openapi.json")  # no key is asked for: they tell nothing of the index


class Guard:
    """Refuses requests without a key (401), with a body too large (413) or too slow (408), and answers in time (504).

    Parameters
    ----------
    app : ASGI application
        What requests are passed on to, their bodies read.
    keys : KeyRing
        Taken as ``X-API-Key: KEY`` or ``Authorization: Bearer KEY``.
    limits : Limits
        Sizes and times.
    observe : callable
        Told path, status and seconds of each request.
    """

    def __init__(self, app: App, *, keys: KeyRing, limits: Limits, observe: Callable[[str, int, float], None]) -> None:
        self._app, self._keys, self._limits, self._observe = app, keys, limits, observe

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refusal = await self._handled(scope, receive, sending)
            if refusal is not None and status == 0:
                await _refuse(sending, *refusal)
        finally:
            self._observe(scope["path"], status, time.perf_counter() - begin)

    async def _handled(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> tuple[int, str, Headers] | None:
        """Pass the request on, or return why not: status, message, headers."""
        headers: Headers = scope["headers"]
        if scope["path"] not in OPEN_PATHS and not self._keys.accepts(_key(headers)):
            return (
                401,
                "expected an API key that is known, as X-API-Key or Authorization: Bearer",
                [(b"www-authenticate", b"Bearer")],
            )
        too_large = 413, f"body: expected at most {self._limits.body_bytes} bytes", [(b"connection", b"close")]
        for name, value in headers:
            if name == b"content-length" and (not value.isdigit() or int(value) > self._limits.body_bytes):
                return too_large
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                body = await _read(receive, self._limits.body_bytes)
        except TimeoutError:
            return 408, f"body: expected within {self._limits.body_seconds} s", [(b"connection", b"close")]
        if body is None:
            return too_large
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                await self._app(scope, _replay(body, receive), send)
        except TimeoutError:
            return 504, f"no answer within {self._limits.request_seconds} s; a write may still be carried out", []
        return None


def _key(headers: Headers) -> bytes:
    """Return the key that a request brings, empty if none."""
    given = dict(headers)
    if b"x-api-key" in given:
        return given[b"x-api-key"].strip()
    scheme, _, key = given.get(b"authorization", b"").partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


async def _read(receive: Receive, most: int) -> bytes | None:
    """Read a body; None if it is longer than ``most``."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body that has been read, then what comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(send: Send, status: int, message: str, headers: Headers) -> None:
    body = json.dumps({"detail": message}).encode()
    lead = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": lead})
    await send({"type": "http.response.body", "body": body})
