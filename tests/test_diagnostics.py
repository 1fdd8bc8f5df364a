"""Diagnostics by hand, what they leave behind, and that they change no bit of a training."""

import csv
import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import semiseg
from semiseg.config.methods import METHODS
from semiseg.core.rng import Key
from semiseg.core.types import PseudoLabels, Sample
from semiseg.data.formats.masks import Classes
from semiseg.data.reader import load_dataset
from semiseg.data.splits import Split, make_split
from semiseg.evaluation.pseudo_labels import (
    BINS,
    PseudoLabelStatistics,
    Thresholds,
    curve_values,
    plane,
)
from semiseg.plots.matrices import draw_plane
from semiseg.plots.pseudo_label_maps import PseudoLabelMaps, draw_pseudo_label_maps
from semiseg.plots.pseudo_labels import draw_pseudo_label_curves
from semiseg.scenes.draw import write_scenes
from semiseg.training.batches import TrainingBatches, TrainingImages, Views
from semiseg.training.callbacks import Validations
from semiseg.training.checkpoint import newest_intact
from semiseg.training.data import choose_sample

NAMES = ("a", "b", "c")
USUAL = Thresholds(confidence=0.9, valid=0.7, hard=0.8)
TINY = {
    "method": "css",
    "labels": "2",
    "weights": "none",
    "encoder": "lcnet_035",
    "size": 48,
    "crop": 32,
    "batch": 2,
    "steps": 4,
    "validations": 2,
    "workers": 0,
    "accelerator": "cpu",
    # What a network without training agrees with itself on.
    "collaboration": "logit",
    "confidence_threshold": 0.15,
    "valid_threshold": 0.1,
    "supervised_warmup": 0.0,
}


def row(*values, dtype=torch.long):
    return torch.tensor([[values]], dtype=dtype)


@pytest.fixture
def six_pixels():
    """Six pixels, the last one padding."""
    labels = PseudoLabels(
        logit_label=row(0, 0, 1, 2, 1, 0),
        confidence=row(0.99, 0.95, 0.97, 0.5, 0.92, 1.0, dtype=torch.float),
        representation_label=row(0, 1, 1, 2, 0, 0),
        similarity=row(0.75, 0.6, 0.85, 0.72, 0.4, 1.0, dtype=torch.float),
        final=row(0, 255, 1, 255, 255, 255),
    )
    valid = row(1, 1, 1, 1, 1, 0, dtype=torch.bool)
    truth = row(0, 1, 2, 2, 2, 1)
    return labels, valid, truth


def tallied(labels, valid, truth, thresholds=USUAL):
    statistics = PseudoLabelStatistics(NAMES, thresholds)
    statistics.add(labels, valid, truth)
    return statistics.summary()


def test_shares_by_hand(six_pixels):
    summary = tallied(*six_pixels)
    assert summary["used"] == pytest.approx(40)
    assert summary["agree"] == pytest.approx(60)
    assert summary["contrasted"] == pytest.approx(60)  # 0.75, 0.85, 0.72
    assert summary["hard"] == pytest.approx(100 * 2 / 3)  # 0.75, 0.72
    assert summary["highest"] == pytest.approx({"confidence": 0.99, "similarity": 0.85})
    shares = {name: values["called"] for name, values in summary["per_class"].items()}
    assert shares == pytest.approx({"a": 40, "b": 40, "c": 20})
    assert summary["per_class"]["a"]["used"] == pytest.approx(20)
    assert summary["per_class"]["a"]["kept"] == pytest.approx(50)
    assert summary["per_class"]["c"]["kept"] == 0
    assert [warning.partition(":")[0] for warning in summary["warnings"]] == [
        "some classes are not used"
    ]


def test_quality_of_each_source_by_hand(six_pixels):
    quality = tallied(*six_pixels)["quality"]
    # logit: 0 0 1 2 1, nearest: 0 1 1 2 0, truth: 0 1 2 2 2
    assert quality["logit"]["iou"] == pytest.approx({"a": 50, "b": 0, "c": 100 / 3})
    assert quality["representation"]["iou"] == pytest.approx({"a": 50, "b": 50, "c": 100 / 3})
    assert quality["mix"]["iou"] == pytest.approx({"a": 100, "b": 0, "c": 50})
    assert quality["used"]["iou"] == pytest.approx({"a": 100, "b": 0, "c": 0})
    pixels = {source: values["pixels"] for source, values in quality.items()}
    assert pixels == pytest.approx({"logit": 100, "representation": 100, "mix": 60, "used": 40})
    assert quality["mix"]["accuracy"] == pytest.approx(100 * 2 / 3)


def test_where_the_spaces_differ_by_hand(six_pixels):
    disagreement = tallied(*six_pixels)["disagreement"]
    assert disagreement == pytest.approx(
        {"pixels": 40, "logit_right": 0, "representation_right": 50, "neither_right": 50}
    )


def test_pixels_of_unknown_truth_are_in_no_score(six_pixels):
    labels, valid, truth = six_pixels
    truth[..., 1] = 255
    summary = tallied(labels, valid, truth)
    assert summary["quality"]["logit"]["accuracy"] == pytest.approx(50)
    assert summary["disagreement"]["pixels"] == pytest.approx(25)
    assert sum(map(sum, summary["plane"]["all"])) == 5
    assert sum(map(sum, summary["plane"]["known"])) == 4
    assert sum(map(sum, summary["plane"]["right"])) == 2


def test_batches_add_up(six_pixels):
    once = tallied(*six_pixels)
    statistics = PseudoLabelStatistics(NAMES, USUAL)
    for part in (slice(0, 2), slice(2, 6)):
        statistics.add(
            *(
                PseudoLabels(*(m[..., part] for m in six_pixels[0])),
                *(m[..., part] for m in six_pixels[1:]),
            )
        )
    assert statistics.summary() == {**once, "images": 2, "with_truth": 2}


def test_without_truth_and_without_a_second_space(six_pixels):
    labels, valid, _ = six_pixels
    summary = tallied(labels._replace(representation_label=None, similarity=None), valid, None)
    assert summary["used"] == pytest.approx(40)
    for name in ("agree", "contrasted", "hard", "quality", "disagreement", "plane"):
        assert summary[name] is None
    assert curve_values(summary) == {"pseudo/used": pytest.approx(40)}


def test_curve_values(six_pixels):
    values = curve_values(tallied(*six_pixels))
    assert values["pseudo/iou_mix"] == pytest.approx(50)
    shares = ["used", "agree", "hard", "logit_right", "representation_right"]
    scores = ["iou_logit", "iou_representation", "iou_mix", "iou_used"]
    assert set(values) == {f"pseudo/{name}" for name in [*shares, *scores]}


def test_the_plane_counts_each_pixel_once_at_its_place():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.rand(2, 3, 8, 9, generator=generator)
    where = torch.rand(3, 8, 9, generator=generator) < 0.5
    one[0, 0, 0], where[0, 0, 0] = 1.0, True
    expected = torch.zeros(BINS, BINS, dtype=torch.long)
    for p, q in zip(one[where].tolist(), other[where].tolist(), strict=True):
        expected[min(int(p * BINS), BINS - 1), min(int(q * BINS), BINS - 1)] += 1
    assert torch.equal(plane(one, other, where), expected)


def warned(confidence, similarity, thresholds, used=None):
    """The warnings for many pixels with these indicators, all labeled 0 by both spaces."""
    size = (1, 20, 20)
    reached = confidence >= (thresholds.confidence or 0) if used is None else used
    labels = PseudoLabels(
        torch.zeros(size).long(),
        torch.full(size, confidence),
        torch.zeros(size).long(),
        torch.full(size, similarity),
        torch.full(size, 0 if reached else 255),
    )
    return tallied(labels, torch.ones(size) > 0, None, thresholds)["warnings"]


@pytest.mark.parametrize(
    ("confidence", "similarity", "words"),
    [
        (0.5, 0.75, ["almost no pseudo-labels are used", "every pixel is a hard anchor"]),
        (0.95, 0.75, ["excludes nothing", "every pixel is a hard anchor"]),
        (0.95, 0.5, ["excludes nothing", "uses no unlabeled pixel"]),
        (0.95, 0.9, ["excludes nothing", "there are no hard anchors"]),
    ],
)
def test_a_dead_indicator_is_reported(confidence, similarity, words):
    warnings = warned(confidence, similarity, USUAL)
    assert len(warnings) == len(words)
    for sentence, part in zip(warnings, words, strict=True):
        assert part in sentence
        assert "--" in sentence  # the setting


def test_classes_without_pseudo_labels_are_reported(six_pixels):
    (warning,) = [s for s in tallied(*six_pixels)["warnings"] if s.startswith("some classes")]
    assert warning.startswith(
        "some classes are not used: c. Almost"
    )  # a and b are, c is called once
    assert "--confidence-threshold 0.9" in warning
    label = torch.arange(8).view(1, 1, 8)
    final = torch.where(label < 1, label, 255)
    statistics = PseudoLabelStatistics([f"class{i}" for i in range(8)], Thresholds(confidence=0.9))
    statistics.add(PseudoLabels(label, torch.ones(1, 1, 8), None, None, final), label >= 0, None)
    assert "class1, class2, class3, class4, class5 and 2 others." in statistics.warnings()[0]
    statistics.names = statistics.names[:7]
    statistics.logit_counts = statistics.logit_counts[:7]
    statistics.label_counts = statistics.label_counts[:7]
    assert "class5, class6." in statistics.warnings()[0]


def test_the_program_s_temperature_is_reported():
    """`softmax(cos / 0.5)` over 21 classes ends at 0.73: never past 0.8, always hard."""
    cosine = torch.tensor([1.0] + [-1.0] * 20)
    highest = float((cosine / 0.5).softmax(dim=0)[0])
    assert any("every pixel is a hard" in s for s in warned(0.95, highest, USUAL))


def test_indicators_are_asked_for_what_the_method_compares():
    by_confidence = USUAL._replace(by_confidence=True)
    assert any("no hard anchors" in s for s in warned(0.95, 0.1, by_confidence))
    assert not warned(0.95, 0.1, Thresholds())


@pytest.mark.parametrize("name", METHODS)
def test_thresholds_are_settings_of_the_methods(name):
    """Read by name: a setting that is renamed must be renamed there."""
    settings = METHODS[name]
    thresholds = Thresholds.of(settings)
    assert (thresholds.confidence is not None) == hasattr(settings, "confidence_threshold")
    assert (thresholds.hard is not None) == hasattr(settings, "hard_threshold")
    if name == "css":
        assert thresholds == Thresholds(0.95, 0.7, 0.8, False)


def test_hidden_masks_are_known_to_the_split_and_never_in_a_batch(tiny_folder):
    folder = load_dataset(tiny_folder)
    split = make_split(folder, "2", 0)
    assert {s.image for s in split.hidden} == {s.image for s in split.unlabeled} & {
        s.image for s in folder.train if s.mask is not None
    }
    assert len(split.hidden) == 2
    assert all(s.mask is None for s in split.unlabeled)
    assert "hidden" not in split.lists()
    images = TrainingImages(split.labeled, split.unlabeled, folder.classes)
    batches = TrainingBatches(images, Views(48, 32), 4, Key.of(0))
    hidden = {s.mask for s in split.hidden}
    for order in (batches.labeled, batches.unlabeled):
        assert not hidden & {sample.mask for sample in order.samples}


def test_the_sample_prefers_hidden_masks_and_is_bounded():
    def samples(kind, count, mask=False):
        return tuple(
            Sample(f"{kind}{i}", f"{kind}{i}", f"{kind}{i}.png" if mask else None)
            for i in range(count)
        )

    def choose(hidden, others, val, key=0):
        masked = samples("h", hidden, True)
        unlabeled = (*(s._replace(mask=None) for s in masked), *samples("u", others))
        split = Split((), unlabeled, samples("v", val, True), (), masked)
        return choose_sample(split, Key.of(key))

    assert len(choose(500, 500, 2000)) == 32
    assert all(s.mask for s in choose(500, 500, 2000))
    assert len(choose(500, 500, 2)) == 4
    assert len(choose(500, 500, 100)) == 20
    few = choose(3, 50, 50)
    assert [s.mask is not None for s in few] == [True] * 3 + [False] * 7
    assert len({s.name for s in few}) == 10
    assert choose(500, 5, 100) == choose(500, 5, 100)
    assert choose(500, 5, 100) != choose(500, 5, 100, key=1)
    assert len(choose(0, 2, 100)) == 2


CLASSES = Classes(NAMES, ((0, 0, 0), (200, 0, 0), (0, 200, 0)), "ids", (0, 1, 2))


def colors_of(picture):
    return {color for _, color in picture.convert("RGB").getcolors(10**6)}


def test_the_picture_of_a_sample_shows_what_differs(six_pixels):
    labels, _, truth = six_pixels
    maps = [m[0].numpy() for m in labels]
    image = torch.full((1, 6, 3), 77, dtype=torch.uint8).numpy()
    full = draw_pseudo_label_maps(PseudoLabelMaps("x/y", image, truth[0].numpy(), *maps), CLASSES)
    assert (77, 77, 77) in colors_of(full)
    assert {(230, 159, 0), (160, 0, 40)} <= colors_of(full)  # nearest right, neither right
    blind = draw_pseudo_label_maps(PseudoLabelMaps("x/y", image, None, *maps), CLASSES)
    assert (230, 159, 0) not in colors_of(blind)
    alone = [*maps[:2], None, None, maps[4]]
    assert (
        draw_pseudo_label_maps(PseudoLabelMaps("x/y", image, None, *alone), CLASSES).size
        == full.size
    )


@pytest.mark.slow
def test_figures_are_drawn_with_and_without_truth_and_spaces(six_pixels, tmp_path):
    labels, valid, truth = six_pixels
    colors = dict(zip(NAMES, CLASSES.colors, strict=True))
    full, blind = ({"step": 3, **tallied(labels, valid, t)} for t in (truth, None))
    one = labels._replace(representation_label=None, similarity=None)
    alone = {"step": 3, **tallied(one, valid, truth)}
    assert len(draw_pseudo_label_curves([full, {**full, "step": 5}], colors).axes) == 2
    assert len(draw_pseudo_label_curves([blind], colors).axes) == 1
    assert len(draw_pseudo_label_curves([alone], colors).axes[1].lines) == 2
    lines = draw_pseudo_label_curves([full], colors).axes[1].lines
    assert [line.get_ydata()[0] for line in lines][2] == pytest.approx(50)
    assert len(draw_plane(full["plane"]).axes) == 4  # each with its bar
    assert len(draw_plane(blind["plane"]).axes) == 2
    draw_plane(full["plane"]).savefig(tmp_path / "plane.png")


def test_a_warning_is_a_note_in_the_first_half_and_each_is_logged_once(log):
    validation = Validations(None, 5, None)
    for early, sentences in (
        (True, ["nothing is taught: 0 of 9"]),
        (True, ["nothing is taught: 1 of 9"]),
        (False, ["nothing is taught: 2 of 9", "all is hard"]),
        (False, ["nothing is taught: 3 of 9"]),
        (False, []),
        (False, ["all is hard"]),
    ):
        validation._warn(sentences, early)
    assert [(record.levelname, record.getMessage()) for record in log.records] == [
        (
            "INFO",
            "note: so far, nothing is taught: 0 of 9; this may pass, see the next validations",
        ),
        ("WARNING", "nothing is taught: 2 of 9"),
        ("WARNING", "all is hard"),
        ("WARNING", "all is hard"),
    ]


@pytest.fixture(scope="module")
def watched(tiny_folder, tmp_path_factory, pictures_drawn):
    with pictures_drawn():
        run = semiseg.train(tiny_folder, out=tmp_path_factory.mktemp("watched") / "run", **TINY)
    return run.folder


def numbers(folder):
    return json.loads((folder / "diagnostics" / "diagnostics.json").read_text())


@pytest.mark.slow
def test_a_training_leaves_numbers_curves_and_pictures(watched):
    record = numbers(watched)
    assert [look["step"] for look in record["validations"]] == [2, 4]
    assert len(record["sample"]) == 4
    last = record["validations"][-1]
    assert last["with_truth"] == 2
    assert last["used"] > 0
    assert last["quality"]["used"]["miou"] is not None
    with (watched / "metrics.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["val/miou_student"]]
    assert [float(r["pseudo/used"]) for r in rows] == pytest.approx(
        [look["used"] for look in record["validations"]]
    )
    assert float(rows[-1]["pseudo/iou_used"]) == pytest.approx(last["quality"]["used"]["miou"])
    pictures = sorted(p.name for p in (watched / "diagnostics").glob("*.png"))
    assert pictures == ["curves.png", "plane.png", *(f"sample{i}.png" for i in range(4))]
    for picture in (watched / "diagnostics").glob("*.png"):
        with Image.open(picture) as opened:
            assert min(opened.size) > 100


@pytest.mark.slow
def test_they_change_no_bit(watched, tiny_folder, tmp_path):
    run = semiseg.train(tiny_folder, out=tmp_path / "run", diagnostics=False, **TINY)
    assert not (run.folder / "diagnostics").exists()
    ours, theirs = (load_file(f / "model.safetensors") for f in (run.folder, watched))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.slow
def test_resuming_keeps_the_earlier_validations(watched, tiny_folder, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(watched, out)
    (out / "scores.json").unlink()
    shutil.rmtree(out / "diagnostics")
    newest_intact(out / "checkpoints")[0].unlink()
    semiseg.train(tiny_folder, out=out, resume=True, **TINY)
    assert numbers(out) == numbers(watched)
    assert (out / "metrics.csv").read_text() == (watched / "metrics.csv").read_text()


@pytest.mark.slow
def test_a_method_without_pseudo_labels_has_none(tiny_folder, tmp_path):
    own = METHODS["css"].values()
    words = {k: v for k, v in TINY.items() if k not in own}
    run = semiseg.train(tiny_folder, out=tmp_path / "run", **{**words, "method": "supervised"})
    assert not (run.folder / "diagnostics").exists()


@pytest.mark.slow
def test_images_of_several_sizes_without_any_mask(tmp_path, log):
    root = write_scenes(tmp_path / "data", labeled=2, unlabeled=2, val=1, size=(48, 64))
    write_scenes(tmp_path / "more", labeled=1, unlabeled=3, val=1, size=(64, 40))
    shutil.copy(tmp_path / "more" / "unlabeled" / "0002.jpg", root / "unlabeled" / "other.jpg")
    words = {**TINY, "labels": "all", "steps": 2, "validations": 1, "confidence_threshold": 0.999}
    run = semiseg.train(root, out=tmp_path / "run", **words)
    (look,) = numbers(run.folder)["validations"]
    assert look["images"] == 3
    assert look["quality"] is None
    assert look["disagreement"] is None
    assert "almost no pseudo-labels are used" in log.text
