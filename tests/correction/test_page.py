"""The page of `correct` in a real browser: what is drawn is what is saved, byte by byte."""

from __future__ import annotations

import time
from io import BytesIO

import numpy as np
import pytest
from browser import axe, browser_fixture, playwright  # noqa: F401 - the fixture `browser`
from correction_page import (
    Server,
    disc,
    labels_of,
    paint_fill_undo_accept_and_reload,
    place_of,
)
from PIL import Image

TIMEOUT = 60_000  # milliseconds, for a busy machine

pytestmark = pytest.mark.browser


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


@pytest.fixture
def page(browser, server):
    opened = Page(browser, server)
    yield opened
    assert opened.messages == []
    opened.tab.close()


def test_strokes_fills_polygons_and_steps_are_saved_byte_by_byte(page, corrections):
    paint_fill_undo_accept_and_reload(page, corrections)


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
    assert corrections.content.states[corrections.content.items[0].name] == "accepted"
    page.keys("s")
    page.shows("3 of 3")
    assert corrections.content.states[corrections.content.items[1].name] == "skipped"


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
    page.tab.keyboard.press("Enter")  # on the slider
    page.saved()
    item = corrections.content.items[0]
    alike = corrections.content.view.alike(item.image, 20.5 / 64, 12.5 / 48)
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
    other.keys("Enter")  # accepts what only the first tab has seen
    other.tab.wait_for_selector("#problem[open]")
    assert "another one" in other.tab.locator("#problem-title").inner_text()
    other.tab.locator("#reload").click()
    other.wait("Saved")
    assert corrections.content.states[corrections.content.items[0].name] == "open"
    page.keys("4", "1", "x")
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


def test_an_image_that_cannot_be_read_is_left_out_and_read_again(page, corrections):
    broken = corrections.content.items[1]
    image = broken.image.read_bytes()
    broken.image.write_bytes(b"no image")
    page.keys("n")
    page.shows("3 of 3")
    listed = page.tab.locator("#unreadable li")
    assert broken.name in listed.inner_text()
    assert str(broken.image) in listed.inner_text()
    page.keys("p")
    page.shows("1 of 3")
    page.keys("s")
    page.shows("3 of 3")
    page.keys("Enter")
    page.wait("All other images are done: train on with them")
    broken.image.write_bytes(image)
    page.tab.get_by_role("button", name=f"Try to read {broken.name} again").click()
    page.shows("2 of 3, open")
    assert not page.tab.locator("#unreadable").is_visible()
    page.messages.clear()  # the browser names each answer that is an error


def test_a_mask_of_another_size_is_left_out_too(browser, server, corrections):
    corrections.content.items[0].mask.write_bytes(corrections.content.items[1].image.read_bytes())
    opened = Page(browser, server)
    opened.shows("2 of 3")
    assert (
        str(corrections.content.items[0].mask) in opened.tab.locator("#unreadable li").inner_text()
    )
    opened.tab.close()


def test_a_new_class_is_added_by_the_keyboard_and_painted(page, corrections, server, browser):
    other = Page(browser, server)
    expected = labels_of(corrections)
    names = list(corrections.content.masks.classes.names)
    page.tab.locator("#add-class").focus()
    page.tab.keyboard.press("Enter")
    page.tab.keyboard.type(names[1])
    page.tab.keyboard.press("Enter")
    error = page.tab.locator("#class-error")
    playwright.expect(error).to_contain_text(f"already a class {names[1]}", timeout=TIMEOUT)
    violations = axe.Axe().run(page.tab).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []
    page.tab.locator("#class-name").fill("gravel")
    page.tab.keyboard.press("Enter")
    page.wait("New class gravel")
    assert list(corrections.content.masks.classes.names) == [*names, "gravel"]
    page.set_brush(5)
    page.keys("x")
    disc(expected, 32, 24, 2.5, len(names))
    page.saved()
    assert np.array_equal(labels_of(corrections), expected)
    other.keys("n")
    other.shows("2 of 3")
    other.keys("p")
    other.shows("1 of 3")
    assert other.tab.locator("#class-list").inner_text().strip().endswith("gravel")
    other.tab.close()
    page.messages.clear()  # the browser names the answer that refused the name


def test_shift_and_a_number_name_the_patch_under_the_cursor(page, corrections):
    expected = labels_of(corrections)
    expected[10:20, 10:20] = 0
    expected[12:18, 12:18] = 1
    page.session(
        "session.labels.data.forEach((_, i, all) => {"
        " const x = i % 64, y = (i - x) / 64;"
        " const isIn = (low, high) => x >= low && x < high && y >= low && y < high;"
        " if (isIn(10, 20)) all[i] = +isIn(12, 18);"
        "})"
    )
    page.tab.mouse.move(*page.place(14, 15))
    page.tab.keyboard.press("Shift+#")  # of an American keyboard
    expected[12:18, 12:18] = 2
    page.saved()
    page.keys("b", "1")
    saved = labels_of(corrections)
    assert np.array_equal(saved, expected)


def test_a_stroke_computes_its_own_pixels_and_no_others(page):
    count = (
        "(window.pixels = 0, window.Plain = ImageData, window.ImageData = class extends Plain {"
        " constructor(...words) { super(...words); window.pixels += this.width * this.height; }"
        "})"
    )
    frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    while not page.session("view.layer.disagreement !== null"):  # it comes after the image
        page.tab.wait_for_timeout(50)
    page.set_brush(3)
    page.keys("2")
    page.tab.evaluate(frame)
    page.tab.evaluate(f"{count}, 0")
    scale = page.session("view.scale")
    page.tab.mouse.move(*page.place(20, 30))
    page.tab.evaluate(frame)
    assert page.tab.evaluate("window.pixels") == 0  # the cursor computes no pixel of the mask
    page.tab.mouse.down()
    page.tab.evaluate(frame)
    page.tab.mouse.move(*page.place(24, 30))
    page.tab.evaluate(frame)
    computed = page.tab.evaluate("window.pixels")
    assert 0 < computed <= 2 * (8 * scale + 4) * (4 * scale + 4)
    page.tab.mouse.up()
    page.keys("z")
    page.tab.evaluate(frame)
    assert page.tab.evaluate("window.pixels") - computed <= (8 * scale + 4) * (4 * scale + 4) * 2


def test_a_tall_image_zooms_out_and_in(page):
    fitting, smaller, larger = page.session(
        "(view.labels = { width: 100, height: 6000, data: new Uint8Array(6e5) }, view.fit(),"
        " [view.scale, (view.zoom(0.8), view.scale), (view.zoom(1.5), view.scale)])"
    )
    assert smaller < fitting < larger


def test_strokes_of_any_direction_hold_the_pixels_near_their_line(page):
    wrong = page.tab.evaluate("""async () => {
      const { Labels } = await import("/page/labels.js"), wrong = [];
      let seed = 1;
      const random = (n) => (seed = (seed * 16807) % 2147483647) % n;
      for (let round = 0; round < 300; round++) {
        const labels = new Labels(40, 30, new Uint8Array(1200));
        const [x0, y0] = [random(50) - 4.5, random(40) - 4.5];
        const [x1, y1] = [random(50) - 4.5, random(40) - 4.5], dx = x1 - x0, dy = y1 - y0;
        const radius = (1 + random(18)) / 2;
        labels.stroke(x0, y0, x1, y1, radius, 1);
        for (let i = 0; i < 1200; i++) {
          const px = (i % 40) + 0.5 - x0, py = Math.floor(i / 40) + 0.5 - y0;
          const length = dx * dx + dy * dy;
          const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
          const near = (px - t * dx) ** 2 + (py - t * dy) ** 2 <= radius * radius;
          if (near !== (labels.data[i] === 1)) wrong.push([round, i]);
        }
      }
      return wrong;
    }""")
    assert wrong == []


def test_steps_of_long_strokes_take_little_memory_and_are_undone(page):
    figures = page.tab.evaluate("""async () => {
      const { Labels } = await import("/page/labels.js");
      const { History } = await import("/page/history.js");
      const labels = new Labels(6000, 4000, new Uint8Array(24e6)), history = new History(labels);
      const boxes = [];
      for (let i = 0; i < 100; i++) {
        boxes.push(labels.stroke(i * 60, i * 40, i * 60 + 60, i * 40 + 40, 10, 1));
      }
      const painted = labels.data.reduce((sum, value) => sum + value, 0);
      history.commit(boxes);
      const { bytes } = history;
      history.undo();
      const undone = labels.data.reduce((sum, value) => sum + value, 0);
      history.redo();
      const redone = labels.data.reduce((sum, value) => sum + value, 0);
      for (let i = 0; i < 20; i++) {
        labels.data.fill(i % 2);
        history.commit([{ left: 0, top: 0, right: 6000, bottom: 4000 }]);
      }
      return { bytes, painted, undone, redone, most: history.bytes };
    }""")
    assert figures["painted"] == figures["redone"] > 100_000
    assert figures["undone"] == 0
    assert figures["bytes"] < 10_000_000
    assert figures["most"] <= 128 << 20


def test_brightness_and_contrast_change_the_view_only(page, corrections):
    def brightness():
        page.tab.wait_for_timeout(200)
        picture = Image.open(BytesIO(page.tab.locator("#canvas").screenshot()))
        return float(np.asarray(picture.convert("L"))[200:].mean())

    before = labels_of(corrections)
    page.tab.locator("#opacity").fill("0")
    plain = brightness()
    page.tab.locator("#brightness").fill("200")
    assert brightness() > plain + 1
    page.tab.locator("#brightness").fill("100")
    assert brightness() == plain
    with page.tab.expect_response("**/api/images/0?stretched"):
        page.tab.locator("#stretched").check()
    page.keys("n")
    page.shows("2 of 3")
    assert np.array_equal(labels_of(corrections), before)


def test_the_assistant_takes_several_clicks(browser, corrections, rounds):
    asked = []

    class Recorder:
        def select(self, image, clicks):
            asked.append([(round(c.x * 64), round(c.y * 48), c.wanted) for c in clicks])
            selected = np.zeros((48, 64), np.uint8)
            selected[10:20, 10:30] = 200
            return selected

    corrections.assistant = Recorder()
    server = Server(corrections, rounds)
    opened = Page(browser, server)
    expected = labels_of(corrections)
    done = "Move the slider Alike; enter paints, escape gives up"
    opened.keys("a", "2")
    opened.click(20.1, 12.1)
    opened.wait(done)
    opened.tab.keyboard.down("Shift")
    opened.click(40.1, 30.1)
    opened.tab.keyboard.up("Shift")
    opened.wait(done)
    opened.keys("ArrowLeft", "x")
    opened.wait(done)
    opened.keys("Enter")
    expected[10:20, 10:30] = 1
    opened.saved()
    assert np.array_equal(labels_of(corrections), expected)
    assert asked[0] == [(20, 12, True)]
    assert [wanted for *_, wanted in asked[-1]] == [True, False, True]
    opened.tab.close()
    server.stop()
