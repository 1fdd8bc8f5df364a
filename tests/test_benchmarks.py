"""Each script of `benchmarks/` runs for a few seconds, with tiny sizes."""

from __future__ import annotations

import json
import os
import re
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
    "differences": ["RUN", "RUN", "DATA"],
    "encoders": [
        *("DATA", "--out", "OUT", "--labels", 2, "--size", 48, "--steps", 2),
        *("--encoders", "lite0", "--methods", "supervised"),
    ],
    "factors": ["DATA", "--out", "OUT", "--only", "css", "--labels", 2, *SMALL],
    "first": ["--images", 20, "--crop", 64, "--repeats", 1],
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
    "screen": [
        *("ROOT", "--sets", "SET", "--seeds", 0, "--variants", "supervised,css"),
        *("--out", "OUT", "--rows", "OUT/rows.jsonl", "--units", 3, "--size", 48),
    ],
    "step": [
        *("--methods", "supervised", "css", "--classes", 3, "--encoder", "lcnet_035"),
        *("--crop", 64, "--batch", 2, "--repeats", 2, "--weights", "none"),
    ],
    "suggest": ["DATA", "--out", "OUT", "--first", 2, "--more", 1, "--seeds", 0, *SMALL],
}
"""The command line of each script. DATA, ROOT, RUN and OUT stand for folders, SET for a set."""

VIT = ["--encoder", "vit_tiny_patch16_224", "--encoder-training", "last-2", "--methods", "css"]

FORKED = ("contrastive", "first", "growth", "step")
"""Scripts that fork, or change the program while they measure it."""

FORKING = """
import json, os, runpy, sys
import semiseg.training.trainer  # imported once, for all scripts

failed = []
for path, words in json.loads(sys.stdin.read()):
    pid = os.fork()
    if pid == 0:
        sys.argv = [path, *words]
        sys.path.insert(0, os.path.dirname(path))
        runpy.run_path(path, run_name="__main__")
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        failed.append((path, words))
sys.exit(f"failed: {failed}" if failed else 0)
"""
"""A program that runs each of several scripts in a process of its own."""


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
    return {
        "DATA": tiny_folder,
        "ROOT": tiny_folder.parent,
        "SET": f"{tiny_folder.name}:2",
        "RUN": run,
        "OUT": tmp_path / "out",
    }


@pytest.mark.slow
@pytest.mark.parametrize("script", [script for script in WORDS if script not in FORKED])
def test_a_benchmark_prints_its_table(script, folders, tmp_path, monkeypatch, capsys):
    path = BENCHMARKS / f"{script}.py"
    words = [str(folders.get(word, word)) for word in WORDS[script]]
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", [str(path), *words])
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    output = capsys.readouterr().out
    assert any(character.isdigit() for character in output)


@pytest.mark.slow
def test_the_benchmarks_that_measure_processes_print_their_tables(tmp_path):
    calls = [(script, WORDS[script]) for script in FORKED]
    calls.append(("step", [*WORDS["step"], *VIT]))
    picture = str(tmp_path / "growth.png")
    scripts = [
        (str(BENCHMARKS / f"{name}.py"), [picture if w == "OUT.png" else str(w) for w in words])
        for name, words in calls
    ]
    process = subprocess.run(
        [sys.executable, "-c", FORKING],
        input=json.dumps(scripts),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "SEMISEG_CACHE": str(tmp_path / "cache")},
    )
    assert process.returncode == 0, process.stderr
    tables = re.findall(r"^\|[-:| ]+\|\n\|.*\d", process.stdout, re.MULTILINE)
    assert len(tables) >= len(calls), process.stdout
    rows = re.findall(
        r"^\| (\w+) \| 3 \|.*\| ([\d.]+) \| ([\d.]+) \|$", process.stdout, re.MULTILINE
    )
    assert [name for name, *_ in rows] == ["supervised", "css", "css"]
    assert [float(ratio) for *_, ratio in rows][::2] == [1, 1]
    # A step holds its own passes, and more.
    assert all(float(own) > 0.5 for _, own, _ in rows)
