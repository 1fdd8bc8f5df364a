"""Drives the Firefox of the system by WebDriver BiDi, which playwright does not speak with it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from websockets.sync.client import connect

FIREFOX = Path("/usr/bin/firefox-esr")
_KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Shift": "\ue008"}
_TIMEOUT = 120  # seconds, for a busy machine


class Firefox:
    """A Firefox without a window, with one tab.

    Args:
        profile: an empty folder for its files.
    """

    def __init__(self, profile: Path) -> None:
        words = [str(FIREFOX), "--headless", "--no-remote", "--profile", str(profile)]
        self._log = (profile / "log.txt").open("w+")
        self._process = subprocess.Popen(
            [*words, "--remote-debugging-port", "0"], stdout=self._log, stderr=subprocess.STDOUT
        )
        self._numbers = count(1)
        self._open = ExitStack()
        try:
            address = self._address(profile / "log.txt")
            self._socket = self._open.enter_context(connect(f"{address}/session", max_size=None))
            self.send("session.new", capabilities={})
            self._tab = self.send("browsingContext.getTree")["contexts"][0]["context"]
        except BaseException:
            self.close()
            raise

    def _address(self, log: Path) -> str:
        """The address that Firefox prints when it listens."""
        end = time.monotonic() + _TIMEOUT
        while self._process.poll() is None and time.monotonic() < end:
            found = re.search(r"BiDi listening on (ws://\S+)", log.read_text(errors="replace"))
            if found:
                return found[1]
            time.sleep(0.1)
        raise RuntimeError(f"Firefox does not start: {log.read_text(errors='replace')}")

    def send(self, method: str, **parameters: object) -> dict:
        """Send a command, and wait for its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(_TIMEOUT))
            if answer.get("id") != number:
                continue  # an event
            if answer["type"] == "error":
                raise RuntimeError(f"{method}: {answer['error']}: {answer['message']}")
            return answer["result"]

    def open(self, address: str, width: int, height: int) -> None:
        """Show a page in a window of a size in pixels."""
        self.send(
            "browsingContext.setViewport",
            context=self._tab,
            viewport={"width": width, "height": height},
        )
        self.send("browsingContext.navigate", context=self._tab, url=address, wait="complete")

    def reload(self) -> None:
        """Load the page again."""
        self.send("browsingContext.reload", context=self._tab, wait="complete")

    def evaluate(self, expression: str) -> object:
        """The value of an expression, or of the promise that it gives, by way of JSON."""
        words = f"Promise.resolve({expression}).then((value) => JSON.stringify(value ?? null))"
        answer = self.send(
            "script.evaluate",
            expression=words,
            target={"context": self._tab},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def press(self, *names: str) -> None:
        """Press keys one after the other."""
        keys = [_KEYS.get(name, name) for name in names]
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._act("key", steps, {})

    def mouse(self, *steps: tuple[float, float] | str) -> None:
        """Move to places, and press (`down`) or release (`up`) the left button."""
        actions = [
            {"type": f"pointer{step.capitalize()}", "button": 0}
            if isinstance(step, str)
            else {"type": "pointerMove", "x": step[0], "y": step[1]}
            for step in steps
        ]
        self._act("pointer", actions, {"parameters": {"pointerType": "mouse"}})

    def _act(self, kind: str, actions: list, more: dict) -> None:
        source = {"type": kind, "id": kind, "actions": actions, **more}
        self.send("input.performActions", context=self._tab, actions=[source])

    def close(self) -> None:
        """End Firefox."""
        self._open.close()
        self._process.terminate()
        self._process.wait()
        self._log.close()
