"""Each method trains in two processes, and resumes to the same bits.

Starting two processes costs more than training a method for a few steps. So one pair trains all
methods, and a second pair resumes all of them from what a kill leaves behind: the run folder as it
was after its first checkpoint. Kills at any moment are the subject of `tests/faults`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_methods import one_of_each

from semiseg.config.methods import METHODS
from semiseg.training.checkpoint import newest_intact

SETTINGS = {
    **{"weights": "none", "encoder": "lcnet_035", "size": 32, "crop": 32, "batch": 4, "steps": 4},
    **{"validations": 2, "labels": "2", "workers": 0, "threads": 1, "accelerator": "cpu"},
    **{"devices": 2, "diagnostics": False},
}
TRAIN = """
import json, sys
import semiseg

data, root, runs = json.loads(sys.argv[1])
for name, settings in runs.items():
    try:
        semiseg.train(data, out=f"{root}/{name}", **settings)
    except SystemExit as end:  # the second process writes no release
        assert end.code == 0, end
"""


def train(data: Path, root: Path, runs: dict[str, dict]) -> None:
    """Train several runs, one after another, in one pair of gloo processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in ("0", "1"):
        environment = {
            **{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
            **{"GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "methods", "MASTER_ADDR": "127.0.0.1"},
            **{"MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        }
        words = [sys.executable, "-c", TRAIN, json.dumps([str(data), str(root), runs])]
        processes.append(
            subprocess.Popen(
                words,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, **environment},
            )
        )
    try:
        outputs = [process.communicate(timeout=1800)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, outputs, strict=True):
        assert process.returncode == 0, text


def own(name: str) -> dict[str, object]:
    """The method by its name; so little trained a network is sure of nothing.

    The last stage has two steps or more, and so two checkpoints.
    """
    sure = hasattr(METHODS[name], "confidence_threshold")
    steps = max(SETTINGS["steps"], round(2 / METHODS[name].shares_of_stages[-1]))
    return {"method": name, "steps": steps, **({"confidence_threshold": 0.0} if sure else {})}


@pytest.fixture(scope="module")
def bits(tiny_folder, tmp_path_factory, needed_settings):
    """The released weights and the scores of each method, trained at once and resumed."""
    root = tmp_path_factory.mktemp("methods")
    runs = {
        name: {
            key: str(value) if isinstance(value, Path) else value
            for key, value in {**SETTINGS, **own(name), **needed_settings(name)}.items()
        }
        for name in one_of_each()
    }
    train(tiny_folder, root, runs)
    whole = {name: results(root / name) for name in runs}
    for name in runs:
        for file in ("scores.json", "model.safetensors", "model.json"):
            (root / name / file).unlink()
        newest_intact(root / name / "checkpoints")[0].unlink()
        assert newest_intact(root / name / "checkpoints") is not None, name
    train(tiny_folder, root, {name: {"resume": True} for name in runs})
    return {name: (whole[name], results(root / name)) for name in runs}


def results(run: Path) -> tuple[bytes, dict[str, object]]:
    """The released weights, and all scores that do not hold a time."""
    scores = json.loads((run / "scores.json").read_text())
    kept = {key: value for key, value in scores.items() if key not in ("seconds", "timing")}
    return (run / "model.safetensors").read_bytes(), kept


@pytest.mark.distributed
@pytest.mark.parametrize("name", one_of_each())
def test_a_method_resumes_to_the_same_bits_in_two_processes(bits, name):
    whole, resumed = bits[name]
    assert resumed == whole
