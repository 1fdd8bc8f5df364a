"""A folder with masks to correct, and the model that proposed them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from semiseg.correction.loop import open_loop
from semiseg.correction.masks import Masks
from semiseg.correction.model_view import ModelView
from semiseg.correction.queue import States, read_queue
from semiseg.correction.rounds import Content, Rounds
from semiseg.correction.server import Corrections
from semiseg.correction.train_on import TrainOn
from semiseg.inference.torch_model import Model
from semiseg.model.release import load_release
from semiseg.suggestion.suggest import suggest


@pytest.fixture(scope="session")
def proposals(tmp_path_factory, tiny_run: Callable[[str], Path], tiny_folder: Path) -> Path:
    """The output of `suggest` for a css run. Copy it to change it."""
    out = tmp_path_factory.mktemp("correction") / "next"
    suggest(tiny_run("css"), tiny_folder, out=out, n=3)
    return out


@pytest.fixture
def folder(proposals: Path, tmp_path: Path) -> Path:
    """A copy of the proposals."""
    return Path(shutil.copytree(proposals, tmp_path / "next"))


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
    content = Content(1, read_queue(folder), States(folder), Masks(model.classes), ModelView(model))
    return Corrections(content)
