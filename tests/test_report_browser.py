"""The report in a real browser: Debian's chromium without a window, driven by playwright."""

import pytest
from browser import axe, browser_fixture, playwright  # noqa: F401 - the fixture `browser`

import semiseg

pytestmark = pytest.mark.browser


class Opened:
    """A page with its console messages and its requests."""

    def __init__(self, browser, file, width=1280, scheme="light"):
        self.page = browser.new_page(
            viewport={"width": width, "height": 800}, color_scheme=scheme, has_touch=width < 600
        )
        self.told, self.asked = [], []
        self.page.on("console", lambda message: self.told.append(message.text))
        self.page.on("pageerror", lambda error: self.told.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.page.close()

    def value(self, code):
        return self.page.evaluate(code)


@pytest.fixture(scope="module")
def pages(reported, compared):
    return {"run": reported.page, "comparison": semiseg.report(compared).path}


@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_it_opens_without_an_error_or_a_request_and_shows_every_figure(browser, pages, kind):
    with Opened(browser, pages[kind]) as opened:
        broken = """async () => {
            const found = [...document.images];
            await Promise.allSettled(found.map((i) => i.decode()));
            return [found.length, found.filter((i) => !i.naturalWidth).map((i) => i.alt)];
        }"""
        count, failed = opened.value(broken)
        assert failed == []
        assert count > (40 if kind == "run" else 0)
        assert opened.told == []
        assert [u for u in opened.asked if not u.startswith("data:")] == [opened.file.as_uri()]


@pytest.mark.parametrize("kind", ["run", "comparison"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_and_nothing_sticks_out(browser, pages, kind, width, scheme):
    with Opened(browser, pages[kind], width, scheme) as opened:
        violations = axe.Axe().run(opened.page).response["violations"]
        serious = [
            (one["id"], one["nodes"][0]["html"])
            for one in violations
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert opened.value("document.documentElement.scrollWidth") <= width


def test_the_slider_moves_by_mouse_and_by_keyboard(browser, pages):
    with Opened(browser, pages["run"]) as opened:
        slider = opened.page.locator(".stage input").first
        layer = opened.page.locator(".stage").first.locator(".layer.left")
        covered = "(layer) => getComputedStyle(layer).clipPath"
        before = layer.evaluate(covered)
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        middle = box["y"] + box["height"] / 2
        opened.page.mouse.move(box["x"] + box["width"] / 2, middle)
        opened.page.mouse.down()
        opened.page.mouse.move(box["x"] + box["width"] / 4, middle, steps=4)
        opened.page.mouse.up()
        value = int(slider.input_value())
        assert 15 < value < 30
        dragged = layer.evaluate(covered)
        assert dragged != before
        assert f"{value} % truth" in slider.get_attribute("aria-valuetext")
        opened.page.keyboard.press("ArrowRight")
        assert int(slider.input_value()) == value + 1
        assert layer.evaluate(covered) != dragged
        opened.page.keyboard.press("End")
        assert slider.input_value() == "100"


def test_the_keyboard_reaches_the_slider_and_the_choice_of_pictures(browser, pages):
    with Opened(browser, pages["run"]) as opened:
        reached = []
        for _ in range(4):
            opened.page.keyboard.press("Tab")
            reached.append(opened.value("document.activeElement.id || document.activeElement.type"))
        assert reached[:3] == ["left", "right", "range"]
        names = "[...document.querySelector('.stage').querySelectorAll('.layer.SIDE')]"
        for side, word in (("left", "image"), ("right", "reliability")):
            opened.page.select_option(f"#{side}", word)
            layers = opened.value(f"{names.replace('SIDE', side)}.map((l) => l.dataset.layer)")
            assert layers == [word]
        opened.page.select_option("#right", "image")  # twice the same picture is harmless
        assert opened.told == []


def test_on_paper_all_pictures_lie_side_by_side(browser, pages):
    with Opened(browser, pages["run"]) as opened:
        opened.page.emulate_media(media="print")
        hidden = (
            """(all) => all.filter((e) => getComputedStyle(e).visibility != 'visible').length"""
        )
        assert opened.page.locator(".layer").evaluate_all(hidden) == 0
        assert not opened.page.locator(".stage input").first.is_visible()
        first = opened.page.locator(".stage").first.locator(".layer")
        edges = [first.nth(i).bounding_box()["x"] for i in range(5)]
        assert edges == sorted(set(edges))
