"""The class weights are taken out of the released model's logits, as far as `val` gains by it."""

import json

import numpy as np
import pytest
import torch

import semiseg
from semiseg.engine import module as engine_module
from semiseg.engine import run_folder
from semiseg.evaluation.adjustment import STRENGTHS, offsets
from semiseg.evaluation.reading import Maps, labels, read
from semiseg.methods import METHODS
from semiseg.model.network import Network
from tests.test_sliding import TORCH

TINY = {"steps": 2, "batch": 2, "crop": 48, "size": 48, "looks": 2, "labels": "2", "workers": 0}


def test_offsets_take_the_logarithm_of_the_weights_out():
    weights = torch.tensor([0.5, 2.0, 0.0])
    found = offsets(weights, 3)
    assert tuple(found) == STRENGTHS
    assert torch.equal(found[0.0], torch.zeros(3))
    torch.testing.assert_close(found[1.0], torch.tensor([2.0, 0.5, 1.0]).log())
    torch.testing.assert_close(found[0.5], found[1.0] / 2)
    (alone,) = offsets(None, 3).items()
    assert alone[0] == 0
    assert torch.equal(alone[1], torch.zeros(3))


def test_adjusted_logits_are_those_of_a_network_that_learned_without_weights():
    """Two Gaussians, weights known: the Bayes classifier of the weighed world, adjusted by 1."""
    x = torch.linspace(-4, 4, 801)
    shares, weights = torch.tensor([0.9, 0.1]), torch.tensor([0.2, 5.0])
    density = torch.stack([-((x + 1) ** 2) / 2, -((x - 1) ** 2) / 2])
    weighed = density + (shares * weights).log()[:, None]
    plain = density + shares.log()[:, None]
    found = (weighed + offsets(weights, 2)[1.0][:, None]).softmax(0)
    torch.testing.assert_close(found, plain.softmax(0))
    assert not torch.equal(weighed.argmax(0), plain.argmax(0))


@pytest.mark.parametrize("arithmetic", [None, TORCH], ids=["numpy", "torch"])
def test_labels_are_those_of_adjusted_maps(arithmetic):
    rng = np.random.default_rng(0)
    maps = Maps(rng.normal(size=(2, 5, 15, 20)).astype(np.float32), None)
    added = np.concatenate([np.zeros((1, 5)), rng.normal(size=(3, 5))]).astype(np.float32)
    chosen = {} if arithmetic is None else {"arithmetic": arithmetic}
    found = labels(maps, 1, (60, 80), (121, 163), added, **chosen)
    assert found.dtype == np.uint8
    assert len({part.tobytes() for part in found}) == 4
    for part, offset in zip(found, added, strict=True):
        shifted = maps._replace(logits=maps.logits + offset.reshape(1, -1, 1, 1))
        whole = read(shifted, 1, (60, 80), (121, 163), **chosen).mask
        assert (part == whole).mean() > 0.9999  # but for ties of rounding
    assert np.array_equal(found[0], read(maps, 1, (60, 80), (121, 163), **chosen).mask)


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


def test_the_prior_of_representation_space_is_adjusted_as_the_logits_are():
    method = METHODS["css"](Network(3, weights="none"))
    method.class_shares = torch.tensor([0.7, 0.2, 0.1])
    method.class_weights = torch.tensor([0.5, 1.5, 3.5])
    whole = method.released_tensors(1.0)["similarity_prior"]
    torch.testing.assert_close(whole, 0.1 * method.class_shares.log())
    half = method.released_tensors(0.5)["similarity_prior"]
    counted = method.class_shares * method.class_weights.sqrt()
    torch.testing.assert_close(half, 0.1 * (counted / counted.sum()).log())


def everywhere(class_: int, classes: int) -> torch.Tensor:
    """What makes one class that of every pixel."""
    return 1000.0 * torch.nn.functional.one_hot(torch.tensor(class_), classes)


@pytest.mark.parametrize("method", ["supervised", "css"])
def test_what_is_best_on_val_is_released(method, tiny_folder, tmp_path, monkeypatch, capsys):
    """With strengths that each make one class everything, the scores tell which was taken."""

    def extreme(weights, classes):
        assert weights is not None
        return {0.0: torch.zeros(classes)} | {
            1.0 + c: everywhere(c, classes) for c in range(classes)
        }

    for place in (engine_module, run_folder):
        monkeypatch.setattr(place, "offsets", extreme)
    run = semiseg.train(tiny_folder, method=method, out=tmp_path / "run", lr=0.0, **TINY)
    checkpoint = max((run.folder / "checkpoints").glob("*.ckpt"), key=lambda f: f.stat().st_mtime)
    final = torch.load(checkpoint, weights_only=False)["looks"][-1]
    tried = final[run.scores["which"]]["adjusted"]
    best = max(tried, key=lambda one: one["miou"])
    assert run.scores["adjustment"] == {"strength": best["strength"], "without": tried[0]["miou"]}
    assert best["strength"] > 0
    assert run.scores["miou"]["released"] == best["miou"] > tried[0]["miou"]
    assert run.scores["miou"]["best"] >= best["miou"]
    assert run.scores["per_class"] == best["per_class"]
    found = semiseg.evaluate(run.folder, tiny_folder, accelerator="cpu")
    assert found["miou"] == pytest.approx(best["miou"])
    assert found["per_class"] == best["per_class"]
    about = json.loads((run.folder / "model.json").read_text())
    assert about["adjustment"] == run.scores["adjustment"]
    assert f"{100 * best['strength']:.0f} % of the class weights" in capsys.readouterr().err
    taken = {name for name, values in found["per_class"].items() if values["recall"] == 100}
    assert list(found["per_class"]).index(taken.pop()) == best["strength"] - 1


def test_earlier_looks_and_unweighed_losses_try_nothing(tiny_folder, tmp_path, capsys):
    run = semiseg.train(
        tiny_folder, method="supervised", class_weights="none", out=tmp_path / "run", **TINY
    )
    checkpoint = max((run.folder / "checkpoints").glob("*.ckpt"), key=lambda f: f.stat().st_mtime)
    first, last = torch.load(checkpoint, weights_only=False)["looks"]
    assert "adjusted" not in first["student"]
    assert [one["strength"] for one in last["student"]["adjusted"]] == [0.0]
    assert run.scores["adjustment"]["strength"] == 0
    assert "class weights are taken" not in capsys.readouterr().err
