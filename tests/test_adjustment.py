"""The class weights are taken out of the released model's logits, as far as `val` gains by it."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import semiseg
from semiseg.core.errors import RunError
from semiseg.core.scores import Adjustment
from semiseg.data.formats.masks import Classes
from semiseg.data.image_lists import read_list
from semiseg.data.reader import load_dataset
from semiseg.evaluation.choice import cross_fit
from semiseg.evaluation.logit_adjustment import STRENGTHS, offset, offsets
from semiseg.evaluation.metrics import scores as mask_scores
from semiseg.inference.card import model_card
from semiseg.inference.reading import Maps, labels, read
from semiseg.losses.class_balance import root_weights, weighted_cross_entropy
from semiseg.model.metadata import ModelMetadata
from semiseg.model.network import Network
from semiseg.model.release import LOGIT_OFFSETS, Release, load_release, save_release, transfer
from semiseg.scenes.draw import write_scenes
from semiseg.training import release as release_module
from semiseg.training import validation as validation_module
from semiseg.training.checkpoint import newest_intact
from semiseg.training.data import count_pixels
from semiseg.training.validation import Outcome
from tests.test_sliding import TORCH

TINY = {"steps": 2, "batch": 2, "crop": 48, "size": 48, "validations": 2, "labels": "2"}
TINY |= {"workers": 0, "encoder": "lcnet_035", "weights": "none"}


def test_offsets_take_the_logarithm_of_the_weights_out():
    weights = torch.tensor([0.5, 2.0, 0.0])
    adjustments = offsets(weights, 3)
    assert tuple(adjustments) == STRENGTHS
    assert torch.equal(adjustments[0.0], torch.zeros(3))
    torch.testing.assert_close(adjustments[1.0], torch.tensor([2.0, 0.5, 1.0]).log())
    torch.testing.assert_close(adjustments[0.5], adjustments[1.0] / 2)
    (alone,) = offsets(None, 3).items()
    assert alone[0] == 0
    assert torch.equal(alone[1], torch.zeros(3))


def test_adjusted_logits_are_those_that_a_loss_without_weights_would_teach():
    """One logit for each class, fitted by the weighted loss on pixels that are all alike."""
    target = torch.tensor([0] * 8 + [1] * 2).view(1, 1, 10)
    weights = torch.tensor([0.5, 3.0])
    logits = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=50)

    def loss():
        optimizer.zero_grad()
        value = weighted_cross_entropy(logits.view(1, 2, 1, 1).expand(1, 2, 1, 10), target, weights)
        value.backward()
        return value

    optimizer.step(loss)
    assert logits.softmax(0)[1] > 0.5  # the rare class, at each of the pixels
    plain = (logits + offset(weights, 2, 1.0)).softmax(0)
    torch.testing.assert_close(plain, torch.tensor([0.8, 0.2]), rtol=1e-3, atol=1e-3)


def test_a_class_that_is_predicted_by_mistake_alone_does_not_decide():
    """Without it in the prediction, all classes that are there are worse."""
    names = ("a", "b", "never")
    before = mask_scores(torch.tensor([[90, 5, 5], [10, 85, 5], [0, 0, 0]]), names)
    after = mask_scores(torch.tensor([[88, 12, 0], [15, 85, 0], [0, 0, 0]]), names)
    assert after["miou"] < before["miou"]


@pytest.mark.parametrize("arithmetic", [None, TORCH], ids=["numpy", "torch"])
def test_labels_are_those_of_adjusted_maps(arithmetic):
    rng = np.random.default_rng(0)
    maps = Maps(rng.normal(size=(2, 5, 15, 20)).astype(np.float32), None)
    added = np.concatenate([np.zeros((1, 5)), rng.normal(size=(3, 5))]).astype(np.float32)
    options = {} if arithmetic is None else {"arithmetic": arithmetic}
    result = labels(maps, 1, (60, 80), (121, 163), added, **options)
    assert result.dtype == np.uint8
    assert len({part.tobytes() for part in result}) == 4
    for part, shift in zip(result, added, strict=True):
        shifted = maps._replace(logits=maps.logits + shift.reshape(1, -1, 1, 1))
        whole = read(shifted, 1, (60, 80), (121, 163), **options).mask
        assert (part == whole).mean() > 0.9999  # but for ties of rounding
    assert np.array_equal(result[0], read(maps, 1, (60, 80), (121, 163), **options).mask)


@pytest.mark.parametrize("heads", ["shared", "paper"])
def test_a_network_s_logits_are_shifted_and_nothing_else(heads):
    network = Network(3, weights="none", heads=heads).eval()
    network.add_representation_head(8)
    image = torch.rand(1, 3, 64, 64)
    shift = torch.tensor([1.0, -2.0, 0.5])
    with torch.no_grad():
        before = network(image)
        network.add_to_logits(shift)
        after = network(image)
    torch.testing.assert_close(after.logits, before.logits + shift.view(1, 3, 1, 1))
    assert torch.equal(after.representation, before.representation)


def test_the_prior_of_representation_space_is_adjusted_as_the_logits_are(tiny_method):
    method = tiny_method("css")
    method.class_shares = torch.tensor([0.7, 0.2, 0.1])
    method.class_weights = torch.tensor([0.5, 1.5, 3.5])
    whole = method.released_tensors(1.0)["similarity_prior"]
    torch.testing.assert_close(whole, 0.1 * method.class_shares.log())
    half = method.released_tensors(0.5)["similarity_prior"]
    weighted = method.class_shares * method.class_weights.sqrt()
    torch.testing.assert_close(half, 0.1 * (weighted / weighted.sum()).log())


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_class_that_no_label_shows_spoils_no_strength(strength, tiny_method):
    method = tiny_method("css")
    method.class_shares = torch.tensor([0.8, 0.2, 0.0])
    method.class_weights = torch.tensor([0.8, 1.8, 0.0])
    prior = method.released_tensors(strength)["similarity_prior"]
    assert prior.isfinite().all()
    torch.testing.assert_close(prior[2], 0.1 * torch.tensor(1e-4).log())
    assert offset(method.class_weights, 3, strength).isfinite().all()


def everywhere(class_: int, classes: int) -> torch.Tensor:
    """What makes one class that of every pixel."""
    return 1000.0 * torch.nn.functional.one_hot(torch.tensor(class_), classes)


@pytest.fixture(scope="module")
def many_scenes(tmp_path_factory):
    """A data folder with enough images of val for a choice on each half."""
    root = tmp_path_factory.mktemp("adjustment") / "data"
    return write_scenes(root, labeled=3, unlabeled=2, val=8, size=(48, 64))


def outcome_of(run):
    content = torch.load(newest_intact(run / "checkpoints")[0], weights_only=True)
    return Outcome.restored(content["outcome"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["supervised", "css"])
def test_what_val_chooses_is_released(method, tiny_method, many_scenes, tmp_path, monkeypatch, log):
    """With strengths that each make one class everything, the scores tell which was taken."""

    def extreme(weights, classes, strength):
        if weights is None or not strength:
            return torch.zeros(classes)
        return everywhere(round(10 * strength) - 1, classes)

    def all_of_them(weights, classes):
        tried = [0.0] if weights is None else [0.0, *((1 + c) / 10 for c in range(classes))]
        return {strength: extreme(weights, classes, strength) for strength in tried}

    monkeypatch.setattr(release_module, "offset", extreme)
    monkeypatch.setattr(validation_module, "offsets", all_of_them)
    run = semiseg.train(many_scenes, method=method, out=tmp_path / "run", lr=0.0, **TINY)
    text, scores = log.text, run.scores
    counts = outcome_of(run.folder).counts
    choice, sums = cross_fit(counts, (run.folder / "split" / "val.txt").read_text().split())
    assert scores.choice == choice
    assert choice.images == 8
    chosen = counts.candidates.index(choice.chosen)
    assert scores.which == choice.chosen.network
    plain = counts.candidates.index(replace(choice.chosen, strength=0.0))
    assert scores.adjustment == Adjustment(choice.chosen.strength, counts.score(plain))
    assert choice.chosen.strength > 0
    assert scores.miou.best >= choice.best_miou >= choice.miou > counts.score(plain)
    assert scores.miou.released == sums.scores(list(scores.per_class))["miou"]
    words = f"{100 * choice.chosen.strength:.0f} % of the class weights"
    assert f"the released model is the {scores.which} with {words} subtracted" in text
    assert words in semiseg.report(run.folder).path.read_text()
    evaluation = semiseg.evaluate(run.folder, many_scenes, accelerator="cpu")
    # One class everywhere: no pixel is near a tie.
    whole = counts.sums(chosen, counts.images).scores(list(scores.per_class))
    assert evaluation.to_dict()["per_class"] == whole["per_class"]
    assert evaluation.shapes == scores.shapes
    with (run.folder / "confusion.csv").open() as file:
        rows = [[int(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]]
    assert mask_scores(torch.tensor(rows), list(scores.per_class)) == whole
    release = load_release(run.folder)
    assert release.metadata.adjustment == scores.adjustment
    assert release.metadata.choice == choice
    assert words in model_card(release.metadata)
    for name in ("scores.json", "model.json", "model.safetensors", "confusion.csv"):
        (run.folder / name).unlink()
    again = semiseg.train(many_scenes, out=run.folder, resume=True).scores
    assert replace(again, seconds=scores.seconds, timing=scores.timing) == scores
    if method == "css":
        weights = release.tensors["similarity_prior"]
        assert not torch.equal(
            weights, unadjusted_prior(tiny_method("css"), run.folder, many_scenes)
        )


def unadjusted_prior(method, run, data):
    """The prior of a css run as it was in the training."""
    folder = load_dataset(data)
    pixels = count_pixels(
        read_list(run / "split" / "labeled.txt", folder.train), folder.pixels, len(folder.classes)
    )
    method.class_shares = torch.tensor(pixels) / sum(pixels)
    method.class_weights = root_weights(pixels)
    return method.released_tensors()["similarity_prior"]


@pytest.mark.slow
def test_without_weights_nothing_is_tried(tiny_folder, tmp_path, log):
    run = semiseg.train(
        tiny_folder, method="supervised", class_weights="none", out=tmp_path / "run", **TINY
    )
    assert {one.strength for one in outcome_of(run.folder).counts.candidates} == {0.0}
    assert run.scores.adjustment.strength == 0
    assert "class weights" not in log.text


def test_a_new_training_starts_without_the_adjustment(tmp_path):
    """Whose loss weighs the classes anew."""
    classes = Classes(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)), "ids", (0, 1, 2))
    network = Network(3, "lcnet_035", "fpn", weights="none")
    before = network.get_parameter("logit_head.bias").clone()
    added = torch.tensor([1.0, -1.0, 0.5])
    network.add_to_logits(added)
    metadata = ModelMetadata(network=network.spec, classes=classes, size=64)
    save_release(tmp_path, Release(network, {LOGIT_OFFSETS: added}, metadata))
    student = Network(3, "lcnet_035", "fpn", weights="none")
    transfer(load_release(tmp_path), student, ("c", "b", "new"))
    torch.testing.assert_close(student.get_parameter("logit_head.bias")[:2], before[[2, 1]])


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [0.0, float("nan"), 0.0]], ids=["length", "nan"])
def test_offsets_of_a_stranger_are_checked(tmp_path, wrong):
    classes = Classes(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)), "ids", (0, 1, 2))
    network = Network(3, "lcnet_035", "fpn", weights="none")
    metadata = ModelMetadata(network=network.spec, classes=classes, size=64)
    save_release(tmp_path, Release(network, {LOGIT_OFFSETS: torch.tensor(wrong)}, metadata))
    with pytest.raises(RunError, match="logit_offsets"):
        load_release(tmp_path)


@pytest.mark.slow
def test_the_card_of_a_model_without_an_adjustment_says_nothing_of_it(reported, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(reported.run, run)
    content = json.loads((run / "model.json").read_text())
    del content["adjustment"]
    (run / "model.json").write_text(json.dumps(content))
    assert "adjusted" not in model_card(load_release(run).metadata)
