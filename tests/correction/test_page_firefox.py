"""The page of `correct` in Firefox: the same way through it, and the same bytes, as in Chromium."""

from __future__ import annotations

import time

import numpy as np
import pytest
from correction_page import Server, paint_fill_undo_accept_and_reload, place_of

pytest.importorskip("websockets", reason="websockets is not installed")
bidi = pytest.importorskip("bidi")

TIMEOUT = 120  # seconds, for a busy machine

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not bidi.FIREFOX.is_file(), reason=f"there is no {bidi.FIREFOX}"),
]


class Page:
    """The page in Firefox, as `correction_page.Person`."""

    def __init__(self, firefox, server):
        self.firefox = firefox
        firefox.open(server.access.address, 1280, 800)
        self.until(lambda: self.status() == "Saved")
        self.revision = self.session("session.revision")

    def until(self, holds):
        end = time.monotonic() + TIMEOUT
        while not holds():
            assert time.monotonic() < end, (self.status(), self.text("place"))
            time.sleep(0.05)

    def text(self, name):
        return self.firefox.evaluate(f"document.getElementById('{name}').textContent")

    def status(self):
        return self.text("status")

    def session(self, expression):
        """The value of an expression of the page's `session`."""
        return self.firefox.evaluate(
            f"import('/page/session.js').then(({{ session }}) => {expression})"
        )

    def saved(self):
        self.until(lambda: self.session("session.revision") != self.revision)
        self.until(lambda: self.status() == "Saved")
        self.revision = self.session("session.revision")

    def shows(self, text):
        self.until(lambda: text in self.text("place") and self.status() == "Saved")
        self.revision = self.session("session.revision")

    def set_brush(self, size):
        self.firefox.evaluate(
            f"(document.getElementById('size').value = '{size}',"
            " document.getElementById('size').dispatchEvent(new Event('input')), null)"
        )

    def keys(self, *names):
        self.firefox.evaluate("document.getElementById('canvas').focus()")
        self.firefox.press(*names)

    def place(self, x, y):
        box = self.firefox.evaluate("document.getElementById('canvas').getBoundingClientRect()")
        return place_of(box, x, y)

    def click(self, x, y):
        self.firefox.mouse(self.place(x, y), "down", "up")

    def drag(self, start, end):
        self.firefox.mouse(self.place(*start), "down", self.place(*end), "up")

    def reload(self):
        self.firefox.reload()
        self.until(lambda: self.status() == "Saved")

    def labels(self):
        return np.array(self.session("[...session.labels.data]"), np.uint8).reshape(48, 64)


@pytest.fixture
def page(tmp_path, corrections, rounds):
    server = Server(corrections, rounds)
    firefox = bidi.Firefox(tmp_path)
    yield Page(firefox, server)
    firefox.close()
    server.stop()


def test_strokes_fills_polygons_and_steps_are_saved_byte_by_byte(page, corrections):
    paint_fill_undo_accept_and_reload(page, corrections)
