"""The same seed gives the same bits on a CPU, whatever does not belong to the training.

Loader processes and looks: test_training.py. Diagnostics: test_diagnostics.py. Kept images:
test_pixel_cache.py. Killed and resumed: test_resume.py and faults/.
"""

import json
import os
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

import semiseg
from semiseg.cli import main

TINY = {
    **{"weights": "none", "encoder": "lcnet_035", "size": 48, "crop": 32, "batch": 2, "steps": 4},
    **{"validations": 2, "workers": 0, "accelerator": "cpu", "threads": 1, "diagnostics": False},
    **{"anchors": 8, "negatives": 8, "supervised_warmup": 0.0},
}


def bits(run):
    return (run / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def reference(tiny_folder, tmp_path_factory):
    return semiseg.train(
        tiny_folder, out=tmp_path_factory.mktemp("same") / "run", method="css", **TINY
    ).folder


@pytest.mark.slow
def test_what_was_drawn_before_and_what_is_logged_do_not_matter(
    reference, tiny_folder, tmp_path, monkeypatch
):
    random.seed(9)
    np.random.seed(9)  # noqa: NPY002
    torch.manual_seed(9)
    torch.rand(3)
    for module in ("fitting", "callbacks"):
        monkeypatch.setattr(f"semiseg.training.{module}.LOG_EVERY", 1)
    run = semiseg.train(tiny_folder, out=tmp_path / "run", method="css", **TINY)
    assert bits(run.folder) == bits(reference)
    rows = [len((f / "metrics.csv").read_text().splitlines()) for f in (run.folder, reference)]
    assert rows[0] > rows[1]


@pytest.mark.slow
def test_another_process_with_the_data_in_another_place(reference, tiny_folder, tmp_path):
    """Files in another order and of another age, hashes of another seed, no kept image."""
    for file in sorted((p for p in tiny_folder.rglob("*") if p.is_file()), reverse=True):
        copy = tmp_path / "moved" / "data" / file.relative_to(tiny_folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        os.utime(copy, (1e9, 1e9))
    settings = [f"--{k}={'true' if v is True else v}" for k, v in TINY.items()]
    words = [sys.executable, "-m", "semiseg", "train", tmp_path / "moved" / "data", *settings]
    process = subprocess.run(
        [*words, "--method", "css", "--out", tmp_path / "run"],
        env={**os.environ, "PYTHONHASHSEED": "77", "SEMISEG_CACHE_MB": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert bits(tmp_path / "run") == bits(reference)


@pytest.mark.slow
def test_config_yaml_repeats_a_run_of_many_settings(tiny_folder, tmp_path):
    settings = {
        **{"labels": "2", "seed": 3, "split_seed": 1, "accumulate": 2, "optimizer": "sgd"},
        **{"lr": 0.02, "lr_warmup": 0.25, "weight_decay": 1e-3, "class_weights": "none"},
        **{"ohem": 0.5, "dice": 0.3, "rare_crops": 0.5, "scale": (0.5, 1.25), "decoder": "fpn"},
        **{"photometry": "paper", "confidence_threshold": 0.3, "prototype_momentum": 0.9},
    }
    first, again = tmp_path / "first", tmp_path / "again"
    semiseg.train(tiny_folder, method="css", out=first, **{**TINY, **settings})
    main(["train", str(tiny_folder), "--config", str(first / "config.yaml"), "--out", str(again)])
    assert bits(again) == bits(first)
    assert (again / "metrics.csv").read_text() == (first / "metrics.csv").read_text()
    ours, theirs = (yaml.safe_load((f / "config.yaml").read_text()) for f in (again, first))
    assert {k: v for k, v in ours.items() if k != "out"} == {
        k: v for k, v in theirs.items() if k != "out"
    }
    scores = [json.loads((f / "scores.json").read_text()) for f in (again, first)]
    assert scores[0]["split"] == scores[1]["split"]
