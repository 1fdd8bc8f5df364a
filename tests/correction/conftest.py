"""A folder with masks to correct, and the model that proposed them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semiseg.correction.loop import open_loop
from semiseg.correction.masks import Masks
from semiseg.correction.model_view import ModelView
from semiseg.correction.queue import States, read_queue
from semiseg.correction.rounds import Content, Rounds
from semiseg.correction.server import Corrections
from semiseg.correction.train_on import TrainOn
from semiseg.inference.torch_model import Model
from semiseg.model.release import load_release
from semiseg.suggestion.data_writer import picture_of
from semiseg.suggestion.suggest import suggest


@pytest.fixture(scope="session")
def proposals(tmp_path_factory, tiny_run: Callable[[str], Path], tiny_folder: Path) -> Path:
    """The output of `suggest` for a css run. Copy it to change it."""
    out = tmp_path_factory.mktemp("correction") / "next"
    suggest(tiny_run("css"), tiny_folder, out=out, n=3)
    return out


@pytest.fixture
def folder(proposals: Path, tmp_path: Path, model: Model) -> Path:
    """A copy of the proposals, whose masks are stripes of 12 rows, whatever the model says."""
    copy = Path(shutil.copytree(proposals, tmp_path / "next"))
    for item in read_queue(copy):
        width, height = Image.open(item.mask).size
        rows = np.arange(height, dtype=np.uint8)[:, None] // 12 % 3
        picture_of(np.repeat(rows, width, axis=1), model.classes).save(item.mask)
    return copy


@pytest.fixture(scope="session")
def model(tiny_run: Callable[[str], Path]) -> Model:
    """The model of the css run."""
    return Model(load_release(tiny_run("css")))


@pytest.fixture
def rounds(folder: Path, tiny_run: Callable[[str], Path], tiny_folder: Path) -> Rounds:
    """The first round: the folder and the css run, which may not be changed."""
    loop = open_loop(folder, tiny_run("css"), tiny_folder)
    return Rounds(loop, TrainOn(loop), n=2, data=None, accelerator="cpu")


@pytest.fixture
def corrections(folder: Path, model: Model) -> Corrections:
    """Answers requests about the folder."""
    masks = Masks(model.classes, folder)
    return Corrections(Content(1, read_queue(folder), States(folder), masks, ModelView(model)))
