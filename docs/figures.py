"""Draws the figures of docs/diagnostics.md, css.md and report.md from the demo's scenes.

    python docs/figures.py

128 scenes are drawn with masks, 120 of these are hidden, and `css` is trained for 120 steps, which
takes a minute on two cores. Its diagnostics are the figures.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

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
        settings = {"labels": "8", "steps": words.steps, "crop": 96, "validations": 6}
        semiseg.train(data, out=out, overwrite=True, **settings)
        for source, target in (
            ("curves.png", "diagnostics-curves.png"),
            ("plane.png", "diagnostics-plane.png"),
            (f"sample{words.sample}.png", "css-spaces.png"),
        ):
            shutil.copy(out / DIAGNOSTICS / source, DOCS / target)
        photograph(semiseg.report(out).path, DOCS / "report.png")


def photograph(page: Path, target: Path) -> None:
    """The upper part of a report, as Debian's chromium shows it."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1100, "height": 1500})
        opened.goto(page.resolve().as_uri())
        picture = Image.open(BytesIO(opened.screenshot()))
        browser.close()
    picture.convert("RGB").quantize(128).save(target, optimize=True)


if __name__ == "__main__":
    main()
