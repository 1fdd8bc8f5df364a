"""Mixed precision: what a training computes with bfloat16, on a CPU."""

from __future__ import annotations

import csv
import math

import pytest
import torch
from tiny_vit import TINY_VIT

import semiseg
from semiseg.config.network import LIGHT_ENCODER
from semiseg.model.network import upsample
from semiseg.training import fitting


def losses(run):
    with (run.folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("train/loss")]
    names = ("supervised", "unsupervised", "contrastive")
    return [{name: float(row[f"train/{name}"]) for name in names} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [LIGHT_ENCODER, TINY_VIT])
def test_a_training_with_bfloat16_has_nearly_the_same_losses(
    encoder, tiny_folder, tiny_settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(fitting, "LOG_EVERY", 1)
    settings = {**tiny_settings, "encoder": encoder, "steps": 2, "validations": 1}
    settings |= {"diagnostics": False, "supervised_warmup": 0.0, "confidence_threshold": 0.1}
    settings["method"] = "css"
    runs = {
        precision: semiseg.train(
            tiny_folder, out=tmp_path / precision, precision=precision, **settings
        )
        for precision in ("32-true", "bf16-mixed")
    }
    exact, mixed = (losses(run) for run in runs.values())
    assert len(exact) == 2
    for ours, theirs in zip(mixed, exact, strict=True):
        assert all(math.isfinite(value) for value in ours.values())
        assert ours["supervised"] == pytest.approx(theirs["supervised"], rel=0.1)


def test_losses_get_logits_in_single_precision():
    logits = torch.randn(1, 3, 4, 4)
    half = logits.bfloat16()
    large = upsample(half, (16, 16), (16, 16))
    assert torch.equal(large, upsample(half.float(), (16, 16), (16, 16)))
    assert upsample(logits.double(), (16, 16), (16, 16)).dtype == torch.float64
