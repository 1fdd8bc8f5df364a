"""The label store: what it holds, killed and continued, changed, and who fills it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file

import semiseg
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.reading import AS_STORED
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.formats.images import read_image
from semiseg.data.reader import load_dataset
from semiseg.inference.load import load
from semiseg.inference.reading import Maps
from semiseg.inference.sliding import Segmenter
from semiseg.training.labeling import store as store_module
from semiseg.training.labeling.model import SCALES, model_labeler, segmenter_labels
from semiseg.training.labeling.store import (
    MANIFEST,
    ImageLabels,
    LabelStore,
    Source,
    label_pool,
    no_labels,
)

SOURCE = Source(kind="model", sha256="0" * 64, size=6)
SAMPLES = [Sample(f"photo {i}", Path(f"/data/{i}.jpg"), None) for i in range(5)]


def labels_of(sample: Sample) -> ImageLabels:
    """Some labels that depend on the image."""
    random = np.random.default_rng(SAMPLES.index(sample))
    label = random.choice(np.array([0, 1, 2, 255], np.uint8), (6, 8))
    return ImageLabels(label, random.random((6, 8), np.float32), random.random((6, 8)) > 0.5)


def labeler(samples: Iterable[Sample]) -> Iterator[ImageLabels]:
    return map(labels_of, samples)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_is_stored_is_read_again(tmp_path: Path) -> None:
    store = label_pool(labeler, SAMPLES, tmp_path / "labels", SOURCE)
    assert store.is_complete()
    assert len(store.verify()) == 64
    for sample in SAMPLES:
        label, confidence, agreement = store.read(sample)
        expected = labels_of(sample)
        np.testing.assert_array_equal(label, expected.label)
        np.testing.assert_array_equal(agreement, expected.agreement)
        np.testing.assert_allclose(confidence, expected.confidence, rtol=0, atol=0.5001 / 255)
    with Image.open(store.file(SAMPLES[0])) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (8, 6))


@pytest.mark.parametrize("finished", [0, 3])
def test_what_was_finished_before_a_kill_is_kept(tmp_path: Path, finished: int) -> None:
    label_pool(labeler, SAMPLES, tmp_path / "whole", SOURCE)
    asked: list[Sample] = []

    def broken(samples: Iterable[Sample]) -> Iterator[ImageLabels]:
        for number, sample in enumerate(samples):
            if number == finished:
                raise KeyboardInterrupt
            yield labels_of(sample)

    def noted(samples: Iterable[Sample]) -> Iterator[ImageLabels]:
        for sample in samples:
            asked.append(sample)
            yield labels_of(sample)

    with pytest.raises(KeyboardInterrupt):
        label_pool(broken, SAMPLES, tmp_path / "labels", SOURCE)
    assert not LabelStore(tmp_path / "labels", SAMPLES).is_complete()
    label_pool(noted, SAMPLES, tmp_path / "labels", SOURCE)
    assert asked == SAMPLES[finished:]
    assert contents(tmp_path / "labels") == contents(tmp_path / "whole")


def test_files_of_another_source_and_broken_ones_are_made_again(tmp_path: Path) -> None:
    label_pool(labeler, SAMPLES, tmp_path / "whole", SOURCE)
    label_pool(labeler, SAMPLES, tmp_path / "labels", replace(SOURCE, sha256="1" * 64))
    first = tmp_path / "labels" / "000000.png"
    label_pool(labeler, SAMPLES, tmp_path / "labels", SOURCE)
    assert contents(tmp_path / "labels") == contents(tmp_path / "whole")
    first.write_bytes(first.read_bytes()[:-30])  # a power failure
    label_pool(labeler, SAMPLES, tmp_path / "labels", SOURCE)
    assert contents(tmp_path / "labels") == contents(tmp_path / "whole")


def change_a_pixel(folder: Path) -> None:
    """Change one pixel of one image's labels; the file still names its source."""
    file = folder / "000001.png"
    with Image.open(file) as picture:
        pixels, text = np.array(picture), PngInfo()
        for name, value in picture.info.items():
            text.add_text(name, str(value))
    pixels[0, 0, 1] ^= 1
    Image.fromarray(pixels).save(file, pnginfo=text)


def replace_all(folder: Path) -> None:
    """Replace a store by one without any label, which is right in itself."""
    images = json.loads((folder / MANIFEST).read_text())["images"]
    samples = [Sample(image["name"], Path(image["name"]), None) for image in images]
    label_pool(lambda missing: (no_labels() for _ in missing), samples, folder, SOURCE)


def forge(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["source"]["size"] = 7
    (folder / MANIFEST).write_text(json.dumps(manifest))


CHANGES: dict[str, Callable[[Path], object]] = {
    r"000001\.png is not as it was written": change_a_pixel,
    r"000004\.png is not as it was written": lambda folder: (folder / "000004.png").unlink(),
    r"labels\.json is not as it was written": forge,
    r"labels\.json cannot be read": lambda folder: (folder / MANIFEST).write_text("{"),
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_a_changed_store_is_refused(tmp_path: Path, sentence: str) -> None:
    store = label_pool(labeler, SAMPLES, tmp_path / "labels", SOURCE)
    CHANGES[sentence](tmp_path / "labels")
    with pytest.raises(RunError, match=f"The stored labels have changed .*{sentence}"):
        store.verify()


def test_a_store_of_other_images_and_a_lost_file_are_refused(tmp_path: Path) -> None:
    store = label_pool(labeler, SAMPLES, tmp_path / "labels", SOURCE)
    with pytest.raises(RunError, match="lists other images than those of this run"):
        LabelStore(tmp_path / "labels", SAMPLES[:-1]).verify()
    store.file(SAMPLES[2]).write_text("nothing")
    with pytest.raises(RunError, match=r"The stored labels .*000002\.png cannot be read"):
        store.read(SAMPLES[2])


def test_views_are_averaged_as_probabilities(tmp_path: Path) -> None:
    """A model that sees the left half of whatever it is given as class 1."""
    Image.new("RGB", (64, 32)).save(tmp_path / "image.png")
    scores = np.array([2.0, -2.0])

    def forward(images: NDArray[np.uint8]) -> Maps:
        cells = [-(-side // 4) for side in images.shape[-2:]]
        logits = np.zeros((1, 2, *cells), np.float32)
        logits[0, 1] = np.where(np.arange(cells[1]) < cells[1] / 2, *scores)
        return Maps(logits, None)

    samples = [Sample("image", tmp_path / "image.png", None)]
    segment = Segmenter(forward, 32, None)
    (labels,) = segmenter_labels(segment, samples, size=16, reading=AS_STORED)
    assert labels.label.shape == (16, 32)
    assert labels.agreement.all()
    left, right = 1 / (1 + np.exp(-scores))  # the probability of class 1 on each side
    mean = (left + right) / 2
    outside = labels.confidence[:, [2, 29]]  # the halves blend in the middle
    np.testing.assert_allclose(outside, max(mean, 1 - mean), atol=1e-5)
    assert SCALES == (1.0, 1.25)


@pytest.fixture
def pool(tiny_folder: Path) -> list[Sample]:
    """The images of the tiny folder, without masks."""
    return [sample._replace(mask=None) for sample in load_dataset(tiny_folder).train]


@pytest.mark.slow
def test_a_model_labels_in_the_classes_of_the_training(
    tiny_run: Callable[[str], Path], pool: list[Sample], caplog: pytest.LogCaptureFixture
) -> None:
    run = tiny_run("css")
    model = load(run, "cpu")
    names = ("straw", "unknown", *model.classes.names[:3])
    label_all, source = model_labeler(run, names, size=40, reading=AS_STORED, accelerator="cpu")
    assert "does not know the classes unknown" in caplog.text
    assert source.views == ((1.0, 0.0), (1.0, 1.0), (1.25, 0.0), (1.25, 1.0))
    results = list(label_all(pool))
    for sample, (label, confidence, agreement) in zip(pool, results, strict=True):
        image = read_image(sample.image)
        own = model.segment.averaged(image, SCALES, (40, 53))
        named = np.array([*model.classes.names, *[""] * 250])[own.mask]
        expected = np.where(
            np.isin(named, names), [[(*names, n).index(n) for n in row] for row in named], 255
        )
        np.testing.assert_array_equal(label, expected)
        np.testing.assert_array_equal(confidence, own.confidence)
        np.testing.assert_array_equal(agreement, own.nearest == own.mask)
    alone = next(label_all(pool[-1:]))  # an image's labels depend on the image alone
    assert all(np.array_equal(*pair) for pair in zip(alone, results[-1], strict=True))
    with pytest.raises(ConfigError, match="knows none of the classes a, b: its classes are soil"):
        model_labeler(run, ("a", "b"), size=40, reading=AS_STORED, accelerator="cpu")


@pytest.mark.slow
def test_pixels_without_data_get_no_label(tiny_run: Callable[[str], Path], tmp_path: Path) -> None:
    """As `read_labels` has it for masks."""
    model = load(tiny_run("supervised"), "cpu")
    pixels = np.zeros((48, 64), np.uint16)
    pixels[:, :32] = 7
    file = Image.fromarray(pixels)
    file.save(tmp_path / "image.tif", tiffinfo={42113: "7"})  # GDAL's no-data value
    samples = [Sample("image", tmp_path / "image.tif", None)]
    (labels,) = segmenter_labels(model.segment, samples, size=48, reading=AS_STORED)
    assert (labels.label[:, :32] == IGNORE_INDEX).all()
    assert (labels.label[:, 32:] != IGNORE_INDEX).all()


SETTINGS = {
    **{"weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 4, "validations": 2},
    **{"workers": 0, "threads": 1, "accelerator": "cpu", "labels": "2"},
    **{"confidence_threshold": 0.1, "encoder": "lcnet_035"},
}


@pytest.fixture(scope="module")
def distilled(
    tiny_run: Callable[[str], Path], tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run whose labels a css run has made."""
    out = tmp_path_factory.mktemp("distilled") / "run"
    semiseg.train(tiny_folder, teacher=tiny_run("css"), out=out, **SETTINGS)
    return out


def unfinished(run: Path, out: Path) -> Path:
    """A copy of a run that was killed before its release."""
    shutil.copytree(run, out)
    for name in ("scores.json", "model.json", "model.safetensors"):
        (out / name).unlink()
    return out


KILLED = """
import os, signal, sys
from semiseg.cli import main
from semiseg.training.labeling import store

encode, count = store._encode, []

def encode_or_die(labels, source):
    count.append(1)
    if len(count) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(labels, source)

store._encode = encode_or_die
main(sys.argv[1:])
"""


@pytest.mark.faults
def test_a_training_that_is_killed_while_it_labels_ends_with_the_same_bits(
    distilled: Path, tiny_run: Callable[[str], Path], tiny_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = ["train", tiny_folder, "--teacher", tiny_run("css"), "--out", out]
    for name, value in SETTINGS.items():
        words += [f"--{name.replace('_', '-')}", value]
    process = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert len(list((out / "labels").glob("*.png"))) == 3
    assert not (out / "labels" / MANIFEST).exists()
    run = semiseg.train(tiny_folder, out=out, resume=True, workers=1)
    assert contents(out / "labels") == contents(distilled / "labels")
    ours, theirs = (load_file(f / "model.safetensors") for f in (run.folder, distilled))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.slow
def test_a_resumed_training_needs_its_labels_and_no_teacher(
    distilled: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    out = unfinished(distilled, tmp_path / "run")
    config = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(config.replace("run-css", "gone"))
    run = semiseg.train(tiny_folder, out=out, resume=True)
    assert run.scores.miou.released is not None
    changed = unfinished(distilled, tmp_path / "changed")
    change_a_pixel(changed / "labels")
    with pytest.raises(RunError, match="The stored labels have changed since they were made"):
        semiseg.train(tiny_folder, out=changed, resume=True)
    replace_all(changed / "labels")
    with pytest.raises(RunError, match="not those that its steps so far have learned"):
        semiseg.train(tiny_folder, out=changed, resume=True)
    shutil.rmtree(changed / "labels")
    with pytest.raises(RunError, match="are missing, but the training has begun with them"):
        semiseg.train(tiny_folder, out=changed, resume=True)


@pytest.mark.slow
def test_labels_depend_neither_on_the_batch_nor_on_workers(
    distilled: Path, tiny_run: Callable[[str], Path], tiny_folder: Path, tmp_path: Path
) -> None:
    other = {**SETTINGS, "batch": 3, "workers": 2, "steps": 1, "validations": 1, "seed": 5}
    semiseg.train(tiny_folder, teacher=tiny_run("css"), out=tmp_path / "run", **other)
    assert contents(tmp_path / "run" / "labels") == contents(distilled / "labels")


@pytest.mark.slow
def test_accumulation_and_an_interruption_change_no_bit(
    tiny_run: Callable[[str], Path],
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error in the middle of the labeling, and accumulated batches."""
    words = {**SETTINGS, "accumulate": 2, "steps": 2, "teacher": tiny_run("css")}
    semiseg.train(tiny_folder, out=tmp_path / "whole", **words)
    encode, count = store_module._encode, iter(range(10))

    def encode_or_stop(labels: ImageLabels, source: Source) -> bytes:
        if next(count) == 2:
            raise OSError("the disk is full")
        return encode(labels, source)

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_encode", encode_or_stop)
        with pytest.raises(RunError, match=r"the disk is full.*--resume"):
            semiseg.train(tiny_folder, out=tmp_path / "run", **words)
    semiseg.train(tiny_folder, out=tmp_path / "run", resume=True)
    for name in ("model.safetensors", "metrics.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
