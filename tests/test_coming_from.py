"""The pages "Coming from": their commands read an export as its program writes it."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from doc_commands import commands, exit_status
from drawn_exports import EXPORTS, HEIGHT, IMAGES, LABELED, NAMES, WIDTH
from PIL import Image

from semiseg.data.reader import read_dataset

PAGES = Path(__file__).parents[1] / "docs" / "coming-from"
READING = {"check", "convert", "plan"}
"""The commands that need no trained model."""


@pytest.fixture(params=EXPORTS)
def export(request, tmp_path, monkeypatch):
    """The name of a page; its export is `DATA` in the working folder."""
    monkeypatch.chdir(tmp_path)
    EXPORTS[request.param](Path("DATA"))
    return request.param


def test_each_page_has_an_export_or_needs_none():
    assert {page.stem for page in PAGES.glob("*.md")} - {"index", "smp"} == set(EXPORTS)


@pytest.mark.slow
def test_its_commands_read_the_export(export, capsys):
    lines = [words for words in commands(PAGES / f"{export}.md") if words[0] in READING]
    lines = [words for words in lines if words[1] == "DATA"]
    assert lines
    for words in lines:
        assert exit_status(words) == 0, f"semiseg {shlex.join(words)}: {capsys.readouterr().err}"
    data = read_dataset(Path("DATA"))
    samples = [*data.train, *data.samples["val"]]
    assert sum(sample.mask is not None for sample in samples) == LABELED
    assert data.classes.names[1:] == NAMES
    assert len(samples) + len(data.samples["test"]) == IMAGES


def test_convert_writes_its_masks(export):
    assert exit_status(["convert", "DATA", "--out", "masks"]) == 0
    files = sorted(Path("masks").glob("*/masks/**/*.png"))
    assert len(files) == LABELED
    for file in files:
        mask = np.asarray(Image.open(file))
        assert mask.shape == (HEIGHT, WIDTH)
        assert np.unique(mask).tolist() == [0, 1, 2]
