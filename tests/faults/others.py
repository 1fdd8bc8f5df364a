"""Faults beside kills: the message, the status, and that `--resume` mends it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from harness import Life, Stage, live

from semiseg.training import trainer
from semiseg.training.batches import TrainingBatches
from semiseg.training.checkpoint import newest_intact
from semiseg.training.module import TrainingModule

WORKERS = "workers and accumulation"


class Fault(NamedTuple):
    """Something that befalls a training.

    Attributes:
        status: of the process.
        words: what it must say.
        variant: of the training.
        prepare: called in the process before, with the run folder.
        meanwhile: called beside it once there is a checkpoint, with its id, the stage and the run
            folder.
        mend: called before it is resumed, with these.
    """

    status: int
    words: tuple[str, ...]
    variant: str = "plain"
    prepare: Callable[[Path], None] = lambda out: None
    meanwhile: Callable[[int, Stage, Path], None] = lambda pid, stage, out: None
    mend: Callable[[Stage, Path], None] = lambda stage, out: None


def all_of(stage: Stage, only: str = "") -> dict[str, str]:
    """Each fault's name with what went wrong, or nothing; `skipped: why` where it cannot be."""
    results = {}
    for name, fault in FAULTS.items():
        if only in name:
            print(name, file=sys.stderr, flush=True)
            results[name] = suffer(stage, name, fault)
    return results


def suffer(stage: Stage, name: str, fault: Fault) -> str:
    """What went wrong, in words."""
    with contextlib.ExitStack() as stack:
        out = stage.root / name.replace(" ", "-") / "run"
        out.parent.mkdir()
        if "disk" in name and not mounted(stack, out.parent):
            return "skipped: a small file system needs root and mount"
        words = stage.words(out, fault.variant)
        life = live(words, slowed(partial(fault.prepare, out)), beside(fault, stage, out))
        wrong = mistold(fault, life)
        if not wrong and "stopped after step" in fault.words:
            step = int(life.output.rpartition("stopped after step ")[2].split()[0])
            if newest_intact(out / "checkpoints")[1] != step:
                wrong = f"step {step} was not saved"
        fault.mend(stage, out)
        if not wrong:
            life = live([*words, "--resume"])
            wrong = stage.wrong(out, fault.variant, life)
        return f"{wrong}\n{life.output}" if wrong else ""


def mistold(fault: Fault, life: Life) -> str:
    """What is wrong with the way it ended."""
    if life.status != fault.status:
        return f"status {life.status} instead of {fault.status}"
    if "Traceback" in life.output or not life.output.splitlines()[-1].startswith("semiseg: "):
        return "the last words are no sentence"
    lacking = [words for words in fault.words if words not in life.output]
    return f"it does not say {lacking}" if lacking else ""


def slowed(prepare: Callable[[], None]) -> Callable[[], None]:
    """The same with steps that take their time, so that a fault comes between two of them."""

    def both() -> None:
        step = TrainingModule.training_step

        def slow(self, batch, batch_idx):
            time.sleep(0.15)
            return step(self, batch, batch_idx)

        TrainingModule.training_step = slow
        prepare()

    return both


def beside(fault: Fault, stage: Stage, out: Path) -> Callable[[int], None]:
    """Acts once there is a checkpoint."""

    def act(pid: int) -> None:
        if fault.meanwhile is Fault._field_defaults["meanwhile"]:
            return
        while not list(out.glob("checkpoints/*.ckpt")):
            time.sleep(0.01)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        fault.meanwhile(pid, stage, out)

    return act


def mounted(stack: contextlib.ExitStack, folder: Path) -> bool:
    """Whether a file system of 64 MB could be mounted there, until the stack is left."""
    words = ["mount", "-t", "tmpfs", "-o", "size=64m", "semiseg-faults", str(folder)]
    try:
        succeeded = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
    if succeeded:
        stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=False)
    return succeeded


def signals(*numbers: int, group: bool = False) -> Callable[[int, Stage, Path], None]:
    """Sends signals, one after the other, to the trainer or to all of its processes."""

    def send(pid: int, stage: Stage, out: Path) -> None:
        for number in numbers:
            (os.killpg if group else os.kill)(pid, number)
            time.sleep(0.05)

    return send


def kill_worker(pid: int, stage: Stage, out: Path) -> None:
    """Kills a loader process, as the system does when memory runs out."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
        return


def hide(pid: int, stage: Stage, out: Path) -> None:
    """The folder of the images vanishes, as a network's does."""
    stage.data.rename(stage.data.with_name("elsewhere"))


def bring_back(stage: Stage, out: Path) -> None:
    """And is there again."""
    stage.data.with_name("elsewhere").rename(stage.data)


def fill(out: Path) -> None:
    """Writes until there is no room."""
    with contextlib.suppress(OSError), (out.parent / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def fill_at_the_end(out: Path) -> None:
    """Does so between the last checkpoint and the scores."""
    release = trainer.release_run

    def without_room(*args):
        fill(out)
        return release(*args)

    trainer.release_run = without_room


def empty(stage: Stage, out: Path) -> None:
    """Makes room."""
    (out.parent / "ballast").unlink()


def fails(number: int, act: Callable[[], object]) -> Callable[[], None]:
    """Lets the step of a micro batch fail."""

    def prepare(out: Path) -> None:
        step = TrainingModule.training_step

        def failing(self, batch, batch_idx):
            if batch.number == number:
                act()
            return step(self, batch, batch_idx)

        TrainingModule.training_step = failing

    return prepare


def throw(error: BaseException) -> Callable[[], None]:
    """Raises it."""

    def act() -> None:
        raise error

    return act


def starve_worker(out: Path) -> None:
    """A loader process runs out of memory."""
    original = TrainingBatches.__getitem__

    def failing(self, index):
        if index == 15:
            raise MemoryError
        return original(self, index)

    TrainingBatches.__getitem__ = failing


def uncached(out: Path) -> None:
    """Images are read from their files each time."""
    os.environ["SEMISEG_CACHE_MB"] = "0"


_FULL = ("No space left", "--resume")
_STOPPED = ("stopped after step", "--resume")
FAULTS = {
    "ctrl-c": Fault(130, _STOPPED, meanwhile=signals(signal.SIGINT)),
    "ctrl-c to all processes": Fault(
        130, _STOPPED, WORKERS, meanwhile=signals(signal.SIGINT, group=True)
    ),
    "ctrl-c twice": Fault(130, ("interrupted",), meanwhile=signals(signal.SIGINT, signal.SIGINT)),
    "sigterm": Fault(143, _STOPPED, meanwhile=signals(signal.SIGTERM)),
    "sigterm to all processes": Fault(
        143, _STOPPED, WORKERS, meanwhile=signals(signal.SIGTERM, group=True)
    ),
    "sigterm twice": Fault(
        143, ("terminated", "--resume"), meanwhile=signals(signal.SIGTERM, signal.SIGTERM)
    ),
    "a loader process is killed": Fault(
        2, ("loader process", "--resume", "--workers"), WORKERS, meanwhile=kill_worker
    ),
    "the data vanish": Fault(
        2, ("data/", "No such file"), prepare=uncached, meanwhile=hide, mend=bring_back
    ),
    "the data vanish under a loader process": Fault(
        2, ("data/", "No such file"), WORKERS, uncached, hide, bring_back
    ),
    "the disk is full from the start": Fault(2, _FULL, prepare=fill, mend=empty),
    "the disk is full on the way": Fault(
        2, _FULL, meanwhile=lambda pid, stage, out: fill(out), mend=empty
    ),
    "the disk is full at the end": Fault(2, _FULL, prepare=fill_at_the_end, mend=empty),
    "out of memory": Fault(
        2, ("memory is too small", "--crop"), prepare=fails(7, throw(MemoryError()))
    ),
    "a device out of memory": Fault(
        2,
        ("memory is too small", "tried to allocate", "--crop"),
        prepare=fails(
            7, throw(torch.OutOfMemoryError("CUDA out of memory: tried to allocate 1 GiB"))
        ),
    ),
    "torch out of memory": Fault(
        2, ("memory is too small", "--crop"), prepare=fails(7, lambda: torch.empty(2**55))
    ),
    "a loader process out of memory": Fault(
        2, ("memory is too small",), WORKERS, prepare=starve_worker
    ),
}
