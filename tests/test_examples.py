"""Each example runs with tiny sizes, and does what it says."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
TINY = {
    **{"weights": "none", "encoder": "lcnet_035", "size": 48, "crop": 32, "batch": 2, "steps": 2},
    **{"validations": 1, "workers": 0, "threads": 1, "accelerator": "cpu", "diagnostics": False},
}


def example(name: str) -> Callable:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_css_learns_in_a_loop_of_one_s_own():
    losses = example("css_in_your_loop")(steps=8, size=32)
    assert len(losses) == 8
    assert min(losses[-3:]) < losses[0]


def test_two_students_learn_in_a_loop_of_one_s_own():
    assert 0.5 < example("two_students")(steps=12, size=32) < 1


@pytest.mark.programs
@pytest.mark.slow
def test_a_consistency_method_trains_and_predicts(tmp_path):
    scores = example("consistency")(tmp_path, TINY)
    assert list(scores) == ["supervised", "unimatch", "unimatch, threshold 0.8"]
    assert all(score is not None for score in scores.values())


@pytest.mark.programs
@pytest.mark.slow
def test_students_learn_from_the_labels_of_the_round_before(tmp_path, capsys):
    scores = example("stored_labels")(tmp_path, TINY, rounds=1)
    assert len(scores) == 2
    assert "round 1: 28 images have stored labels" in capsys.readouterr().out


@pytest.mark.programs
@pytest.mark.slow
def test_a_comparison_gives_gains_over_supervised(tmp_path, capsys):
    gains = example("comparison")(tmp_path, TINY, methods="supervised,css", seeds="0")
    assert "css" in gains
    assert math.isfinite(gains["css"])
    assert "failed" not in capsys.readouterr().out


def test_the_readme_lists_each_example_and_none_is_long():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert "(examples/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"({path.name})" in listed
        lines = path.read_text(encoding="utf-8").splitlines()
        longest = 300 if path.name == "onnx_program.py" else 50  # that one is for production
        assert sum(1 for line in lines if line.strip()) <= longest, path.name
