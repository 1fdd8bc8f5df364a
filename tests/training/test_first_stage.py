"""The model of the first stage is released where the last stage makes it worse."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import semiseg
from semiseg.config.methods import StSettings
from semiseg.core.errors import RunError
from semiseg.core.scores import read_scores
from semiseg.evaluation.choice import cross_fit
from semiseg.methods.base import Method
from semiseg.scenes.draw import NAMES, write_scenes
from semiseg.training import module as training_module
from semiseg.training.val_counts import read_counts, write_counts
from semiseg.training.validation import score_networks

SETTINGS = {
    **{"weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 4, "validations": 1},
    **{"workers": 0, "threads": 1, "accelerator": "cpu", "labels": "2", "encoder": "lcnet_035"},
    **{"lr": 0.01, "diagnostics": False},
}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


@pytest.fixture(scope="module")
def ruined(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path, semiseg.Run, list[str]]:
    """The data and a run of two stages whose second one predicts a rare class everywhere."""
    folder = tmp_path_factory.mktemp("ruined")
    data = write_scenes(folder / "data", labeled=3, unlabeled=2, val=6, size=(48, 64))
    records: list[str] = []

    def score(method: Method, *arguments: Any, **options: Any) -> Any:
        if isinstance(method.settings, StSettings):
            for network in method.networks().values():
                network.add_to_logits(1000.0 * torch.eye(len(NAMES))[-1])
        return score_networks(method, *arguments, **options)

    class Records(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    handler = Records()
    logger = logging.getLogger("semiseg")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_module, "score_networks", score)
        run = semiseg.train(data, method="st", out=folder / "run", **SETTINGS)
    logger.setLevel(level)
    logger.removeHandler(handler)
    return data, folder / "run", run, records


@pytest.mark.slow
def test_the_supervised_model_is_released_where_the_last_stage_is_ruined(
    ruined: tuple[Path, Path, semiseg.Run, list[str]],
) -> None:
    data, out, run, records = ruined
    first = read_scores(out / "stages" / "1" / "scores.json")
    choice = run.scores.choice
    assert choice.is_first_stage
    assert choice.chosen == first.choice.chosen
    assert choice.first_half.stage == choice.second_half.stage == 1
    assert choice.first_stage is not None
    assert choice.first_stage.miou == choice.miou == first.choice.miou
    assert choice.first_stage.last_miou == run.scores.miou.last
    # Nothing of the ruined stage is left in the scores but `last` and the steps.
    assert run.scores.miou.released == first.miou.released
    for name in ("per_class", "shapes", "which", "adjustment"):
        assert getattr(run.scores, name) == getattr(first, name)
    assert run.scores.method == "st"
    assert run.scores.steps == 4
    ours, theirs = weights(out), weights(out / "stages" / "1")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    confusion = (out / "confusion.csv").read_text()
    assert confusion == (out / "stages" / "1" / "confusion.csv").read_text()
    metadata = semiseg.load(out, "cpu").metadata
    assert (metadata.method, metadata.steps) == ("supervised", 2)
    assert metadata.choice == choice
    assert semiseg.evaluate(out, data, accelerator="cpu").miou == choice.miou
    assert any(
        "the released model is that of stage 1 (labeled images only)" in line for line in records
    )
    assert "the student of stage 1 (labeled images only)" in semiseg.report(out).path.read_text()
    assert "released is the model of stage 1 (labeled images only)" in run.text()


@pytest.mark.slow
def test_the_counts_of_the_first_stage_belong_to_its_images(
    ruined: tuple[Path, Path, semiseg.Run, list[str]], tmp_path: Path
) -> None:
    _, out, run, _ = ruined
    names = (out / "split" / "val.txt").read_text().split()
    counts = read_counts(out / "stages" / "1", names, len(NAMES))
    assert cross_fit(counts, names)[0].miou == run.scores.choice.miou
    write_counts(tmp_path, names, counts)
    whole = (out / "stages" / "1" / "val-counts.npz").read_bytes()
    assert (tmp_path / "val-counts.npz").read_bytes() == whole
    with pytest.raises(RunError, match="its images are not those of the run"):
        read_counts(tmp_path, names[::-1], len(NAMES))
    with pytest.raises(RunError, match="other shapes"):
        read_counts(tmp_path, names, 5)
    (tmp_path / "val-counts.npz").write_bytes(whole[:-9])
    with pytest.raises(RunError, match=r"val-counts.npz cannot be read .*Start the run again"):
        read_counts(tmp_path, names, len(NAMES))
    assert not (out / "val-counts.npz").exists()
