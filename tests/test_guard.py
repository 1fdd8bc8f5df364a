"""Steps whose loss or gradient is not finite: skipped, counted, and in the end given up."""

import csv
import json
import math

import pytest
import torch
from safetensors.torch import load_file

import semiseg
from semiseg.config.methods import SupervisedSettings
from semiseg.methods.base import Method
from semiseg.training.checkpoint import Checkpoints, newest_intact
from semiseg.training.guard import Guard
from semiseg.training.module import TrainingModule

TINY = {
    **{"weights": "none", "encoder": "lcnet_035", "decoder": "fpn", "size": 48, "crop": 32},
    **{"batch": 2, "steps": 6, "validations": 3, "workers": 0, "accelerator": "cpu", "threads": 1},
    **{"method": "css", "anchors": 8, "supervised_warmup": 0.0, "diagnostics": False},
}


def train(folder, out, **settings):
    return semiseg.train(folder, out=out, **{**TINY, **settings})


@pytest.fixture
def spoil(monkeypatch):
    """Makes some micro batches bad, in the images or in the gradient alone."""

    def choose(*numbers, where="image"):
        transfer = TrainingModule.on_after_batch_transfer
        after = TrainingModule.on_after_backward
        counts = {}

        def images(self, batch, dataloader_idx):
            batch = transfer(self, batch, dataloader_idx)
            counts["number"] = batch.number
            if where == "image" and batch.number in numbers:
                batch.labeled.image[0, :, 3, 3] = math.inf
            return batch

        def gradient(self):
            after(self)
            if where == "gradient" and counts["number"] in numbers:
                next(self.method.student.parameters()).grad[0] = math.nan

        monkeypatch.setattr(TrainingModule, "on_after_batch_transfer", images)
        monkeypatch.setattr(TrainingModule, "on_after_backward", gradient)

    return choose


@pytest.fixture
def states(monkeypatch):
    """After each step: the method's tensors, the optimizer's, and the learning rate."""
    found = []

    def note(self, trainer, module, outputs, batch, batch_idx):
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            tensors = {k: v.clone() for k, v in module.state_dict().items()}
            optimizer = module.optimizers().state_dict()
            for number, values in optimizer["state"].items():
                tensors |= {f"{number} {k}": torch.as_tensor(v).clone() for k, v in values.items()}
            found.append((tensors, optimizer["param_groups"][0]["lr"]))
        real(self, trainer, module, outputs, batch, batch_idx)

    real = Checkpoints.on_train_batch_end
    monkeypatch.setattr(Checkpoints, "on_train_batch_end", note)
    return found


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accumulate", "bad", "where", "optimizer"),
    [(1, 2, "image", "sgd"), (1, 2, "gradient", "adamw"), (2, 4, "image", "adamw")],
)
def test_a_step_that_is_not_finite_changes_nothing_but_the_rate(
    tiny_folder, tmp_path, spoil, states, log, accumulate, bad, where, optimizer
):
    spoil(bad, where=where)
    run = train(tiny_folder, tmp_path / "run", accumulate=accumulate, optimizer=optimizer)
    assert run.scores.skipped_steps == 1
    (second, rate), (third, lower), (fourth, _) = states[1:4]
    assert same(second, third)
    assert not same(third, fourth)
    assert lower < rate
    assert "step 3 is skipped" in log.text
    assert all(v.isfinite().all() for v in load_file(run.folder / "model.safetensors").values())


@pytest.mark.slow
def test_draws_and_batches_move_on(tiny_folder, tmp_path, spoil, states):
    """A bad first step: the second one starts from the same weights with its own batch."""
    train(tiny_folder, tmp_path / "whole")
    whole = list(states)
    states.clear()
    spoil(0)
    train(tiny_folder, tmp_path / "run")
    assert not same(states[1][0], whole[0][0])
    assert [rate for _, rate in states] == [rate for _, rate in whole]


@pytest.mark.slow
def test_the_third_in_a_row_ends_it_with_the_files_and_a_sound_checkpoint(
    tiny_folder, tmp_path, spoil
):
    spoil(0, 2, 3, 4)
    with pytest.raises(semiseg.SemisegError) as error:
        train(tiny_folder, tmp_path / "run")
    assert "the last of them step 5." in str(error.value)
    names = str(error.value).split("Its images: ")[1].split(". Check")[0].split()
    assert len(names) == 4
    assert all(tiny_folder.as_posix() in name for name in names)
    checkpoint, step = newest_intact(tmp_path / "run" / "checkpoints")
    assert step == 4
    state = torch.load(checkpoint, weights_only=True)
    assert state["guard"] == {"skipped": 3, "in_a_row": 2}
    assert all(v.isfinite().all() for v in state["state_dict"].values())
    # It goes on from there, still counting.
    with pytest.raises(semiseg.SemisegError, match="the last of them step 5"):
        semiseg.train(tiny_folder, out=tmp_path / "run", resume=True)


@pytest.mark.slow
def test_mended_it_goes_on_and_the_count_is_kept(tiny_folder, tmp_path, spoil):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("on_after_batch_transfer", "on_after_backward"):
            patch.setattr(TrainingModule, name, getattr(TrainingModule, name))
        spoil(0, 2, 3, 4)
        with pytest.raises(semiseg.SemisegError):
            train(tiny_folder, tmp_path / "run")
    run = semiseg.train(tiny_folder, out=tmp_path / "run", resume=True)
    assert run.scores.skipped_steps == 3
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert {row["step"] for row in csv.DictReader(file)} >= {"2", "4", "6"}
    assert json.loads((run.folder / "scores.json").read_text())["skipped_steps"] == 3


@pytest.mark.slow
def test_the_count_stands_in_the_metrics(tiny_folder, tmp_path, spoil):
    spoil(3)
    run = train(tiny_folder, tmp_path / "run", steps=14)
    with (run.folder / "metrics.csv").open() as file:
        counts = [row["skipped_steps"] for row in csv.DictReader(file) if row["train/loss"]]
    assert counts[-1] == "1.0"


class Line(Method):
    """A method whose loss is a line's, with a buffer that each loss changes."""

    def __init__(self):
        super().__init__(torch.nn.Linear(2, 1), SupervisedSettings())
        self.register_buffer("sum", torch.zeros(()))

    def compute(self, labeled, unlabeled, step):
        raise NotImplementedError


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    ],
    ids=["sgd", "adamw"],
)
def test_beside_a_grad_scaler(optimizer):
    """It leaves out what is not finite; only a loss is a fault, for it searches its scale."""
    torch.manual_seed(0)
    method = Line()
    guard = Guard(method)
    optimizer = optimizer(method.student.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100)

    def step(factor):
        guard.begin()
        optimizer.zero_grad()
        loss = (method.student(torch.ones(1, 2)) ** 2).sum() * factor
        method.sum += loss.detach() * 0 + 1  # or NaN
        scaler.scale(guard.watch(loss)).backward()
        if not getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)
        guard.check(scaled=True)
        scaler.step(optimizer)
        scaler.update()
        return method.student.weight.detach().clone(), method.sum.item()

    start = method.student.weight.detach().clone()
    weight, before = step(1e20)  # the scaled gradient is too large
    assert torch.equal(weight, start)
    assert not guard.flawed
    for factor in (math.nan, math.inf):
        weight, total = step(factor)
        assert torch.equal(weight, start)
        assert guard.flawed
        assert total == before
    weight, total = step(1e-6)
    assert not torch.equal(weight, start)
    assert weight.isfinite().all()
    assert total != before
    assert (guard.skipped, guard.in_a_row) == (2, 0)
