"""`distill`: its settings, its loss against the supervised one, its crops, and whole trainings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from tiny_vit import TINY_VIT

import semiseg
from semiseg.augment.geometric import draw_view, view_mask
from semiseg.cli import main
from semiseg.commands.layers import train_config
from semiseg.config.compare import CompareConfig
from semiseg.config.methods import DistillSettings, SupervisedSettings
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, UnknownSettingError
from semiseg.core.rng import Key
from semiseg.core.types import Labeled, Sample, Step, Unlabeled
from semiseg.data.reader import load_dataset
from semiseg.methods import build_method
from semiseg.methods.mixed_views import cut_mix, join
from semiseg.model.network import Network
from semiseg.training.batches import TrainingBatches, TrainingImages, Views
from semiseg.training.labeling.store import ImageLabels, NoLabels

STEP = Step(5, 10, Key.of(0, "step"))


def config(**values: object) -> TrainConfig:
    return TrainConfig.from_values({"data": "DATA", **values})


def test_a_teacher_alone_means_distill() -> None:
    settings = config(teacher="runs/large").settings
    assert isinstance(settings, DistillSettings)
    assert settings.teacher == Path("runs/large").absolute()  # a run can be resumed from anywhere
    assert config(teacher="runs/large").method == "distill"
    assert config(teacher="runs/large").out == Path("runs/distill")
    layered = train_config({"data": "DATA", "teacher": Path("runs/large")})
    assert layered.method == "distill"
    assert TrainConfig.from_values(layered.values()) == layered
    with pytest.raises(UnknownSettingError, match=r"belongs to --method distill; .* uses css"):
        config(method="css", teacher="runs/large")
    with pytest.raises(UnknownSettingError, match="belongs to --method distill"):
        train_config({"data": "DATA", "teacher": "runs/large", "recipe": "camvid-cpu"})


def test_the_command_line_and_a_file_name_a_teacher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"data": "DATA", "teacher": "runs/large"}))
    for words in (["train", "DATA", "--teacher", "runs/large"], ["train", "--config", str(file)]):
        main([*words, "--print-config"])
        printed = yaml.safe_load(capsys.readouterr().out)
        assert (printed["method"], printed["confidence_threshold"]) == ("distill", 0.5)
    main(["train", "--teacher", "runs/large", "--help"])
    assert "Settings of distill" in capsys.readouterr().out
    main(["train", "--help"])
    assert "--teacher" in capsys.readouterr().out


def test_a_teacher_is_not_the_run_itself() -> None:
    for teacher in ("runs/a", "runs/a/masks", "runs/b/../a"):
        with pytest.raises(ConfigError, match=r"--teacher .* lies in the run folder runs/a"):
            config(teacher=teacher, out="runs/a")
    config(teacher="runs/a", out="runs/b")


def test_a_plan_gives_reasons_that_fit_the_student(tiny_folder: Path, tmp_path: Path) -> None:
    reasons = {
        entry.setting: entry.reason
        for entry in semiseg.plan(
            tiny_folder, teacher=tmp_path, accelerator="cpu", out=tmp_path / "run"
        ).entries
    }
    assert "more likely wrong than right" in reasons["confidence_threshold"]
    assert "supervised_warmup" not in reasons  # there is none
    assert "30 steps" in reasons["teacher_memory"]


def test_distill_without_a_teacher_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    for run in (semiseg.train, semiseg.plan):
        with pytest.raises(ConfigError, match="none is named"):
            run(tiny_folder, method="distill", out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"in a comparison: --distill\.teacher"):
        semiseg.compare(tiny_folder, methods="distill", labels=2, out=tmp_path / "compared")
    assert not (tmp_path / "run").exists()
    named = CompareConfig.from_values(
        {"data": "DATA", "methods": "distill", "distill": {"teacher": "runs/large"}}
    )
    assert named.settings["distill"].values()["teacher"] == str(Path("runs/large").absolute())


def batch(seed: int) -> Labeled:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.randint(3, (2, 64, 64), generator=generator)
    return Labeled(torch.rand(2, 3, 64, 64, generator=generator), mask)


def test_with_the_truth_as_labels_the_loss_is_that_of_all_masks() -> None:
    """Twice the loss on labeled and unlabeled images together, whose masks are mixed alike."""
    network = Network(3, "lcnet_035", weights="none")
    settings = DistillSettings(class_balance="none")
    distill = build_method("distill", network, settings).train()
    supervised = build_method("supervised", network, SupervisedSettings()).train()
    labeled, pool = batch(0), batch(1)
    valid = torch.ones_like(pool.mask, dtype=torch.bool)
    sure = torch.ones(pool.mask.shape)
    unlabeled = Unlabeled(pool.image, pool.image, valid, label=pool.mask, confidence=sure)
    STEP.key.seed_globals()
    losses = distill.compute(labeled, unlabeled, STEP)
    mixed, (mask,) = cut_mix(STEP, pool.inputs, pool.mask)
    every = Labeled(join(labeled.inputs, mixed).image, torch.cat([labeled.mask, mask]))
    STEP.key.seed_globals()
    expected = supervised.compute(every, None, STEP).terms["supervised"]
    torch.testing.assert_close(sum(losses.terms.values()), 2 * expected)
    assert losses.diagnostics["used"] == 1


def test_doubtful_labels_and_padding_are_not_learned() -> None:
    distill = build_method("distill", Network(3, "lcnet_035", weights="none"), DistillSettings())
    pool = batch(1)
    valid = torch.ones_like(pool.mask, dtype=torch.bool)
    valid[:, :, 48:] = False
    confidence = torch.full(pool.mask.shape, 0.5)
    confidence[:, :16] = 0.49
    label = pool.mask.clone()
    label[:, 16:32] = 255
    unlabeled = Unlabeled(pool.image, pool.image, valid, label=label, confidence=confidence)
    kept = distill._kept_labels(unlabeled)
    torch.testing.assert_close(kept[:, 32:, :48], pool.mask[:, 32:, :48])
    kept[:, 32:, :48] = 255
    assert (kept == 255).all()
    with pytest.raises(TypeError, match="no stored labels"):
        distill.compute(batch(0), unlabeled._replace(label=None), STEP)


class Fields(NamedTuple):
    """Stored labels of all images: the number of the pixel, modulo 250."""

    shape: tuple[int, int]

    def read(self, sample: Sample) -> ImageLabels:
        pixels = np.arange(self.shape[0] * self.shape[1]).reshape(self.shape) % 250
        confidence = (pixels / np.float32(250)).astype(np.float32)
        return ImageLabels(pixels.astype(np.uint8), confidence, pixels % 7 > 0)


@pytest.mark.parametrize("shape", [(48, 64), (96, 128)])
def test_labels_have_the_geometry_of_their_crops(tiny_folder: Path, shape: tuple[int, int]) -> None:
    data = load_dataset(tiny_folder)
    pool = [sample for sample in data.train if sample.mask is None]
    labeled = [sample for sample in data.train if sample.mask is not None]
    images = TrainingImages(labeled, pool, data.classes, labels=Fields(shape))
    views = Views(48, 32)
    batches = TrainingBatches(images, views, 4, Key.of(0))
    plain = TrainingBatches(images._replace(labels=None), views, 4, Key.of(0))
    ours, theirs = batches[3].unlabeled, plain[3].unlabeled
    assert ours is not None
    assert theirs is not None
    for name in ("weak", "strong", "valid"):  # labels change no draw
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    assert theirs.label is None
    assert ours.label is not None
    assert ours.confidence is not None
    assert (ours.label.dtype, ours.confidence.dtype) == (torch.int64, torch.float32)
    for i, position in enumerate(range(12, 16)):
        view = draw_view(Key.of(0, "unlabeled", position, "view"), (64, 48), 48, 32, views.scale)
        stored = Fields(shape).read(pool[0])
        label = np.where(stored.agreement, stored.label, 255).astype(np.uint8)
        if shape == (96, 128):  # of each four pixels, the nearest resize takes this one
            label = label[1::2, 1::2]
        np.testing.assert_array_equal(ours.label[i].numpy(), view_mask(label, view))
        shown = ours.valid[i] & (ours.label[i] != 255)
        expected = ours.label[i][shown] / 250
        torch.testing.assert_close(ours.confidence[i][shown], expected.float())
    assert ((ours.label == 255) | ours.valid).all()


def test_labels_and_masks_of_the_same_pixels_give_the_same_crops(tiny_folder: Path) -> None:
    """The truth as stored labels, at the size of the decoded images."""
    data = load_dataset(tiny_folder)
    labeled = [sample for sample in data.train if sample.mask is not None]

    class Truth:
        def read(self, sample: Sample) -> ImageLabels:
            mask = batches.decoded.labels(sample, (64, 48))
            return ImageLabels(mask, np.ones(mask.shape, np.float32), np.ones(mask.shape, bool))

    images = TrainingImages(labeled, labeled, data.classes, labels=Truth())
    batches = TrainingBatches(images, Views(48, 32), 2, Key.of(0))
    batches.keys["labeled"] = batches.keys["unlabeled"]
    batches.labeled = batches.unlabeled
    for index in range(4):
        both = batches[index]
        assert both.unlabeled is not None
        assert both.unlabeled.label is not None
        assert torch.equal(both.unlabeled.label, both.labeled.mask)


def test_measured_steps_need_no_labels(tiny_folder: Path) -> None:
    data = load_dataset(tiny_folder)
    images = TrainingImages(data.train[:4], data.train[4:], data.classes, labels=NoLabels())
    unlabeled = TrainingBatches(images, Views(48, 32), 2, Key.of(0))[0].unlabeled
    assert unlabeled is not None
    assert unlabeled.label is not None
    assert (unlabeled.label == 255).all()


COLORS = np.array([[90, 70, 50], [60, 200, 60], [220, 60, 60], [60, 60, 220]])
SETTINGS = {
    **{"weights": "none", "size": 48, "crop": 32, "batch": 4, "steps": 40, "validations": 1},
    **{"workers": 0, "threads": 1, "accelerator": "cpu", "lr": 0.005, "encoder": TINY_VIT},
    **{"encoder_lr": 0.002, "layer_decay": 1.0, "drop_path": 0.0},
}


def scene(seed: int, light: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A photograph of blocks in the colors of their classes at some light, and its mask."""
    random = np.random.default_rng(seed)
    blocks = random.permutation(np.arange(16) % 4).reshape(4, 4).astype(np.uint8)
    mask = np.kron(blocks, np.ones((12, 12), np.uint8))
    image = light * COLORS[mask] + random.normal(0, 8, (48, 48, 3))
    return image.clip(0, 255).astype(np.uint8), mask


def write_blocks(root: Path, split: str, lights: list[float], first: int) -> None:
    for i, light in enumerate(lights):
        image, mask = scene(first + i, light)
        for place, pixels in (("images", image), ("masks", mask)):
            file = root / split / place / f"{split}{i:02d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)


@pytest.mark.variants
@pytest.mark.slow
def test_the_student_of_an_oracle_comes_near_a_training_on_all_masks(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """Two masks of dark scenes and an oracle, against these two alone and against all masks."""
    data = tmp_path / "data"
    write_blocks(data, "train", [0.3, 0.3, *np.linspace(0.5, 1.1, 10)], 0)
    write_blocks(data, "val", list(np.linspace(0.3, 1.1, 6)), 50)
    (tmp_path / "labeled.txt").write_text("train00\ntrain01\n")
    shutil.copytree(data / "train" / "masks", tmp_path / "masks")
    few = {**SETTINGS, "labels": tmp_path / "labeled.txt"}
    scores = {}
    for name, words in {
        "all": {**SETTINGS, "method": "supervised"},
        "few": {**few, "method": "supervised"},
        "oracle": {**few, "teacher": tmp_path / "masks"},
    }.items():
        run = semiseg.train(data, out=tmp_path / name, **words)
        scores[name] = run.scores.miou.released or 0.0
    assert "the stored labels of 100.0 % of the pixels in a sample of 4 images" in log.text
    assert "100.0 % of these agree with 4 hidden masks" in log.text
    # Measured: 87.1, 62.1 and 82.4.
    assert scores["oracle"] > scores["all"] - 8, scores
    assert scores["oracle"] > scores["few"] + 8, scores


@pytest.mark.slow
def test_the_validation_images_are_those_that_the_teacher_held_out(tmp_path: Path) -> None:
    """With another seed, others would be held out, on which the teacher was trained."""
    data = tmp_path / "data"
    write_blocks(data, "train", [1.0] * 10, 0)
    words = {**SETTINGS, "steps": 2, "labels": 4}
    semiseg.train(data, out=tmp_path / "a", method="supervised", **words)
    semiseg.train(data, out=tmp_path / "b", teacher=tmp_path / "a", split_seed=1, **words)
    lists = [(tmp_path / run / "split" / "val.txt").read_text() for run in "ab"]
    assert lists[0] == lists[1]


TWO = """
import sys
from pathlib import Path
import torch
import semiseg
from semiseg.training.module import TrainingModule

data, teacher, out = map(Path, sys.argv[1:])

def keep(self):
    state = {k: v.clone() for k, v in self.method.named_parameters()}
    counts = {"label_counts": self.method.label_counts.clone()}
    torch.save({**state, **counts}, out.with_name(f"rank{self.global_rank}.pt"))

TrainingModule.on_train_end = keep
run = semiseg.train(
    data, out=out, teacher=teacher, weights="none", size=48, crop=32, batch=4, steps=2,
    validations=1, workers=0, accelerator="cpu", devices=2, encoder="lcnet_035", labels=2,
    confidence_threshold=0.0,
)
print("scores", run.scores.miou.released)
"""


@pytest.mark.distributed
def test_two_processes_learn_from_one_store(tiny_folder: Path, tmp_path: Path) -> None:
    settings = {"weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 4, "labels": "2"}
    settings |= {"validations": 1, "workers": 0, "accelerator": "cpu", "diagnostics": False}
    # An encoder with which even four steps give labels of the classes that the images hold.
    settings |= {"encoder": "tf_efficientnet_lite0", "method": "css"}
    teacher = semiseg.train(tiny_folder, out=tmp_path / "teacher", **settings).folder
    (tmp_path / "script.py").write_text(TWO)
    words = [tmp_path / "script.py", tiny_folder, teacher, tmp_path / "run"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    process = subprocess.run(
        [sys.executable, *map(str, words)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert process.returncode == 0, process.stderr
    ours, theirs = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert ours["label_counts"].any()
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key
    manifest = json.loads((tmp_path / "run" / "labels" / "labels.json").read_text())
    assert len(manifest["images"]) == 6
    assert process.stdout.count("scores") == 1
