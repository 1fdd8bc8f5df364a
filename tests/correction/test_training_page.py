"""From a suggestion to a better model without touching the shell, with a real training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from browser import axe, browser_fixture, playwright  # noqa: F401 - the fixture `browser`
from chromium_page import Page
from correction_page import Server

from semiseg.correction.loop import open_loop
from semiseg.correction.rounds import Rounds
from semiseg.correction.server import Corrections
from semiseg.correction.train_on import TrainOn
from semiseg.inference.load import load

TIMEOUT = 240_000  # milliseconds, for a busy machine

pytestmark = pytest.mark.browser


@pytest.fixture
def rounds(folder, tiny_run, tiny_folder, tmp_path):
    ignored = shutil.ignore_patterns("checkpoints", "diagnostics")
    first = Path(shutil.copytree(tiny_run("css"), tmp_path / "runs" / "first", ignore=ignored))
    loop = open_loop(folder, first, tiny_folder)
    return Rounds(loop, TrainOn(loop), n=2, data=None, accelerator="cpu")


def test_a_mask_is_accepted_and_a_new_model_chooses_the_next_images(browser, rounds):
    server = Server(Corrections(rounds.content()), rounds)
    page = Page(browser, server)
    train = page.tab.locator("#train")
    playwright.expect(train).to_be_disabled()
    page.keys("Enter")
    page.shows("2 of 3")
    playwright.expect(train).to_have_text("Train on with 1 mask")
    train.click()
    stop = page.tab.locator("#stop-training")
    playwright.expect(stop).to_be_visible(timeout=TIMEOUT)
    server.stop()  # the training goes on
    again = Server(Corrections(rounds.content()), rounds, server.access.port)
    forward = page.tab.locator("#next-round")
    playwright.expect(forward).to_be_visible(timeout=TIMEOUT)
    page.messages.clear()  # the browser says that the server was gone
    status = page.tab.locator("#training-status")
    playwright.expect(status).to_contain_text("runs/first-2 is")
    playwright.expect(status).to_contain_text("mIoU")
    second = rounds.loop.runs()[1]
    assert load(second, accelerator="cpu").classes.names
    forward.click()
    playwright.expect(page.tab.locator("#training-title")).to_have_text(
        "Train on (round 2)", timeout=TIMEOUT
    )
    page.shows("1 of 2, open")
    page.keys("Enter")
    page.shows("2 of 2")
    playwright.expect(train).to_have_text("Train on with 2 masks")
    page.tab.locator("#training summary").press("Enter")
    playwright.expect(page.tab.locator("#training-history li")).to_have_count(2)
    playwright.expect(page.tab.locator("#training-command")).to_be_visible()
    violations = axe.Axe().run(page.tab).response["violations"]
    assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []
    assert page.messages == []
    page.tab.close()
    again.stop()
