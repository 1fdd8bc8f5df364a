"""The page of `correct` in a test: its server, what a person does, and what must be saved."""

from __future__ import annotations

import socket
import threading
import time
from typing import Protocol

import numpy as np
import uvicorn
from scipy import ndimage

from semiseg.correction.access import Access
from semiseg.correction.server import application
from semiseg.data.formats.masks import read_mask


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


class Person(Protocol):
    """What a person does on the page; places are pixels of an image of 64 x 48."""

    def set_brush(self, size): ...
    def keys(self, *names): ...
    def click(self, x, y): ...
    def drag(self, start, end): ...
    def reload(self): ...
    def saved(self): ...
    def shows(self, text): ...
    def labels(self): ...


def place_of(box, x, y):
    """Where the middle of a pixel stands, for the box of the canvas on the page."""
    scale = min(box["width"] / 64, box["height"] / 48)
    left, top = box["x"] + (box["width"] - 64 * scale) / 2, box["y"]
    top += (box["height"] - 48 * scale) / 2
    return left + (x + 0.5) * scale, top + (y + 0.5) * scale


def labels_of(corrections, number=0):
    return np.array(
        read_mask(corrections.content.items[number].mask, corrections.content.masks.classes)
    )


def disc(labels, x, y, radius, value):
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]]
    labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = value


def paint_fill_undo_accept_and_reload(person, corrections):
    """The essential way through the page; every byte that is saved is the expected one."""

    def check(expected):
        person.saved()
        assert np.array_equal(labels_of(corrections), expected)

    expected = labels_of(corrections)
    person.set_brush(7)
    person.keys("2")
    person.click(20, 12)
    disc(expected, 20, 12, 3.5, 1)
    check(expected)
    person.keys("1")
    person.drag((10, 30), (40, 30))
    for x in range(10, 41):
        disc(expected, x, 30, 3.5, 0)
    check(expected)
    person.keys("g", "3")
    for corner in ((50, 5), (60, 5), (60, 15), (50, 15)):
        person.click(corner[0] - 0.5, corner[1] - 0.5)  # between the pixels
    person.keys("Enter")
    expected[5:15, 50:60] = 2
    check(expected)
    before = expected.copy()
    person.keys("f", "2")
    person.click(55, 10)
    patches, _ = ndimage.label(expected == 2)
    expected[patches == patches[10, 55]] = 1
    check(expected)
    person.keys("z")
    check(before)
    person.keys("y")
    check(expected)
    person.keys("Enter")
    person.shows("2 of 3, open")
    assert corrections.content.states[corrections.content.items[0].name] == "accepted"
    person.keys("p")
    person.shows("1 of 3, accepted")
    person.reload()
    person.keys("p")
    person.shows("1 of 3, accepted")
    assert np.array_equal(person.labels(), expected)
    assert np.array_equal(labels_of(corrections), expected)
