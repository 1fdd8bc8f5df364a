"""The judge on frozen features: what it learns, and trainings whose labels it has to agree with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import semiseg
from semiseg.config.stages import images_between
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError
from semiseg.core.reading import AS_STORED
from semiseg.core.types import Sample
from semiseg.data.reader import load_dataset
from semiseg.model.network import Network
from semiseg.model.release import load_release
from semiseg.training.data import read_data
from semiseg.training.labeling import frozen
from semiseg.training.labeling import store as stores
from semiseg.training.labeling.frozen import FrozenJudge, agreeing
from semiseg.training.labeling.model import model_labeler
from semiseg.training.labeling.store import ImageLabels, LabelStore
from semiseg.training.stage_labels import open_judge

SETTINGS = {
    **{"method": "css-stored", "representation_dim": 8, "anchors": 16, "encoder": "lcnet_035"},
    **{"size": 48, "crop": 32, "batch": 5, "steps": 9, "validations": 1, "labels": "2"},
    **{"workers": 0, "threads": 1, "accelerator": "cpu", "lr": 0.05, "encoder_lr": 0.02},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an encoder; they stand for pretrained ones."""
    torch.manual_seed(7)
    file = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(dict(Network(2, "lcnet_035", weights="none").encoder.state_dict()), file)
    return file


def labeled_samples(folder: Path) -> list[Sample]:
    return [sample for sample in load_dataset(folder).train if sample.mask is not None]


def judge_of(weights: Path, folder: Path, samples: list[Sample], size: int = 48) -> FrozenJudge:
    classes = load_dataset(folder).classes
    return FrozenJudge("lcnet_035", str(weights), samples, classes, AS_STORED, size)


@pytest.mark.slow
def test_it_learns_the_labeled_images(weights: Path, tiny_folder: Path) -> None:
    samples = labeled_samples(tiny_folder)
    judge = judge_of(weights, tiny_folder, samples)
    assert not judge.network.training
    assert judge.right > 50
    probabilities = judge.probabilities(samples[0], (20, 30))
    np.testing.assert_allclose(probabilities.sum(axis=0), np.ones((20, 30)), rtol=1e-5)
    np.testing.assert_array_equal(judge.labels(samples[0], (20, 30)), probabilities.argmax(axis=0))
    again = judge_of(weights, tiny_folder, samples)
    assert again.sha256 == judge.sha256
    assert judge_of(weights, tiny_folder, samples[:2]).sha256 != judge.sha256
    one = judge_of(weights, tiny_folder, samples[:1])  # then its halves are left out
    assert one.confusion.sum() > 0


@pytest.mark.slow
def test_masks_without_a_label_at_a_center_are_refused(
    weights: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    """A cell has 8 x 8 pixels; this line lies at the edge of the first ones."""
    sample = labeled_samples(tiny_folder)[0]
    mask = np.full((48, 64), 255, np.uint8)
    mask[0] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    line = sample._replace(mask=tmp_path / "mask.png")
    with pytest.raises(ConfigError, match=r"no labeled pixel .* 8 x 8 .*Label larger areas"):
        judge_of(weights, tiny_folder, [line])


@pytest.mark.slow
def test_an_image_without_labels_changes_nothing(
    weights: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it were the one that is judged, there would be nothing to choose the strength by."""
    monkeypatch.setattr(frozen, "MAX_JUDGED", 1)
    samples = labeled_samples(tiny_folder)
    Image.fromarray(np.full((48, 64), 255, np.uint8)).save(tmp_path / "mask.png")
    empty = samples[0]._replace(mask=tmp_path / "mask.png")
    judge = judge_of(weights, tiny_folder, [empty, *samples])
    assert judge.record() == judge_of(weights, tiny_folder, samples).record()
    # Of a single labeled image, halves are left out, whatever empty ones come with it.
    pair = judge_of(weights, tiny_folder, [empty, samples[0]])
    assert pair.record() == judge_of(weights, tiny_folder, samples[:1]).record()


class _Judge:
    """Says class 1 everywhere."""

    def labels(self, sample: Sample, target: tuple[int, int]) -> np.ndarray:
        return np.ones(target, np.uint8)


@pytest.mark.parametrize("combination", ["frozen", "both"])
def test_labels_agree_where_the_judge_gives_the_same_class(
    combination: str, tiny_folder: Path
) -> None:
    """A pixel without data has no label, and no judge agrees with that."""
    label = np.array([[1, 1, 0, 255]], np.uint8)
    agreement = np.array([[True, False, True, True]])
    confidence = np.ones((1, 4), np.float32)

    def label_all(samples: Iterable[Sample]) -> Iterator[ImageLabels]:
        return (ImageLabels(label, confidence, agreement) for _ in samples)

    samples = labeled_samples(tiny_folder)[:2]
    results = [*agreeing(label_all, _Judge(), combination)(samples)]
    expected = [True, combination == "frozen", False, False]
    assert [result.agreement.tolist() for result in results] == [[expected]] * 2
    assert all(result.label is label and result.confidence is confidence for result in results)


def files_of(run: Path) -> dict[str, bytes]:
    """All that does not hold a time."""
    files = [p for p in run.rglob("*") if p.suffix in (".png", ".safetensors", ".csv")]
    files += run.rglob("labels.json")
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(files)}


class _Stopped(RuntimeError):
    """What ends a training in a test."""


@pytest.mark.slow
@pytest.mark.parametrize("agreement", [pytest.param("frozen", marks=pytest.mark.variants), "both"])
def test_a_run_stores_what_both_judges_say_and_resumes_to_the_same_bits(
    agreement: str,
    weights: Path,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
) -> None:
    words = {**SETTINGS, "weights": str(weights), "agreement": agreement}
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    semiseg.train(tiny_folder, out=whole, **words)
    assert log.text.count("class scores on the frozen features are right on") == 2
    encode, calls = stores._encode, []

    def stop_at_the_tenth(*arguments: object) -> bytes:
        calls.append(1)
        if len(calls) == 10:  # of six images in each of two stages
            raise _Stopped
        return encode(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(stores, "_encode", stop_at_the_tenth)
        with pytest.raises(_Stopped):
            semiseg.train(tiny_folder, out=ended, **words)
    semiseg.train(tiny_folder, out=ended, resume=True)
    assert files_of(ended) == files_of(whole)

    manifest = json.loads((whole / "stages" / "2" / "labels" / "labels.json").read_text())
    assert manifest["source"]["details"]["agreement"] == agreement
    folder = load_dataset(tiny_folder)
    names = (whole / "split" / "labeled.txt").read_text().split()
    labeled = [sample for sample in folder.train if sample.name in names]
    judge = judge_of(weights, tiny_folder, labeled)
    samples = [sample for sample in folder.train if sample.name not in names]
    images = {entry["name"] for entry in manifest["images"]}
    samples = [sample for sample in samples if sample.name in images]
    assert len(samples) == 6
    own = LabelStore(whole / "stages" / "2" / "labels", samples)
    label_all, _ = model_labeler(
        whole / "stages" / "1", folder.classes.names, size=48, reading=AS_STORED, accelerator="cpu"
    )
    differs = False
    for sample, labels in zip(samples, label_all(samples), strict=True):
        stored = own.read(sample)
        np.testing.assert_array_equal(stored.label, labels.label)
        expected = judge.labels(sample, labels.label.shape) == labels.label
        if agreement == "both":
            expected &= labels.agreement
        np.testing.assert_array_equal(stored.agreement, expected)
        differs |= bool((stored.agreement != labels.agreement).any())
    assert differs

    # A run that starts from this one is judged by its released encoder.
    values = {"data": tiny_folder, "start_from": whole, "size": 48, "encoder": "lcnet_035"}
    config = TrainConfig.from_values({"method": "css-stored", "labels": "2", **values})
    next_judge = open_judge(config, read_data(config))
    released = load_release(whole).network.encoder.state_dict()
    for key, value in next_judge.network.encoder.state_dict().items():
        assert torch.equal(value, released[key]), key
    assert next_judge.sha256 != judge.sha256


def test_random_features_judge_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    words = {**SETTINGS, "agreement": "frozen", "weights": "none", "out": tmp_path / "run"}
    sentence = r"--agreement frozen .*--weights none makes these random\. Leave --weights out"
    for command in (semiseg.plan, semiseg.train):
        with pytest.raises(ConfigError, match=sentence):
            command(tiny_folder, **words)
    assert not (tmp_path / "run").exists()
    plan = semiseg.plan(tiny_folder, **{**words, "agreement": "representation"})
    assert "both spaces of the model agree" in plan.entry("agreement").reason


def test_the_plan_names_the_judge_and_the_budget_counts_it(
    weights: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    words = {**SETTINGS, "agreement": "both", "weights": str(weights), "out": tmp_path / "run"}
    reason = semiseg.plan(tiny_folder, **words).entry("agreement").reason
    assert "class scores on the features of the pretrained encoder too" in reason
    images = [
        images_between(
            TrainConfig.from_values(
                {"data": "DATA", "method": "css-stored", "agreement": agreement}
            ).settings,
            10,
            4,
            2,
        ).labeling
        for agreement in ("representation", "frozen")
    ]
    # One pass of one network, before each of two stages; an image of val takes two passes.
    assert images[1] - images[0] == pytest.approx(10)
