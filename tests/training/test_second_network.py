"""A second network of another encoder: what it learns, what it says, and when it has no say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_vit import TINY_VIT

import semiseg
from semiseg.config.budget import total_seconds
from semiseg.config.facts import AS_GIVEN, EncoderChoice, Facts, Line, MethodChoice, Pace
from semiseg.config.sizing import Sizes
from semiseg.config.stages import Between, images_of_second
from semiseg.config.train import TrainConfig
from semiseg.core.choices import Candidate
from semiseg.core.errors import ConfigError, SettingError
from semiseg.core.reading import AS_STORED
from semiseg.core.scores import read_scores
from semiseg.core.types import Sample
from semiseg.data.formats.images import read_image
from semiseg.data.reader import load_dataset
from semiseg.evaluation.choice import ImageCounts
from semiseg.inference.card import model_card
from semiseg.inference.reading import Maps
from semiseg.inference.sliding import Segmenter
from semiseg.model.network import Network
from semiseg.reporting.run_files import read_run
from semiseg.training.data import read_data
from semiseg.training.labeling.second import SecondJudge
from semiseg.training.labeling.store import LabelStore
from semiseg.training.second_stage import has_say
from semiseg.training.stage import second_folder, stage_folder, stages_of
from semiseg.training.val_counts import write_counts

SETTINGS = {
    **{"method": "css-stored", "representation_dim": 8, "anchors": 16, "encoder": "lcnet_035"},
    **{"size": 48, "crop": 32, "batch": 5, "steps": 9, "validations": 1, "labels": "2"},
    **{"workers": 0, "threads": 1, "accelerator": "cpu", "lr": 0.05, "encoder_lr": 0.02},
    **{"weights": "none", "class_weights": "none", "second_encoder": TINY_VIT},
    "second_scale": 1.5,  # of 48: 72 pixels
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the second encoder; they stand for pretrained ones."""
    torch.manual_seed(7)
    file = tmp_path_factory.mktemp("weights") / "w.safetensors"
    state = dict(Network(2, TINY_VIT, weights="none").encoder.state_dict())
    save_file(state, file, metadata={"license": "cc-by-nc-4.0"})
    return file


@pytest.fixture(scope="module")
def run(tiny_folder: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three stages, and the number of images that the second network segmented."""
    out = tmp_path_factory.mktemp("second") / "run"
    probabilities, calls = Segmenter.probabilities, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Segmenter,
            "probabilities",
            lambda self, *words: calls.append(1) or probabilities(self, *words),
        )
        semiseg.train(tiny_folder, out=out, second_weights=str(weights), **SETTINGS)
    assert not (second_folder(out) / "probabilities").exists()
    (out / "calls").write_text(str(len(calls)))
    return out


def pool(run: Path, folder: Path) -> tuple[Sample, ...]:
    """The unlabeled images of a run, in the order of its label store."""
    images = {s.name: s._replace(mask=None) for s in load_dataset(folder).train}
    manifest = json.loads((run / "labels" / "labels.json").read_text())
    return tuple(images[entry["name"]] for entry in manifest["images"])


@pytest.mark.slow
def test_a_label_is_that_of_the_mean_of_both_networks(
    run: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    """In both labelings; the representation space has no say, and each image is seen once."""
    samples = pool(run, tiny_folder)
    folders = [stage_folder(run, 2), run]
    judge = SecondJudge(shutil.copytree(second_folder(run), tmp_path / "s"), tiny_folder, "cpu")
    for number, folder in enumerate(folders, 1):
        own = semiseg.load(stage_folder(run, number), "cpu")
        store = LabelStore(folder / "labels", samples)
        for sample in samples:
            image = read_image(sample.image, AS_STORED)
            other = judge.probabilities(sample, image, (48, 64))
            both = own.segment.averaged(image, (1.0, 1.25), (48, 64), other)
            labels = store.read(sample)
            np.testing.assert_array_equal(labels.label, both.mask)
            np.testing.assert_allclose(labels.confidence, both.confidence, atol=0.5 / 255 + 1e-6)
            assert labels.agreement.all()
    details = json.loads((run / "labels" / "labels.json").read_text())["source"]["details"]
    assert details["second encoder"] == TINY_VIT
    assert (run / "calls").read_text() == str(len(samples))


def test_the_mean_is_that_of_probabilities() -> None:
    """Of 0.9 and 0.2 it is 0.55; the mean of the logits would be another one."""
    image = Image.new("RGB", (16, 8))

    def segmenter(share: float) -> Segmenter:
        logits = np.log(np.array([share, 1 - share], np.float32))[None, :, None, None]

        def forward(images: np.ndarray) -> Maps:
            return Maps(
                np.broadcast_to(logits, (1, 2, images.shape[2] // 4, images.shape[3] // 4)), None
            )

        return Segmenter(forward, 8, None)

    small = segmenter(0.2).probabilities(image)
    np.testing.assert_allclose(small[0], np.full((2, 4), 0.2), rtol=1e-5)
    other = segmenter(0.2).enlarged(small.astype(np.float16), image, (8, 16))
    assert other.shape == (2, 8, 16)
    both = segmenter(0.9).averaged(image, (1.0, 2.0), (8, 16), other)
    assert (both.mask == 0).all()
    np.testing.assert_allclose(both.confidence, np.full((8, 16), 0.55), rtol=1e-3)
    both = segmenter(0.7).averaged(image, (1.0, 2.0), (8, 16), other)
    assert (both.mask == 1).all()
    np.testing.assert_allclose(both.confidence, np.full((8, 16), 0.55), rtol=1e-3)


def test_a_second_network_at_a_larger_size_keeps_its_detail() -> None:
    """A stripe of 4 of 32 columns is half a cell wide for a network at half that size."""
    image = Image.new("RGB", (32, 8))
    stripe = np.zeros((2, 2, 8), np.float32)
    stripe[0, :, 3] = 1
    stripe[1] = 1 - stripe[0]

    def segmenter(size: int, probabilities: np.ndarray) -> Segmenter:
        maps = Maps(np.log(np.clip(probabilities, 1e-6, 1))[None].astype(np.float32), None)
        return Segmenter(lambda _: maps, size, None)

    large = segmenter(8, stripe).enlarged(stripe, image, (4, 16))
    np.testing.assert_allclose(large.sum(axis=0), 1)
    np.testing.assert_array_equal(large[0].argmax(axis=1), np.full(4, 6))
    unsure = np.full((2, 1, 4), 0.5)
    both = segmenter(4, unsure).averaged(image, (1.0,), (4, 16), large)
    columns = np.flatnonzero((both.mask == 0).any(axis=0))
    np.testing.assert_array_equal(columns, [6, 7])


@pytest.mark.slow
def test_only_its_decoder_learns_from_the_labeled_images(
    run: Path, tiny_folder: Path, weights: Path, tmp_path: Path
) -> None:
    """It is the training of a head that anybody can run, bit by bit, at its own working size."""
    foreign = ("second_encoder", "second_scale", "representation_dim")
    words = {k: v for k, v in SETTINGS.items() if k not in foreign}
    words |= {"method": "supervised", "encoder": TINY_VIT, "weights": str(weights), "steps": 4}
    words |= {"encoder_training": "head", "size": 72, "crop": 56, "lr": 2e-3, "encoder_lr": 5e-5}
    words |= {"feature_views": 14}  # 32 views of the usual size take as long
    del words["anchors"]
    semiseg.train(tiny_folder, out=tmp_path / "head", **words)
    ours, theirs = (
        load_file(folder / "model.safetensors")
        for folder in (second_folder(run), tmp_path / "head")
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    pretrained = load_file(weights)
    same = [name for name in pretrained if f"network.encoder.{name}" in ours]
    assert same
    assert all(torch.equal(pretrained[n], ours[f"network.encoder.{n}"]) for n in same)


@pytest.mark.slow
def test_the_run_tells_what_the_second_network_reached_and_whose_weights_it_has(
    run: Path, weights: Path
) -> None:
    scores, own = (read_scores(folder / "scores.json") for folder in (run, second_folder(run)))
    assert scores.steps == SETTINGS["steps"]  # its steps come on top
    assert own.steps == 4
    assert scores.timing.between >= own.seconds
    assert scores.seconds >= own.seconds
    first = read_run(run).stages[0]
    assert (first.number, first.steps, first.miou) == (0, 4, own.choice.miou)
    assert first.method == f"supervised, on frozen features of {TINY_VIT}"
    semiseg.report(run)
    assert '<th scope="row">second network</th>' in (run / "report.html").read_text()
    for folder, records in ((run, True), (stage_folder(run, 1), False)):
        metadata = semiseg.load(folder, "cpu").metadata
        is_first = read_scores(folder / "scores.json").choice.is_first_stage
        assert (metadata.second_weights is not None) == (records and not is_first)
    metadata = semiseg.load(stage_folder(run, 2), "cpu").metadata
    assert metadata.second_weights is not None
    assert weights.name in metadata.second_weights.source
    assert "| License of the second encoder weights | cc-by-nc-4.0, which" in model_card(metadata)


NAMES = [f"image {i}" for i in range(8)]


def counts_of(right: int) -> ImageCounts:
    """A network that gives so many of 100 pixels the right one of two classes, or a few more."""
    true = np.full((len(NAMES), 2), 50, np.int32)
    wrong = np.array([(100 - right) // 2 - i % 2 for i in range(len(NAMES))], np.int32)[:, None]
    return ImageCounts(
        (Candidate(1, "student", 0.0),), true, true[None], (true - wrong).astype(np.int32)[None]
    )


@pytest.mark.parametrize(("second", "says"), [(60, False), (80, True), (90, True)])
def test_a_second_network_that_is_worse_by_more_than_one_standard_error_has_no_say(
    second: int, says: bool, tiny_folder: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    config = TrainConfig.from_values(
        {**SETTINGS, "data": tiny_folder, "out": tmp_path / "run", "second_weights": "none"}
    )
    stage = stages_of(config, unlabeled=True)[1]
    data = read_data(config)
    val = tuple(data.split.val[0]._replace(name=name) for name in NAMES)
    classes = data.folder.classes
    for folder, right in ((stage.before(), 80), (second_folder(config.out), second)):
        folder.mkdir(parents=True)
        counts = counts_of(right)
        others = [(0, len(classes) - 2)]  # classes that do not occur
        wider = [
            np.pad(one, [(0, 0)] * (one.ndim - 1) + others)
            for one in (counts.true, counts.predicted, counts.common)
        ]
        write_counts(folder, NAMES, ImageCounts(counts.candidates, *wider))
    data = data._replace(split=replace(data.split, val=val))
    assert has_say(stage, second_folder(config.out), data) == says
    assert ("gets no say in the labels" in log.text) != says
    assert f"the second network {counts_of(second).score(0):.1f}" in log.text


@pytest.mark.slow
def test_without_a_say_the_labels_are_those_of_the_stage_alone(
    tiny_folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {**SETTINGS, "method": "st", "steps": 4, "restart": True}
    for name in ("representation_dim", "anchors", "second_encoder", "second_scale"):
        del words[name]
    monkeypatch.setattr("semiseg.training.stage_labels.has_say", lambda *_: False)
    semiseg.train(tiny_folder, out=tmp_path / "alone", **words)
    semiseg.train(
        tiny_folder,
        out=tmp_path / "run",
        second_encoder=TINY_VIT,
        second_weights=str(weights),
        **words,
    )
    for name in ("model.safetensors", "labels/000000.png"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert read_run(tmp_path / "run").stages[0].method.endswith("; no say in the last labels")


def test_a_plan_says_what_the_second_network_does(tiny_folder: Path, tmp_path: Path) -> None:
    words = {**SETTINGS, "steps": 100, "out": tmp_path / "run", "second_weights": "none"}
    plan = semiseg.plan(tiny_folder, **words)
    entry = plan.entry("second_encoder")
    assert entry.source == "user"
    assert "its decoder learns from 2 masks for 50 steps" in entry.reason
    assert plan.entry("second_weights").reason == "as given: random"
    assert "--second-weights none makes the features of the second encoder random" in plan.text()
    assert "agreement" not in [one.setting for one in plan.entries]
    same = semiseg.plan(tiny_folder, **{**words, "second_encoder": "lcnet_035"})
    assert any("both encoders are lcnet_035" in warning for warning in same.warnings)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"second_encoder": None, "second_scale": 1.0, "second_share": 0.3}, "--second-share 0.3 "),
        ({"second_encoder": None}, "--second-scale 1.5 .*--second-encoder"),
        (
            {"second_encoder": None, "second_scale": 1.0, "second_weights": "hub"},
            "--second-weights hub",
        ),
        ({"agreement": "frozen"}, "--agreement frozen and --second-encoder .* are two ways"),
        ({"second_share": 0}, "second-share"),
        ({"second_encoder": "vit_smal_patch14_dinov2"}, "vit_small_patch14_dinov2"),
        ({"second_weights": "no/such.pth"}, "no weights file no/such.pth. --second-weights takes"),
    ],
)
def test_what_cannot_work_is_refused_before_the_training(
    words: dict[str, object], message: str, tiny_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises((SettingError, ConfigError), match=message):
        semiseg.plan(tiny_folder, out=tmp_path / "run", **{**SETTINGS, **words})


def test_a_budget_counts_the_second_network() -> None:
    """Its steps, its features, one validation with the shapes, and one pass for each image."""
    facts = Facts(
        side=48.0,
        labeled=2,
        unlabeled=10,
        validation_images=4,
        pixels={},
        likeness=None,
        device="cpu",
        world=1,
        reading=AS_STORED,
        val=4,
        encoder=EncoderChoice("lcnet_035", AS_GIVEN),
        method=MethodChoice("st", AS_GIVEN),
        second=EncoderChoice(TINY_VIT, AS_GIVEN, patch=14),
    )
    second = Pace(Line(3, 0), Line(5, 0), float("inf"), 0.0, Line(7, 0))
    pace = Pace(Line(1, 0), Line(2, 0), float("inf"), 0.0)
    sizes = Sizes(48, 32, 2, 20, 5)
    config = TrainConfig.from_values(
        {"data": "DATA", "method": "st", "second_encoder": TINY_VIT, "second_share": 0.5}
    )
    assert images_of_second(config.settings, 10, 4, 3) == (2 * 4, 10, 1)
    assert images_of_second(config.settings, 0, 4, 3) == Between()
    released = config.replaced(second_released=True)  # and the pair is validated
    assert images_of_second(released.settings, 10, 4, 3) == (3 * 4, 10, 1)
    alone = total_seconds(config, facts, pace, sizes)
    both = total_seconds(config, facts, pace._replace(second=second), sizes)
    assert both - alone == pytest.approx(20 * 0.5 * 3 + 5 * (2 * 4 + 10) + 7 * 2 * 32)
    second = Pace(Line(0, 3), Line(0, 5), float("inf"), 0.0, Line(0, 7))
    both = total_seconds(
        config.replaced(second_scale=2.0), facts, pace._replace(second=second), sizes
    )
    steps, images, views = 20 * 0.5 * 3 * 2 * 84**2, 5 * (2 * 4 + 10) * 96**2, 7 * 16 * 84**2
    assert both - alone == pytest.approx(steps + images + views)
    # A step decodes 224 of 448 pixels of a cached view, and all of them where nothing is cached.
    alone = total_seconds(config, facts, pace, sizes._replace(size=240))
    larger = config.replaced(second_scale=448 / 240)
    pace = pace._replace(second=Pace(Line(0, 3), Line(0, 0), float("inf"), 0.0, Line(0, 0)))
    for device, side in (("cpu", 224), ("cuda", 448)):
        on_device = facts._replace(device=device)
        both = total_seconds(larger, on_device, pace, sizes._replace(size=240))
        assert both - alone == pytest.approx(20 * 0.5 * 3 * 2 * side**2)


@pytest.mark.slow
def test_a_dry_run_and_a_budget_measure_the_second_network(
    tiny_folder: Path, tmp_path: Path
) -> None:
    words = {**SETTINGS, "second_weights": "none", "out": tmp_path / "run"}
    cost = semiseg.dry_run(tiny_folder, **{**words, "steps": 100})
    assert cost.stages[0].startswith("the second network: the decoder on frozen features of")
    for name in ("steps", "crop"):
        del words[name]
    plan = semiseg.plan(tiny_folder, budget="10m", **words)
    assert plan.seconds is not None
    assert plan.seconds < 600
    assert not (tmp_path / "run").exists()
