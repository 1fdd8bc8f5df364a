"""Who may ask the server: only the page that it gave, in the browser of the person who started it.

The server listens on 127.0.0.1 only. A foreign page must not reach it: the host and the origin of
a request are compared with its own, and everything but the page itself needs the token of the
address.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from semiseg.correction.answers import refuse

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Access(NamedTuple):
    """Who may ask.

    Attributes:
        port: of the server.
        token: the secret in its address.
    """

    port: int
    token: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts by which a browser may name the server."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    @property
    def address(self) -> str:
        """The address to open. The token stands behind `#`, which a browser sends nowhere."""
        return f"http://{self.hosts[0]}/#{self.token}"

    def refusal(self, request: Request) -> str | None:
        """Why a request is refused, or None."""
        if request.headers.get("host") not in self.hosts:
            return "The host of this request is not that of the server."
        origin = request.headers.get("origin")
        if origin is not None and origin not in [f"http://{host}" for host in self.hosts]:
            return "This request comes from another page."
        if not request.url.path.startswith("/api/"):
            return None
        words = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(words, f"Bearer {self.token}".encode()):
            return "The token is missing or wrong. Open the address that semiseg printed."
        return None

    async def guard(
        self, request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Answer a request, or refuse it."""
        reason = self.refusal(request)
        response = refuse(403, reason) if reason else await answer(request)
        response.headers.update(_HEADERS)
        return response
