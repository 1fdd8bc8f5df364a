"""Measures how fluent the page of `semiseg correct` is with a large image, in Debian's chromium.

    python benchmarks/correct_page.py --width 6000 --height 4000

A drawn image with a mask of blobs is shown at the whole and at full resolution. Each action runs
some times; its cost is the time of its event handlers and of the frame that shows it, as the page
itself measures them. `pixels` are those of the mask that were computed for the screen.
"""

from __future__ import annotations

import argparse
import json
import socket
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import uvicorn
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from semiseg.core.reading import AS_STORED
from semiseg.correction.access import Access
from semiseg.correction.loop import open_loop
from semiseg.correction.masks import Masks
from semiseg.correction.queue import States, read_queue
from semiseg.correction.rounds import Content, Rounds
from semiseg.correction.server import Corrections, application
from semiseg.correction.train_on import TrainOn
from semiseg.data.formats.masks import Classes, default_color

SIZE = {"width": 1280, "height": 800}
FLAGS = ["--no-sandbox", "--disable-gpu"]
CLASSES = Classes(("soil", "crop", "weed"), tuple(map(default_color, range(3))), "ids", (0, 1, 2))
# Counts the pixels of each ImageData, and the time of the frames.
COUNTERS = """
window.counts = { pixels: 0, frames: [] };
const Original = window.ImageData;
window.ImageData = class extends Original {
  constructor(...words) { super(...words); window.counts.pixels += this.width * this.height; }
};
window.plainFrame = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (run) => window.plainFrame((now) => {
  const start = performance.now();
  run(now);
  const canvas = document.querySelector("canvas");
  canvas.getContext("2d").getImageData(0, 0, 1, 1);  // waits until it is drawn
  window.counts.frames.push(performance.now() - start);
});
"""
ACTION = """async ([kind, place, repeats]) => {
  const canvas = document.querySelector("canvas"), handlers = [], counts = window.counts;
  const nextFrame = () => new Promise((done) => window.plainFrame(() => setTimeout(done)));
  const point = (type, x, y, words) => canvas.dispatchEvent(new PointerEvent(type, {
    pointerId: 1, clientX: x, clientY: y, bubbles: true, button: 0, buttons: 1, ...words }));
  canvas.setPointerCapture = () => {};
  const key = (name) =>
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
  const wheel = (deltaY) =>
    canvas.dispatchEvent(new WheelEvent("wheel", { deltaY, clientX: x, clientY: y }));
  const timed = (run) => {
    const start = performance.now();
    run();
    handlers.push(performance.now() - start);
  };
  const [x, y] = place;
  counts.pixels = 0;
  counts.frames = [];
  const actions = {
    hover: (i) => point("pointermove", x + 7 * i, y + 5 * i, { buttons: 0 }),
    stroke: (i) => point("pointermove", x + 7 * i, y + 5 * i),
    pan: (i) => point("pointermove", x + 7 * i, y + 5 * i, { buttons: 4 }),
    zoom: (i) => wheel(i % 2 ? 40 : -40),
    fill: (i) => point("pointerdown", x, y) || point("pointerup", x, y),
    undo: () => key("z"), redo: () => key("y"),
  };
  if (kind === "stroke") point("pointerdown", x, y);
  if (kind === "pan") point("pointerdown", x, y, { button: 1 });
  await nextFrame();
  for (let i = 1; i <= repeats; i++) { timed(() => actions[kind](i)); await nextFrame(); }
  const start = performance.now();
  point("pointerup", x, y);
  const end = performance.now() - start;
  await nextFrame();
  const median = (all) => [...all].sort((a, b) => a - b)[all.length >> 1] ?? 0;
  const pixels = counts.pixels / repeats;
  return { handler: median(handlers), frame: median(counts.frames), end, pixels };
}"""


def draw(folder: Path, width: int, height: int) -> None:
    """An image of noise and a mask of blobs."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (height // 40, width // 40, 3)).astype(np.uint8)
    for name in ("images", "masks"):
        (folder / "train" / name).mkdir(parents=True)
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(
        folder / "train" / "images" / "large.jpg", quality=92
    )
    labels = np.zeros((height, width), np.uint8)
    rows, columns = np.ogrid[:height, :width]
    for _ in range(40):
        x, y, radius = random.integers(0, width), random.integers(0, height), height // 20
        inside = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
        labels[inside] = random.integers(1, 3)
    CLASSES.to_image(labels).save(folder / "train" / "masks" / "large.png")


def serve(folder: Path) -> str:
    """Start the server in a thread; return the address of the page."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    access = Access(listener.getsockname()[1], "secret")
    view: Any = SimpleNamespace(model=SimpleNamespace(reading=AS_STORED), doubt=doubt)
    masks = Masks(CLASSES, folder)
    corrections = Corrections(Content(1, read_queue(folder), States(folder), masks, view))
    loop = open_loop(folder, folder / "run", None)
    rounds = Rounds(loop, TrainOn(loop), n=1, data=None, accelerator="cpu")
    app = application(corrections, rounds, access)
    config = uvicorn.Config(app, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return access.address


def doubt(_image: Path) -> SimpleNamespace:
    """Doubt along a grid, in the size that a model gives for images of this shape."""
    maps = np.zeros((2, 683, 1024), np.uint8)
    maps[0, ::50] = 200
    maps[1, 100:200, 100:200] = 1
    return SimpleNamespace(doubt=maps[0], disagreement=maps[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--width", type=int, default=6000)
    parser.add_argument("--height", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=25)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as driver:
        folder = Path(temporary)
        draw(folder, words.width, words.height)
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.add_init_script(COUNTERS)
        start = time.perf_counter()
        page.goto(serve(folder))
        expect(page.locator("#status")).to_have_text("Saved", timeout=120_000)
        print(f"opened after {time.perf_counter() - start:.1f} s")
        page.wait_for_timeout(2000)
        for zoom in ("fit", "full"):
            if zoom == "full":
                script = "import('/page/session.js').then(({view}) => view.zoom(1 / view.scale))"
                page.evaluate(script)
            for tool, kind, repeats in (
                ("b", "hover", words.repeats),
                ("b", "stroke", words.repeats),
                ("b", "undo", 1),
                ("b", "redo", 1),
                ("b", "pan", words.repeats),
                ("b", "zoom", words.repeats),
                ("f", "fill", 1),
                ("f", "undo", 1),
            ):
                page.locator("#size").fill("199")
                page.locator("#canvas").focus()
                page.keyboard.press(tool)
                page.keyboard.press("2")
                page.wait_for_timeout(1500)
                figures = page.evaluate(ACTION, [kind, [300, 300], repeats])
                rounded = {name: round(value, 1) for name, value in figures.items()}
                print(zoom, kind, json.dumps(rounded))
        browser.close()


if __name__ == "__main__":
    main()
