"""Debian's chromium without a window, driven by playwright; the module is skipped without it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]

if not CHROMIUM.is_file():
    pytest.skip(f"there is no browser at {CHROMIUM}", allow_module_level=True)


@pytest.fixture(scope="module", name="browser")
def browser_fixture() -> Iterator:
    """An open browser."""
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()
