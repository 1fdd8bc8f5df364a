"""The page of `correct` in a real browser: what is drawn is what is saved, byte by byte."""

from __future__ import annotations

import numpy as np
import pytest
from browser import axe, browser_fixture, playwright  # noqa: F401 - the fixture `browser`
from chromium_page import TIMEOUT, Page, page_fixture, server_fixture  # noqa: F401 - fixtures
from correction_page import Server, disc, labels_of, paint_fill_undo_accept_and_reload

pytestmark = pytest.mark.browser


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


def test_the_page_says_what_a_key_does_not_do(page, corrections):
    before = labels_of(corrections)
    page.keys("9")
    page.wait("No class has the key 9: there are 6 classes")
    page.keys("g")
    page.wait("Click the corners; enter closes the polygon, escape gives it up")
    page.click(10, 10)
    page.click(20, 10)
    page.keys("Enter")
    page.wait("A polygon needs at least 3 corners: click more of them, or press escape")
    assert page.session("view.polygon.length") == 2
    page.keys("Escape")
    page.tab.locator("#stretched").click()  # the keys do what they do on the canvas
    assert page.tab.evaluate("document.activeElement.id") == "canvas"
    page.tab.keyboard.press("Enter")
    page.shows("1 accepted, 0 skipped of 3")
    page.tab.locator("#stretched").focus()
    page.tab.keyboard.press(" ")
    assert page.tab.evaluate("document.activeElement.id") == "stretched"
    assert np.array_equal(labels_of(corrections), before)


def test_masks_without_a_value_for_ignored_pixels_say_so(browser, corrections, rounds, monkeypatch):
    monkeypatch.setattr(type(corrections.content.masks), "can_ignore", False)
    server = Server(corrections, rounds)
    opened = Page(browser, server)
    label = opened.tab.get_by_text("Ignore (e)")
    for act in (lambda: opened.keys("e"), lambda: label.click(force=True)):
        opened.keys("b", "9")
        act()
        status = playwright.expect(opened.tab.locator("#status"))
        status.to_contain_text("no value for ignored pixels", timeout=TIMEOUT)
    assert opened.session("session.tool") == "brush"
    opened.tab.close()
    server.stop()


def test_a_mask_that_is_gone_is_left_for_the_next_image(page, corrections):
    path = corrections.content.items[0].mask
    path.unlink()
    page.keys("2", "x")
    page.tab.wait_for_selector("#problem[open]")
    assert str(path) in page.tab.locator("#problem-text").inner_text()
    assert not page.tab.locator("#reload").is_visible()
    page.tab.locator("#leave").click()
    page.shows("2 of 3, open")
    assert not path.exists()
    page.messages.clear()  # the browser names the answer that is an error


def test_the_brush_suits_the_size_of_the_image(page):
    sizes = page.tab.evaluate("""async () => {
      const { brushSize, fitSizes, setSize, stepSize } = await import("/page/tools.js");
      const sizes = [brushSize()];
      fitSizes({ width: 6000, height: 4800 });
      sizes.push(brushSize());
      stepSize(1);
      sizes.push(brushSize());
      setSize(5000);
      sizes.push(brushSize());
      fitSizes({ width: 100, height: 60 });
      sizes.push(brushSize());
      return sizes;
    }""")
    assert sizes == [5, 81, 97, 1199, 21]


def test_stopping_is_said_at_once_and_go_on_is_explained(page):
    report = page.tab.evaluate(
        "import('/page/api.js').then(({ readTraining }) => readTraining())"
    ) | {"run": "runs/first-2", "step": 3, "steps": 9, "accepted": 4, "seconds_left": None}
    state = ["running"]
    page.tab.route("**/api/training", lambda r: r.fulfill(json=report | {"state": state[0]}))
    page.tab.route("**/api/training/stop", lambda r: r.fulfill(json=report | {"state": "running"}))
    page.reload()
    stop, status = page.tab.locator("#stop-training"), page.tab.locator("#training-status")
    stop.click(timeout=TIMEOUT)
    playwright.expect(stop).to_have_text("Stopping")
    playwright.expect(stop).to_be_disabled()
    playwright.expect(status).to_have_text("Stopping after this step")
    state[0] = "stopped"
    playwright.expect(status).to_contain_text("Go on: continue runs/first-2", timeout=TIMEOUT)
    playwright.expect(status).to_contain_text("Train on: begin a new training")
