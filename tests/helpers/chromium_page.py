"""The page of `correct` in chromium for a test; a module that imports it needs the browser."""

from __future__ import annotations

import time

import numpy as np
import pytest
from browser import playwright
from correction_page import Server, place_of

TIMEOUT = 60_000  # milliseconds, for a busy machine


@pytest.fixture(name="server")
def server_fixture(corrections, rounds):
    """A server of the folder."""
    started = Server(corrections, rounds)
    yield started
    if started.thread.is_alive():
        started.stop()


class Page:
    """The page with its console messages and its requests."""

    def __init__(self, browser, server, width=1280):
        self.tab = browser.new_page(viewport={"width": width, "height": 800})
        self.messages, self.requests = [], []
        self.tab.on("console", lambda message: self.messages.append(message.text))
        self.tab.on("pageerror", lambda error: self.messages.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.goto(server.access.address)
        self.wait("Saved")
        self.revision = self.session("session.revision")

    def wait(self, text):
        playwright.expect(self.tab.locator("#status")).to_have_text(text, timeout=TIMEOUT)

    def saved(self):
        """Wait until the change is saved, which happens one second after it."""
        end = time.monotonic() + TIMEOUT / 1000
        while self.session("session.revision") == self.revision:
            assert time.monotonic() < end, "nothing was saved"
            self.tab.wait_for_timeout(100)
        self.wait("Saved")
        self.revision = self.session("session.revision")

    def shows(self, text):
        """Wait until another image is shown and loaded."""
        place = playwright.expect(self.tab.locator("#place"))
        place.to_contain_text(text, timeout=TIMEOUT)
        self.wait("Saved")
        self.revision = self.session("session.revision")

    def place(self, x, y):
        """Where the middle of a pixel of the image stands on the page."""
        return place_of(self.tab.locator("#canvas").bounding_box(), x, y)

    def click(self, x, y):
        self.tab.mouse.click(*self.place(x, y))

    def drag(self, start, end):
        self.tab.mouse.move(*self.place(*start))
        self.tab.mouse.down()
        self.tab.mouse.move(*self.place(*end), steps=1)
        self.tab.mouse.up()

    def set_brush(self, size):
        self.tab.locator("#size").fill(str(size))

    def reload(self):
        self.tab.reload()
        self.wait("Saved")

    def session(self, expression):
        """The value of an expression of the page's `session` and `view`."""
        words = f"import('/page/session.js').then(({{ session, view }}) => {expression})"
        return self.tab.evaluate(words)

    def labels(self):
        values = self.session("[...session.labels.data]")
        return np.array(values, np.uint8).reshape(48, 64)

    def keys(self, *names):
        self.tab.locator("#canvas").focus()
        for name in names:
            self.tab.keyboard.press(name)


@pytest.fixture(name="page")
def page_fixture(browser, server):
    """The page, which may write nothing into the console."""
    opened = Page(browser, server)
    yield opened
    assert opened.messages == []
    opened.tab.close()
