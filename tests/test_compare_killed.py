"""A comparison that is killed in the middle of a run goes on to the same bits."""

import signal
import subprocess
import sys

import pytest
import yaml

import semiseg

METHODS = ("supervised", "cutmix")
SETTINGS = {
    **{"methods": ",".join(METHODS), "labels": "2", "seeds": "1", "steps": 4, "validations": 2},
    **{"encoder": "lcnet_035", "weights": "none", "size": 32, "crop": 32, "batch": 2},
    **{"workers": 0, "threads": 1, "accelerator": "cpu"},
}
DEADLY = """
import os, signal, sys
from pathlib import Path
from semiseg.cli import main
from semiseg.training.module import TrainingModule

out, words = Path(sys.argv[1]), sys.argv[2:]
take_step = TrainingModule.optimizer_step

def optimizer_step(self, *args, **kwargs):
    take_step(self, *args, **kwargs)
    run = out / "cutmix-2-1"  # the measurement before the runs takes steps too
    if type(self.method).__name__ == "CutMix" and run.is_dir() and self.global_step == 3:
        os.kill(os.getpid(), signal.SIGKILL)

TrainingModule.optimizer_step = optimizer_step
main(["compare", *words, "--out", str(out)])
"""


def model(out, method):
    return (out / f"{method}-2-1" / "model.safetensors").read_bytes()


@pytest.mark.faults
def test_a_killed_comparison_goes_on_to_the_same_bits(tiny_folder, tmp_path, log):
    out, whole = tmp_path / "killed", tmp_path / "whole"
    words = [f"--{name}={value}" for name, value in SETTINGS.items()]
    command = [sys.executable, "-c", DEADLY, str(out), str(tiny_folder), *words]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (out / "supervised-2-1" / "scores.json").is_file()
    assert not (out / "cutmix-2-1" / "scores.json").exists()

    finished = (out / "supervised-2-1" / "model.safetensors").stat()
    resumed = semiseg.compare(tiny_folder, out=out, **SETTINGS)
    assert "going on after step 2 of 4" in log.text
    assert (out / "supervised-2-1" / "model.safetensors").stat() == finished  # not trained again
    assert [row.method for row in resumed.rows] == [
        *("supervised", "supervised (same time)", "cutmix")
    ]
    steps = yaml.safe_load((out / "compare.yaml").read_text())["row_steps"]
    assert [row.steps for row in resumed.rows] == [4, steps["supervised (same time)"], 4]

    semiseg.compare(tiny_folder, out=whole, **SETTINGS, same_time=False)
    for method in METHODS:
        assert model(out, method) == model(whole, method)
