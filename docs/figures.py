"""Draws the figures of docs/diagnostics.md, css.md, report.md and correct-masks.md from scenes.

    python docs/figures.py

128 scenes are drawn with masks, 120 of these are hidden, and `css` is trained for 120 steps, which
takes a minute on two cores. Its diagnostics are the figures.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

import semiseg
from semiseg.scenes.draw import write_scenes
from semiseg.training.diagnostics import DIAGNOSTICS

DOCS = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--sample", type=int, default=0, help="the scene shown in css-spaces.png")
    parser.add_argument("--keep", type=Path, help="where to leave data and run; nowhere if missing")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = words.keep or Path(temporary)
        data = write_scenes(folder / "data", labeled=128, unlabeled=0, val=20)
        out = folder / "run"
        settings = {"method": "css", "labels": "8", "steps": words.steps, "crop": 96}
        semiseg.train(data, out=out, overwrite=True, validations=6, **settings)
        for source, target in (
            ("curves.png", "diagnostics-curves.png"),
            ("plane.png", "diagnostics-plane.png"),
            (f"sample{words.sample}.png", "css-spaces.png"),
        ):
            shutil.copy(out / DIAGNOSTICS / source, DOCS / target)
        photograph(semiseg.report(out).path, DOCS / "report.png")
        photograph_correction(out, folder, DOCS / "correct.png")


def photograph(page: Path, target: Path) -> None:
    """The upper part of a report, as Debian's chromium shows it."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1100, "height": 1500})
        opened.goto(page.resolve().as_uri())
        picture = Image.open(BytesIO(opened.screenshot()))
        browser.close()
    save_small(picture, target)


def save_small(picture: Image.Image, target: Path) -> None:
    """Write a picture with 256 colors, among them those of small areas, such as a class's box."""
    colors = picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE)
    colors.save(target, optimize=True)


def photograph_correction(run: Path, folder: Path, target: Path, width: int = 1100) -> None:
    """The page of `semiseg correct` with what is alike to one pixel of new scenes.

    Args:
        run: the run folder.
        folder: where new scenes and their masks are written.
        target: the picture.
        width: of the page, in pixels.
    """
    images = write_scenes(folder / "new", labeled=1, unlabeled=12, val=0, seed=7)
    words = [sys.executable, "-m", "semiseg", "correct", str(run), str(images / "unlabeled")]
    words += ["--out", str(folder / "next"), "-n", "4", "--no-browser"]
    with (
        sync_playwright() as driver,
        subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server,
    ):
        address = next(line for line in server.stderr if "http://" in line).split()[-1]
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": width, "height": 800})
        opened.goto(address)
        expect(opened.locator("#status")).to_have_text("Saved", timeout=120_000)
        opened.keyboard.press("4")
        opened.keyboard.press("a")
        box = opened.locator("#canvas").bounding_box()
        stone = box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.2
        opened.mouse.click(*stone)
        expect(opened.locator("#status")).to_contain_text("enter paints", timeout=120_000)
        opened.locator("#alike").fill("244")
        opened.wait_for_timeout(1000)
        picture = Image.open(BytesIO(opened.screenshot()))
        browser.close()
        server.terminate()
    save_small(picture, target)


if __name__ == "__main__":
    main()
