"""What the page of `correct` draws, and what it costs: frames, memory, zoom, brightness."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from browser import browser_fixture  # noqa: F401 - the fixture `browser`
from chromium_page import page_fixture, server_fixture  # noqa: F401 - `page` and `server`
from correction_page import labels_of
from PIL import Image

pytestmark = pytest.mark.browser


def test_a_stroke_computes_its_own_pixels_and_no_others(page):
    count = (
        "(window.pixels = 0, window.Plain = ImageData, window.ImageData = class extends Plain {"
        " constructor(...words) { super(...words); window.pixels += this.width * this.height; }"
        "})"
    )
    frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.tab.locator("#show-disagreement").check()
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
