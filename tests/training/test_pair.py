"""Two networks as one model: what it says, when it is released, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_vit import TINY_VIT

import semiseg
from semiseg.core.choices import PAIR, Candidate
from semiseg.core.errors import ConfigError, RunError, SettingError
from semiseg.core.scores import read_scores
from semiseg.core.types import Sample
from semiseg.data.reader import load_dataset
from semiseg.evaluation.choice import ImageCounts
from semiseg.inference.card import model_card
from semiseg.inference.pair import pair_segmenter
from semiseg.inference.reading import Maps
from semiseg.inference.sliding import Segmenter
from semiseg.model.metadata import METADATA_FILE, WEIGHTS_FILE, ModelMetadata
from semiseg.model.release import LOGIT_OFFSETS, load_release
from semiseg.reporting.run_files import read_run
from semiseg.training.labeling.store import LabelStore
from semiseg.training.pair import PairChoice
from semiseg.training.stage import second_folder, stage_folder

SETTINGS = {
    **{"method": "css-stored", "representation_dim": 8, "anchors": 16, "encoder": "lcnet_035"},
    **{"size": 48, "crop": 32, "batch": 5, "steps": 9, "validations": 1, "labels": "2"},
    **{"workers": 0, "threads": 1, "accelerator": "cpu", "lr": 0.05, "encoder_lr": 0.02},
    **{"weights": "none", "second_encoder": TINY_VIT, "second_weights": "none"},
    **{"second_scale": 1.5, "second_released": True},
}


@pytest.fixture(scope="module")
def run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose rule always chooses the pair: a val of two images shows no difference."""
    out = tmp_path_factory.mktemp("pair") / "run"
    semiseg.train(tiny_folder, out=out, **SETTINGS)
    return out


def constant(size: int, share: float, calls: list[tuple[int, ...]] | None = None) -> Segmenter:
    """A network that gives the first of two classes the same probability everywhere."""
    logits = np.log(np.array([share, 1 - share], np.float32))[None, :, None, None]

    def forward(images: np.ndarray) -> Maps:
        if calls is not None:
            calls.append(images.shape)
        cells = [-(-side // 4) for side in images.shape[2:]]
        return Maps(np.broadcast_to(logits, (len(images), 2, *cells)), None)

    return Segmenter(forward, size, None)


@pytest.mark.parametrize(("sizes", "size"), [((16, 30), 30), ((30, 16), 30), ((16, 16), 16)])
def test_the_probabilities_of_a_pair_are_the_mean_of_both(
    sizes: tuple[int, int], size: int
) -> None:
    """Of 0.9 and 0.3 it is 0.6, with logits the mean would be another one; each has its size."""
    calls: tuple[list[tuple[int, ...]], ...] = ([], [])
    networks = [constant(s, p, c) for s, p, c in zip(sizes, (0.9, 0.3), calls, strict=True)]
    pair = pair_segmenter(*networks)
    assert pair.size == size
    prediction = next(pair([Image.new("RGB", (45, 30))], probabilities=True))
    assert prediction.probabilities is not None
    np.testing.assert_allclose(prediction.probabilities[0], np.full((30, 45), 0.6), rtol=1e-3)
    assert [c[0][2] for c in calls] == list(sizes)
    assert [c[0][3] for c in calls] == [round(1.5 * s) for s in sizes]


def test_logits_are_adjusted_before_the_mean() -> None:
    pair = pair_segmenter(
        constant(16, 0.9), constant(24, 0.3), (np.log(np.array([1 / 9, 1.0])), np.zeros(2))
    )
    prediction = next(pair([Image.new("RGB", (16, 16))], probabilities=True))
    assert prediction.probabilities is not None
    np.testing.assert_allclose(prediction.probabilities[0], np.full((16, 16), 0.4), rtol=1e-3)


def test_the_network_with_finer_cells_keeps_its_detail() -> None:
    """A stripe that is half a cell wide for the other network stays where it is."""
    stripe = np.full((1, 2, 16, 16), 0.5, np.float32)
    stripe[0, 0, :, 5] = 0.99
    stripe[0, 1] = 1 - stripe[0, 0]
    fine = Segmenter(lambda _: Maps(np.log(stripe), None), 64, None)
    prediction = next(pair_segmenter(constant(32, 0.4), fine)([Image.new("RGB", (64, 64))]))
    columns = np.flatnonzero((prediction.mask == 0).any(axis=0))
    assert columns.min() >= 19
    assert columns.max() <= 24


def test_a_large_image_is_segmented_in_windows_of_the_larger_network() -> None:
    """Two equal networks are as good as one, in windows and in bands of them."""

    def network(size: int) -> Segmenter:
        def forward(images: np.ndarray) -> Maps:
            cells = images[:, :, ::4, ::4].mean(axis=1, keepdims=True).astype(np.float32) / 64
            return Maps(np.concatenate([cells, 2 - cells], axis=1), None)

        return Segmenter(forward, size, 32)

    pixels = np.linspace(0, 255, 90 * 300).reshape(90, 300)
    image = Image.fromarray(np.repeat(pixels.astype(np.uint8)[..., None], 3, axis=2))
    one, pair = network(64), pair_segmenter(network(64), network(64))
    assert pair.window == one.window
    for kind in ("fit", "keep"):
        alone, both = (
            next(s([image], probabilities=True))
            if kind == "fit"
            else s.at_scale(image, 0.9, probabilities=True)
            for s in (one, pair)
        )
        assert alone.probabilities is not None
        assert both.probabilities is not None
        np.testing.assert_allclose(both.probabilities, alone.probabilities, atol=2e-3)


def test_a_pair_has_no_labels_from_representation_space() -> None:
    """They would differ from its labels where the second network corrects the first one."""
    near = np.zeros((1, 2, 4, 4), np.float32)
    near[:, 1] = 1
    first = Segmenter(lambda _: Maps(np.zeros((1, 2, 4, 4), np.float32), near), 16, None)
    prediction = next(pair_segmenter(first, constant(32, 0.9))([Image.new("RGB", (32, 32))]))
    assert prediction.nearest is None
    assert (prediction.mask == 0).all()


NAMES = [f"image {i}" for i in range(8)]


def counts_of(rights: list[int], network: str = "student") -> ImageCounts:
    """A candidate that gives so many pixels of 100 of each image the right class."""
    right = np.array(rights, np.int32)[:, None]
    true = np.full((len(rights), 1), 100, np.int32)
    return ImageCounts((Candidate(1, network, 0.0),), true, true[None], right[None])


def wavy(right: int) -> list[int]:
    """About so many right pixels in eight images."""
    return [right + i % 2 for i in range(len(NAMES))]


@pytest.mark.parametrize(
    ("own", "both", "first", "released"),
    [
        (70, 75, 60, PAIR),
        (70, 70, 60, PAIR),
        (70, 50, 60, "student"),
        (70, 75, 90, "first"),
        (70, 50, 90, "first"),
        (70, 75, None, PAIR),
        (70, 50, None, "student"),
    ],
)
def test_which_model_is_released(own: int, both: int, first: int | None, released: str) -> None:
    """The pair, unless the last stage alone or stage 1 is better; however good the second is."""
    last = counts_of(wavy(own)).in_stage(2)
    earlier = None if first is None else counts_of(wavy(first), "first")
    choice = PairChoice(last, counts_of(wavy(40), "other"), earlier)
    pairs = choice.pairs(NAMES)
    assert pairs == ((0, 0),)
    counts = counts_of(wavy(both), PAIR).in_stage(2)
    outcome, sums = choice.cross_fit(NAMES, pairs, counts)
    assert outcome.chosen.network == released
    assert outcome.is_pair == (released == PAIR)
    assert outcome.is_first_stage == (released == "first")
    assert (outcome.first_stage is None) == (first is None)
    assert outcome.alone_miou == counts_of(wavy(own)).score(0)
    if outcome.first_stage is not None:  # stage 1 had to beat the better of the two
        assert outcome.first_stage.last_miou == counts_of(wavy(max(own, both))).score(0)
    expected = {"first": first, PAIR: both, "student": own}[released]
    assert expected is not None
    assert sums.common.sum() == sum(wavy(expected))


def test_each_half_is_scored_with_what_the_other_half_chooses() -> None:
    """The first four images find the pair worse than the network alone, the others better."""
    own, both = [70] * 8, wavy(50)[:4] + wavy(90)[:4]
    choice = PairChoice(counts_of(own).in_stage(2), counts_of(own, "other"), None)
    pairs = choice.pairs(NAMES)
    outcome, sums = choice.cross_fit(NAMES, pairs, counts_of(both, PAIR).in_stage(2))
    assert [outcome.first_half.network, outcome.second_half.network] == ["student", PAIR]
    assert sums.common.sum() == sum(wavy(50)[:4]) + 4 * 70


def test_each_half_chooses_the_networks_of_its_pair() -> None:
    """Two adjustments of the second network: the first half prefers one, the others the other."""
    one, two = wavy(80)[:4] + wavy(50)[:4], wavy(50)[:4] + wavy(90)[:4]
    second = counts_of(one, "one").joined(counts_of(two, "two"))
    choice = PairChoice(counts_of([70] * 8).in_stage(2), second, None)
    pairs = choice.pairs(NAMES)
    assert set(pairs) == {(0, 0), (0, 1)}
    assert pairs[0] == choice.members(choice.own.images)
    by_pair = {(0, 0): counts_of([75] * 8, PAIR), (0, 1): counts_of([85] * 8, PAIR)}
    counts = by_pair[pairs[0]].joined(by_pair[pairs[1]]).in_stage(2)
    _, sums = choice.cross_fit(NAMES, pairs, counts)
    assert sums.common.sum() == 4 * 85 + 4 * 75


@pytest.mark.slow
def test_the_released_pair_says_what_both_networks_say(run: Path, tiny_folder: Path) -> None:
    """The mean of the probabilities of both, at the size of the second one."""
    model = semiseg.load(run, "cpu")
    assert model.metadata.second is not None
    assert (model.metadata.size, model.metadata.first_size) == (72, 48)
    assert model.metadata.which == PAIR
    release = load_release(run)
    own = Segmenter(lambda images: semiseg_maps(release.network, images), 48, None)
    other = semiseg.load(second_folder(run), "cpu").segment
    file = load_dataset(tiny_folder).val[0].image
    image = Image.open(file).convert("RGB")
    expected = next(pair_segmenter(own, other)([image], probabilities=True))
    prediction = model.predict(file, probabilities=True)
    np.testing.assert_array_equal(prediction.mask, expected.mask)
    np.testing.assert_allclose(prediction.probabilities, expected.probabilities, atol=1e-5)
    assert prediction.nearest is None  # the prototypes are those of the first network alone
    assert not model.two_spaces
    alone = next(other([image], probabilities=True))
    assert np.abs(prediction.probabilities - alone.probabilities).max() > 1e-3


def semiseg_maps(network: torch.nn.Module, images: np.ndarray) -> Maps:
    with torch.no_grad():
        return Maps(network(torch.from_numpy(images).float() / 255).logits.numpy(), None)


@pytest.mark.slow
def test_scores_and_report_are_those_of_the_pair(run: Path, tiny_folder: Path) -> None:
    scores = read_scores(run / "scores.json")
    assert scores.choice.is_pair
    assert scores.which == PAIR
    assert "released is the mean of two networks" in scores.summary()
    evaluation = semiseg.evaluate(run, data=tiny_folder, accelerator="cpu")
    assert evaluation.miou == pytest.approx(scores.choice.miou, abs=0.02)
    stages = read_run(run).stages
    assert stages[-1].miou == scores.choice.alone_miou
    semiseg.report(run)
    assert "the mean of two networks" in (run / "report.html").read_text()
    card = model_card(semiseg.load(run, "cpu").metadata)
    assert "detail |" in card.partition("| Second network |")[2].partition("\n")[0]
    assert "scales their short side to 48 pixels" in card
    assert "For its second network it scales the short side to 72 pixels" in card
    assert scores.adjustment.without is None
    with pytest.raises(ConfigError, match="no prototypes: it is the mean of two networks"):
        semiseg.predict(run, tiny_folder / "val", out=run.parent / "masks", reliability=True)
    middle = semiseg.load(stage_folder(run, 2), "cpu").metadata
    assert middle.second is None  # only the run itself releases both


@pytest.mark.slow
def test_a_pair_is_shared_and_goes_on_training(
    run: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    """A folder for the hub has both networks; a new training starts from the first one."""
    semiseg.export(run, out=tmp_path / "hub", file_format="hub")
    file = load_dataset(tiny_folder).val[0].image
    ours, theirs = (semiseg.load(f, "cpu").predict(file) for f in (run, tmp_path / "hub"))
    np.testing.assert_array_equal(ours.mask, theirs.mask)
    words = {k: v for k, v in SETTINGS.items() if not k.startswith("second_")}
    words |= {"method": "supervised", "steps": 1, "start_from": run, "weights": "auto"}
    for name in ("representation_dim", "anchors"):
        del words[name]
    semiseg.train(tiny_folder, out=tmp_path / "next", **words)
    assert semiseg.load(tmp_path / "next", "cpu").metadata.second is None
    del words["start_from"]
    words |= {"method": "distill", "teacher": run, "weights": "none"}
    semiseg.train(tiny_folder, out=tmp_path / "small", **words)
    labels = LabelStore(tmp_path / "small" / "labels", pool(tmp_path / "small", tiny_folder))
    sample = labels.samples[0]
    image = Image.open(sample.image).convert("RGB")
    expected = semiseg.load(run, "cpu").segment.averaged(image, (1.0, 1.25), (48, 64))
    np.testing.assert_array_equal(labels.read(sample).label, expected.mask)
    assert labels.read(sample).agreement.all()
    words |= {"encoder": TINY_VIT, "weights": run}
    with pytest.raises(ConfigError, match="fit"):  # its encoder is the first one
        semiseg.train(tiny_folder, out=tmp_path / "other", **words)


def pool(run: Path, folder: Path) -> tuple[Sample, ...]:
    """The unlabeled images of a run, in the order of its label store."""
    images = {s.name: s._replace(mask=None) for s in load_dataset(folder).train}
    manifest = json.loads((run / "labels" / "labels.json").read_text())
    return tuple(images[entry["name"]] for entry in manifest["images"])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "qgis"])
def test_no_file_holds_networks_of_different_sizes(run: Path, form: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"48 and 72 pixels.*--second-scale.*--method distill"):
        semiseg.export(run, out=tmp_path / "model", file_format=form, ground_resolution=0.1)


@pytest.mark.slow
@pytest.mark.exports
@pytest.mark.parametrize("form", ["onnx", "qgis"])
def test_two_networks_become_one_file(tiny_folder: Path, form: str, tmp_path: Path) -> None:
    """`export` compares the file with the model; onnxruntime gives the same labels in windows."""
    run, model = tmp_path / "run", tmp_path / "model.onnx"
    semiseg.train(tiny_folder, out=run, **{**SETTINGS, "second_scale": 1.0})
    ground = 0.1 if form == "qgis" else None
    result = semiseg.export(run, out=model, file_format=form, ground_resolution=ground)
    assert result.difference < 1e-4
    if form == "onnx":
        pixels = np.linspace(0, 255, 3 * 50 * 300).reshape(50, 300, 3).astype(np.uint8)
        image = Image.fromarray(pixels)
        torch_model, onnx_model = (semiseg.load(path, "cpu") for path in (run, model))
        assert onnx_model.metadata == torch_model.metadata
        assert onnx_model.segment.window == torch_model.segment.window
        for sides in [(56, 56), (112, 100), (61, 280)]:  # the networks pad some of them differently
            part = np.random.default_rng(0).integers(0, 256, (1, 3, *sides), np.uint8)
            ours, theirs = (one.segment.forward(part) for one in (torch_model, onnx_model))
            np.testing.assert_allclose(theirs.logits, ours.logits, atol=1e-4)
        ours, theirs = (
            next(one.segment([image], probabilities=True)) for one in (torch_model, onnx_model)
        )
        assert ours.probabilities is not None
        np.testing.assert_allclose(theirs.probabilities, ours.probabilities, atol=1e-3)


@pytest.mark.exports
def test_the_mean_in_a_file_is_right_with_16_bits(tmp_path: Path) -> None:
    """A probability of 1e-13 would be 0 with 16 bits, and its logarithm infinite."""
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    from semiseg.inference.onnx_graph import mean_of_two
    from semiseg.inference.onnx_precision import write_fp16

    full, half = tmp_path / "full.onnx", tmp_path / "half.onnx"
    onnx.save(mean_of_two(3), full)
    write_fp16(full, half)
    first = np.array([20.0, -10.0, -12.0], np.float32).reshape(1, 3, 1, 1)
    second = np.array([1.0, -30.0, 2.0], np.float32).reshape(1, 3, 1, 1)
    shares = [np.exp(one) / np.exp(one).sum() for one in (first, second)]
    for file, tolerance in ((full, 1e-4), (half, 0.05)):
        program = reference.ReferenceEvaluator(str(file))
        (logits,) = program.run(None, {"first_logits": first, "second_logits": second})
        np.testing.assert_allclose(logits, np.log(np.mean(shares, axis=0)), atol=tolerance)


@pytest.mark.slow
def test_a_damaged_pair_is_refused(run: Path, tmp_path: Path) -> None:
    """Weights of one network, or metadata that contradict each other, are no pair."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (WEIGHTS_FILE, METADATA_FILE):
        shutil.copy(run / name, folder)
    content = json.loads((folder / METADATA_FILE).read_text())
    assert content["format"] == 2  # an older version would take the first network alone
    assert json.loads(json.dumps(ModelMetadata.from_dict(content).to_dict())) == content
    for key, value, message in [
        ("size", 71, "larger of those of two networks"),
        ("second", {**content["second"], "first_size": 0}, "size of the first network"),
        ("second", {**content["second"], "strength": -1.0}, "strength -1"),
        ("second", {"size": 72}, "network"),
        ("second", 3, "second network"),
    ]:
        with pytest.raises(ValueError, match=message):
            ModelMetadata.from_dict({**content, key: value})
    spec = {**content["second"], "network": {**content["second"]["network"], "classes": 2}}
    with pytest.raises(ValueError, match="same classes"):
        ModelMetadata.from_dict({**content, "second": spec})
    tensors = load_file(folder / WEIGHTS_FILE)
    save_file(
        {k: v for k, v in tensors.items() if not k.startswith("second_network.")},
        folder / WEIGHTS_FILE,
    )
    content.pop("sha256")
    (folder / METADATA_FILE).write_text(json.dumps(content))
    with pytest.raises(RunError, match="cannot be read"):
        load_release(folder)


@pytest.mark.slow
def test_the_offsets_in_the_file_are_those_of_the_first_network(run: Path) -> None:
    release = load_release(run)
    assert release.tensors[LOGIT_OFFSETS].shape == (release.network.classes,)
    assert not any(name.startswith("second_network.") for name in release.tensors)


def test_a_pair_needs_a_second_encoder(tiny_folder: Path, tmp_path: Path) -> None:
    words = {k: v for k, v in SETTINGS.items() if not k.startswith("second_")}
    with pytest.raises(SettingError, match=r"--second-released .*--second-encoder"):
        semiseg.plan(tiny_folder, out=tmp_path / "run", second_released=True, **words)
