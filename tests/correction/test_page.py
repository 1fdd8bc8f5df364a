"""The page of `correct` in a real browser: what is drawn is what is saved, byte by byte."""

from __future__ import annotations

import socket
import threading
import time

import numpy as np
import pytest
import uvicorn
from browser import axe, browser_fixture, playwright  # noqa: F401 - the fixture `browser`

from semiseg.correction.server import Access, application
from semiseg.data.formats.masks import read_mask

TIMEOUT = 60_000  # milliseconds, for a busy machine

pytestmark = pytest.mark.browser


class Server:
    """A server in a thread, which can be stopped and started again at the same port."""

    def __init__(self, corrections, rounds, port=0):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.access = Access(self.listener.getsockname()[1], "secret")
        app = application(corrections, rounds, self.access)
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        sockets = {"sockets": [self.listener]}
        self.thread = threading.Thread(target=self.server.run, kwargs=sockets, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self):
        self.server.should_exit = self.server.force_exit = True
        self.thread.join()
        self.listener.close()


@pytest.fixture
def server(corrections, rounds):
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

    def wait(self, text):
        playwright.expect(self.tab.locator("#status")).to_have_text(text, timeout=TIMEOUT)

    def saved(self):
        """Wait until the change is saved, which happens one second after it."""
        status = playwright.expect(self.tab.locator("#status"))
        status.not_to_have_text("Saved", timeout=TIMEOUT)
        status.to_have_text("Saved", timeout=TIMEOUT)

    def shows(self, text):
        """Wait until another image is shown and loaded."""
        place = playwright.expect(self.tab.locator("#place"))
        place.to_contain_text(text, timeout=TIMEOUT)
        self.wait("Saved")

    def place(self, x, y):
        """Where the middle of a pixel of the image stands on the page."""
        box = self.tab.locator("#canvas").bounding_box()
        scale = min(box["width"] / 64, box["height"] / 48)
        left, top = box["x"] + (box["width"] - 64 * scale) / 2, box["y"]
        top += (box["height"] - 48 * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def keys(self, *names):
        self.tab.locator("#canvas").focus()
        for name in names:
            self.tab.keyboard.press(name)


@pytest.fixture
def page(browser, server):
    opened = Page(browser, server)
    yield opened
    assert opened.messages == []
    opened.tab.close()


def labels_of(corrections, number=0):
    return np.array(read_mask(corrections.items[number].mask, corrections.masks.classes))


def disc(labels, x, y, radius, value):
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]]
    labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = value


def test_strokes_fills_polygons_and_steps_are_saved_byte_by_byte(page, corrections):
    expected = labels_of(corrections)
    mouse = page.tab.mouse
    page.tab.locator("#size").fill("7")
    page.keys("2")
    mouse.click(*page.place(20, 12))
    disc(expected, 20, 12, 3.5, 1)
    page.saved()
    assert np.array_equal(labels_of(corrections), expected)
    page.keys("1")
    mouse.move(*page.place(10, 30))
    mouse.down()
    mouse.move(*page.place(40, 30), steps=1)
    mouse.up()
    for x in range(10, 41):
        disc(expected, x, 30, 3.5, 0)
    page.saved()
    assert np.array_equal(labels_of(corrections), expected)
    page.keys("g", "3")
    for corner in ((50, 5), (60, 5), (60, 15), (50, 15)):
        mouse.click(*page.place(*corner))
    page.keys("Enter")
    expected[5:15, 50:60] = 2
    page.saved()
    changed = labels_of(corrections) != expected
    assert changed.sum() <= 40  # the corners were clicked within a pixel
    assert not changed[7:13, 52:58].any()
    expected = labels_of(corrections)
    page.keys("f", "2")
    mouse.click(*page.place(55, 10))
    page.saved()
    assert (labels_of(corrections)[7:13, 52:58] == 1).all()
    page.keys("z")
    page.saved()
    assert np.array_equal(labels_of(corrections), expected)
    page.keys("y")
    page.saved()
    assert (labels_of(corrections)[7:13, 52:58] == 1).all()


def test_the_right_button_and_keys_within_a_stroke_paint_nothing(page, corrections):
    before = labels_of(corrections)
    expected = before.copy()
    mouse = page.tab.mouse
    page.tab.locator("#size").fill("7")
    page.keys("2")
    mouse.click(*page.place(50, 40), button="right")
    mouse.move(*page.place(20, 12))
    mouse.down()
    page.keys("x", "z", "n")
    mouse.up()
    disc(expected, 20, 12, 3.5, 1)
    page.saved()
    assert np.array_equal(labels_of(corrections), expected)
    page.keys("z")
    page.saved()
    assert np.array_equal(labels_of(corrections), before)


def test_the_keyboard_suffices(page, corrections):
    expected = labels_of(corrections)
    page.tab.locator("#size").fill("5")
    page.keys("2", "ArrowRight", "ArrowDown", "x")
    disc(expected, 33, 25, 2.5, 1)
    page.saved()
    assert np.array_equal(labels_of(corrections), expected)
    page.keys("e", "Shift+ArrowLeft", "x")
    disc(expected, 23, 25, 2.5, 255)
    page.saved()
    assert np.array_equal(labels_of(corrections), expected)
    page.keys("Enter")
    page.shows("2 of 3")
    assert corrections.states[corrections.items[0].name] == "accepted"
    page.keys("s")
    page.shows("3 of 3")
    assert corrections.states[corrections.items[1].name] == "skipped"


def test_keys_change_nothing_while_another_image_is_loaded(page, corrections):
    held = []
    page.tab.route("**/api/images/1", lambda route: held.append(route))
    page.tab.route("**/api/states/0*", lambda route: held.append(route))

    def go_on():
        while not held:
            page.tab.wait_for_timeout(10)
        held.pop().continue_()

    page.keys("2", "x")
    page.saved()
    expected = labels_of(corrections)
    page.keys("s", "n", "3", "x")
    go_on()
    page.wait("Loading")
    page.keys("3", "x", "z")
    page.wait("Loading")
    go_on()
    page.shows("2 of 3, open")
    page.keys("p")
    page.shows("1 of 3, skipped")
    assert np.array_equal(labels_of(corrections), expected)


def test_what_is_alike_is_painted(page, corrections, model):
    page.keys("a", "3")
    page.tab.mouse.click(*page.place(20, 12))
    page.wait("Move the slider Alike; enter paints, escape gives up")
    page.tab.locator("#alike").fill("128")
    page.keys("Enter")
    page.saved()
    item = corrections.items[0]
    alike = corrections.view.alike(item.image, 20.5 / 64, 12.5 / 48)
    assert (labels_of(corrections)[alike >= 128] == 2).all()


def test_it_contacts_its_own_server_only_and_hides_the_token(page, server):
    own = f"http://127.0.0.1:{server.access.port}/"
    assert all(url.startswith((own, "blob:", "data:")) for url in page.requests)
    assert "secret" not in page.tab.url
    page.tab.reload()
    page.wait("Saved")


def test_a_second_tab_and_a_stopped_server_lose_nothing(browser, page, server, corrections, rounds):
    other = Page(browser, server)
    page.keys("2", "x")
    page.saved()
    other.keys("3", "x")
    other.tab.wait_for_selector("#problem[open]")
    assert "changed by another page" in other.tab.locator("#problem-text").inner_text()
    mine = labels_of(corrections)
    other.tab.locator("#reload").click()
    other.wait("Saved")
    other.tab.close()
    assert np.array_equal(labels_of(corrections), mine)
    server.stop()
    page.keys("ArrowLeft", "x")
    page.tab.wait_for_selector("#problem[open]")
    again = Server(corrections, rounds, server.access.port)
    page.tab.locator("#retry").click()
    page.wait("Saved")
    assert not np.array_equal(labels_of(corrections), mine)
    again.stop()
    page.messages.clear()  # the browser says that the server was gone


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_and_nothing_sticks_out(browser, server, width):
    opened = Page(browser, server, width)
    violations = axe.Axe().run(opened.tab).response["violations"]
    serious = [one["id"] for one in violations if one["impact"] in ("serious", "critical")]
    assert serious == []
    assert opened.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.tab.close()
