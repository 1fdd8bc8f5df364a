"""A web server on 127.0.0.1 that answers byte ranges, and the faults of other servers on demand."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, NamedTuple

Fault = Literal["", "ignores ranges", "error", "cut", "short", "forbidden"]


class Request(NamedTuple):
    """A request that the server has seen."""

    method: str
    path: str
    range: str
    authorization: str


@dataclass
class RangeServer:
    """What a server serves, and how.

    Attributes:
        root: the folder of the files.
        url: the address of the folder.
        fault: what goes wrong: whole files instead of ranges; status 500; a connection that ends
            after half of the bytes; an answer of half of the bytes; status 403.
        path: the fault is that of requests whose path holds this text.
        faults_left: how many requests go wrong; None for all of them.
        requests: the requests, in their order.
    """

    root: Path
    url: str = ""
    fault: Fault = ""
    path: str = ""
    faults_left: int | None = None
    requests: list[Request] = field(default_factory=list)

    def fault_of(self, path: str) -> Fault:
        """The fault of the next request."""
        if not self.fault or self.path not in path or self.faults_left == 0:
            return ""
        if self.faults_left is not None:
            self.faults_left -= 1
        return self.fault


@contextmanager
def serve(root: Path) -> Iterator[RangeServer]:
    """Serve a folder while the block runs."""
    state = RangeServer(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(state: RangeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            wanted = self.headers.get("Range", "")
            path = self.path.partition("?")[0]
            who = self.headers.get("Authorization", "")
            state.requests.append(Request(self.command, self.path, wanted, who))
            fault = state.fault_of(path)
            file = state.root / path.lstrip("/")
            if fault in ("error", "forbidden"):
                self.head(500 if fault == "error" else 403, 0)
            elif not file.is_file():
                self.head(404, 0)
            else:
                self.send(file.read_bytes(), wanted, fault, with_body=with_body)

        def send(self, content: bytes, wanted: str, fault: Fault, *, with_body: bool) -> None:
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
            extra = {}
            status = 200
            if match and fault != "ignores ranges":
                first, last = int(match[1]), int(match[2] or len(content) - 1)
                extra["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
                content, status = content[first : last + 1], 206
            is_cut = fault in ("cut", "short") and with_body
            body = content[: len(content) // 2] if is_cut else content
            self.head(status, len(body) if fault == "short" else len(content), extra)
            if with_body:
                self.wfile.write(body)
            self.close_connection = fault == "cut"

        def head(self, status: int, length: int, extra: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(length), **(extra or {})}.items():
                self.send_header(name, value)
            self.end_headers()

    return Handler
