"""Each script of `benchmarks/` runs for a few seconds, with tiny sizes."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL = ["--steps", 2, "--size", 48, "--threads", 1]
WORDS = {
    "adjustment": ["DATA", "RUN"],
    "binary": ["DATA", "--classes", "crop", "--out", "OUT"],
    "contrastive": ["--sides", 32, "--anchors", 4, "--draws", 300],
    "encoders": [
        *("DATA", "--out", "OUT", "--labels", 2, "--size", 48, "--steps", 2),
        *("--encoders", "lite0", "--methods", "supervised"),
    ],
    "factors": ["DATA", "--out", "OUT", "--only", "css", "--labels", 2, *SMALL],
    "first": ["--images", 20, "--crop", 64],
    "growth": ["--tiny", "--repeats", 1, "--plot", "OUT.png"],
    "inference": ["RUN", "DATA", "--images", 1, "--repeats", 1, "--large", 160, 120],
    "labels": ["RUN", "DATA"],
    "loader": ["--data", "DATA", "--size", 48, "--crop", 32, "--repeats", 1],
    "network": ["--ways", "linear", "--classes", 3, "--crop", 64, "--batch", 2, "--repeats", 1],
    "operations": ["--recipes", "voc-classic"],
    "parts": [
        *("--encoder", "lcnet_035", "--parts", "full", "last-2"),
        *("--crop", 64, "--repeats", 1),
    ],
    "step": ["--classes", 3, "--crop", 64, "--batch", 2, "--repeats", 2, "--weights", "none"],
    "suggest": ["DATA", "--out", "OUT", "--first", 2, "--more", 1, "--seeds", 0, *SMALL],
}
"""The command line of each script. DATA, RUN and OUT stand for folders."""

VIT = ["--encoder", "vit_tiny_patch16_224", "--encoder-training", "last-2", "--methods", "css"]
CALLS = [*WORDS.items(), ("step", [*WORDS["step"], *VIT])]

IN_A_PROCESS = ("contrastive", "first", "growth", "step")
"""Scripts that fork, or change the program while they measure it."""


def test_every_script_has_its_words():
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == set(WORDS)


@pytest.fixture
def folders(tiny_run, tiny_folder, tmp_path):
    """A run whose unlabeled images all have masks, its data, and a folder to write."""
    run = shutil.copytree(tiny_run("css"), tmp_path / "run")
    masked = {path.stem for path in (tiny_folder / "train" / "masks").iterdir()}
    unlabeled = run / "split" / "unlabeled.txt"
    names = [name for name in unlabeled.read_text().splitlines() if name in masked]
    unlabeled.write_text("".join(f"{name}\n" for name in names))
    return {"DATA": tiny_folder, "RUN": run, "OUT": tmp_path / "out", "OUT.png": tmp_path / "o.png"}


@pytest.mark.slow
@pytest.mark.parametrize(("script", "words"), CALLS, ids=[script for script, _ in CALLS])
def test_a_benchmark_prints_its_table(script, words, folders, tmp_path, monkeypatch, capsys):
    path = BENCHMARKS / f"{script}.py"
    words = [str(folders.get(word, word)) for word in words]
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    if script in IN_A_PROCESS:
        process = subprocess.run(
            [sys.executable, path, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert process.returncode == 0, process.stderr
        output = process.stdout
    else:
        monkeypatch.setattr(sys, "argv", [str(path), *words])
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        monkeypatch.chdir(tmp_path)
        runpy.run_path(str(path), run_name="__main__")
        output = capsys.readouterr().out
    assert any(character.isdigit() for character in output)
