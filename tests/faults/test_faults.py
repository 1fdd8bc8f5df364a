"""A dozen kills and each other fault; `python tests/faults/run.py --kills 500` for more."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

RUN = Path(__file__).with_name("run.py")

SCRIPT = """
import os, sys
from semiseg.cli import main
from semiseg.training.batches import TrainingBatches
from semiseg.core.errors import DataError

read = TrainingBatches.__getitem__

def failing(self, index):
    if index == 2:
        raise DataError("leaf.png cannot be read.")
    return read(self, index)

if os.environ.get("LOCAL_RANK") == "1":
    TrainingBatches.__getitem__ = failing
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def summary():
    """The summary of one run: one import of everything, and a fork for each training."""
    process = subprocess.run(
        [sys.executable, RUN, "--kills", "12"],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout.startswith("{"), process.stderr
    return json.loads(process.stdout)


def failures(faults):
    """All the output of what went wrong, which pytest would cut short."""
    wrong = {k: v for k, v in faults.items() if v and not v.startswith("skipped")}
    return "\n\n".join(f"{name}: {problem}" for name, problem in wrong.items())


def test_a_killed_training_ends_as_if_it_had_been_left_alone(summary):
    assert summary["kills"] >= 12
    assert not summary["wrong"]


def test_each_fault_ends_in_a_sentence_and_resumes(summary):
    wrong = failures(summary["others"])
    assert not wrong, wrong


@pytest.mark.distributed
def test_two_processes_do_so_together(summary):
    wrong = failures(summary["two processes"])
    assert not wrong, wrong


def test_a_full_disk(summary):
    skipped = [v for v in summary["others"].values() if v.startswith("skipped")]
    if skipped:
        pytest.skip(skipped[0])


@pytest.mark.distributed
def test_a_process_that_fails_ends_the_other_one_and_speaks_first(tiny_folder, tmp_path):
    """With Lightning's own start of the second process."""
    (tmp_path / "script.py").write_text(SCRIPT)
    words = ["train", tiny_folder, "--out", tmp_path / "run", "--weights", "none", "--size", "48"]
    words += ["--encoder", "lcnet_035", "--crop", "32", "--batch", "4", "--steps", "50"]
    words += ["--accelerator", "cpu", "--devices", "2", "--threads", "1", "--workers", "0"]
    process = subprocess.run(
        [sys.executable, tmp_path / "script.py", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=1800,
    )
    assert "Traceback" not in process.stdout, process.stdout
    assert process.returncode in (2, -9), process.stdout  # Lightning's observer may be the first
    messages = [line for line in process.stdout.splitlines() if line.startswith("semiseg: ")]
    assert messages[0] == "semiseg: leaf.png cannot be read."
    assert [line for line in messages[1:] if not line.startswith("semiseg: Another")] == []


PARENT = """
import os, subprocess, sys, time
child = "import time; from semiseg.training.failures import end_with_parent; end_with_parent(0.1);"
child += "print(flush=True); time.sleep(3600)"
started = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
started.stdout.readline()
print(started.pid, flush=True)
os._exit(0)
"""


def test_a_process_does_not_outlive_the_one_that_started_it():
    parent = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, check=True)
    process = Path(f"/proc/{int(parent.stdout)}/stat")
    if not process.parent.parent.is_dir():
        pytest.skip("there is no /proc here to see it in")
    end = time.monotonic() + 600
    while process.exists() and process.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end
        time.sleep(0.05)
