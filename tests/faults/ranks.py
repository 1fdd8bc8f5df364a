"""Two gloo processes, started as torchrun starts them: killed, stopped, broken, resumed."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harness import METHODS, Life, Stage, ending, live

from semiseg.core.errors import DataError
from semiseg.training.batches import TrainingBatches
from semiseg.training.module import TrainingModule

_BATCH = ["--workers", "0", "--batch", "4", "--devices", "2"]


def both(
    words: list[str],
    prepare: Callable[[int], None] = lambda rank: None,
    meanwhile: Callable[[list[int]], None] = lambda pids: None,
) -> list[Life]:
    """Run a command in two processes at once; `prepare` is called in each, with its rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def settle(rank: int) -> None:
        os.environ |= {
            **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "GROUP_RANK": "0"},
            **{"LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "faults"},
            **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"},
        }
        prepare(rank)

    pids, lives = [], []

    def start(pid: int) -> None:
        pids.append(pid)
        if len(pids) == 2:
            meanwhile(pids)
        else:
            lives.append(live(words, lambda: settle(1), start))

    first = live(words, lambda: settle(0), start)
    return [first, *lives]


def once(out: Path, act: Callable[[list[int]], None]) -> Callable[[list[int]], None]:
    """Acts once there is a checkpoint."""

    def wait(pids: list[int]) -> None:
        end = time.monotonic() + 60
        while not list(out.glob("checkpoints/*.ckpt")) and time.monotonic() < end:
            time.sleep(0.01)
        act(pids)

    return wait


def send(number: int, *ranks: int) -> Callable[[list[int]], None]:
    """Sends a signal to some of them."""

    def act(pids: list[int]) -> None:
        for rank in ranks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[rank], number)

    return act


def slow(rank: int) -> None:
    """Steps that take their time."""
    step = TrainingModule.training_step

    def training_step(self, batch, batch_idx):
        time.sleep(0.15)
        return step(self, batch, batch_idx)

    TrainingModule.training_step = training_step


def unreadable(rank: int) -> None:
    """The second process meets an image that cannot be read."""
    original = TrainingBatches.__getitem__

    def failing(self, index):
        if index == 5:
            raise DataError("leaf.png cannot be read.")
        return original(self, index)

    if rank == 1:
        TrainingBatches.__getitem__ = failing


def not_finite(rank: int) -> None:
    """The second process has a loss that is not finite."""
    transfer = TrainingModule.on_after_batch_transfer

    def spoiled(self, batch, dataloader_idx):
        batch = transfer(self, batch, dataloader_idx)
        if batch.number == 4:
            batch.labeled.image[0, :, 3, 3] = math.nan
        return batch

    if rank == 1:
        TrainingModule.on_after_batch_transfer = spoiled


def all_of(stage: Stage, only: str = "") -> dict[str, str]:
    """What went wrong, by the name of what was done; nothing if all is well."""
    # One image to validate on: the second process has none, and waits for no one.
    for kind in ("images", "masks"):
        next(iter(sorted((stage.data / "val" / kind).iterdir()))).unlink()
    whole = stage.root / "two"
    lives = both(command(stage, whole))
    results = {"two processes": "" if [life.status for life in lives] == [0, 0] else f"{lives}"}
    if results["two processes"]:
        return results
    for name, (act, prepare, statuses, words) in FAULTS.items():
        if only in name:
            print(f"two processes: {name}", file=sys.stderr, flush=True)
            out = stage.root / name.replace(" ", "-")
            lives = both(command(stage, out), prepare, once(out, act))
            wrong = mistold(lives, statuses, words)
            if not wrong and name in RESUMED:
                lives = both([*command(stage, out), "--resume"])
                wrong = differs(out, whole, lives)
            results[name] = f"{wrong}\n{lives}" if wrong else ""
    for method in METHODS:
        name = f"both are killed while they train {method}"
        if method != "css" and only in name:  # css is killed above
            print(f"two processes: {name}", file=sys.stderr, flush=True)
            results[name] = killed(stage, method)
    return results


def killed(stage: Stage, method: str) -> str:
    """What went wrong when both processes of a method were killed and resumed, or nothing."""
    whole, out = stage.root / f"{method}-whole", stage.root / f"{method}-killed"
    words = command(stage, out, method)
    for lives, statuses in (
        (both(command(stage, whole, method)), (0, 0)),
        (both(words, slow, once(out, send(signal.SIGKILL, 0, 1))), (-9, -9)),
    ):
        if wrong := mistold(lives, statuses, ()):
            return f"{wrong}\n{lives}"
    lives = both([*words, "--resume"])
    wrong = differs(out, whole, lives)
    return f"{wrong}\n{lives}" if wrong else ""


def command(stage: Stage, out: Path, method: str = "css") -> list[str]:
    """The command of both."""
    return [*stage.words(out, "plain", method=method), *_BATCH]


def mistold(lives: list[Life], statuses: tuple[int, int], words: tuple[str, ...]) -> str:
    """What is wrong with how they ended."""
    if tuple(life.status for life in lives) != statuses:
        return f"not {statuses}"
    if any("Traceback" in life.output for life in lives):
        return "a traceback was printed"
    output = "".join(life.output for life in lives)
    return "" if all(w in output for w in words) else f"it does not say {words}"


def differs(out: Path, whole: Path, lives: list[Life]) -> str:
    """What differs from the training that was left alone."""
    if any(life.status for life in lives):
        return "it does not go on"
    ours, theirs = ending(out), ending(whole)
    return ", ".join(k for k in ours if ours[k] != theirs[k])


_OTHER = "Another of the processes"
FAULTS = {
    "both are killed": (send(signal.SIGKILL, 0, 1), slow, (-9, -9), ()),
    "the first is killed": (send(signal.SIGKILL, 0), slow, (-9, 2), (_OTHER,)),
    "the second is killed": (send(signal.SIGKILL, 1), slow, (2, -9), (_OTHER,)),
    "the second cannot read": (send(0), unreadable, (2, 2), (_OTHER, "leaf.png")),
    "sigterm to the first": (send(signal.SIGTERM, 0), slow, (143, 0), ("stopped after step",)),
    "sigterm to both": (send(signal.SIGTERM, 0, 1), slow, (143, 0), ("stopped after step",)),
    "a loss that is not finite": (send(0), not_finite, (0, 0), ("step 5 is skipped",)),
}
RESUMED = ("both are killed", "the second cannot read", "sigterm to the first")
