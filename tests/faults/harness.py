"""Trainings as processes that can be killed at a cost of a second or two.

Each life of a training is a process that is forked from this one, which has imported everything
but computed nothing.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

import semiseg.commands.train
from semiseg.cli import main
from semiseg.scenes.draw import write_scenes
from semiseg.training import trainer  # noqa: F401 - imported once, for all children
from semiseg.training.checkpoint import SafeCheckpointIO, newest_intact

STEPS, LOOKS = 12, 4
WORDS = [
    *("--weights", "none", "--encoder", "lcnet_035", "--size", "32", "--crop", "32"),
    *("--batch", "2", "--steps", str(STEPS), "--validations", str(LOOKS)),
    *("--threads", "1", "--accelerator", "cpu", "--no-diagnostics"),
]
METHODS = {
    "css": ["--method", "css", "--anchors", "8", "--negatives", "8"],
    "cps": ["--method", "cps"],  # two networks that learn, and two optimizers
    "cct": ["--method", "cct"],  # decoders that learn and are not released
}
VARIANTS = {
    "plain": ["--workers", "0"],
    "workers and accumulation": ["--workers", "1", "--accumulate", "2"],
}
_FILES = ("confusion.csv", "metrics.csv", "model.json", "model.safetensors")
_PATIENCE = 120  # seconds that a process may take
_FORK = multiprocessing.get_context("fork")


class Life(NamedTuple):
    """How a process ended: its status, negative for a signal, and all its output."""

    status: int
    output: str
    seconds: float


def live(
    words: list[str],
    prepare: Callable[[], None] = lambda: None,
    meanwhile: Callable[[int], None] = lambda pid: None,
) -> Life:
    """Run a command in a forked process.

    Args:
        words: of the command line.
        prepare: called in the process, before.
        meanwhile: called in this process with the id of the other.
    """
    with tempfile.TemporaryFile("w+") as capture:

        def child() -> None:
            os.setsid()
            os.dup2(capture.fileno(), 1)
            os.dup2(capture.fileno(), 2)
            faulthandler.dump_traceback_later(_PATIENCE - 10)  # where it hangs
            prepare()
            main(words)

        start = time.monotonic()
        process = _FORK.Process(target=child)
        process.start()
        meanwhile(process.pid)
        process.join(_PATIENCE)
        if process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
            print("hung", file=capture, flush=True)
        capture.seek(0)
        return Life(process.exitcode, capture.read(), time.monotonic() - start)


class Points:
    """Counts the calls that change the run folder, and dies before the n-th."""

    def __init__(self, out: Path, fatal: int) -> None:
        self.out, self.fatal, self.count = str(out), fatal, 0
        self.names: Counter[str] = Counter()

    def install(self) -> None:
        """In the process that is to die."""
        sync, save = os.fsync, torch.save

        def fsync(handle: int) -> None:
            self.reached("fsync")
            sync(handle)

        def in_quarters(content: object, file: Any) -> None:
            whole = io.BytesIO()
            save(content, whole)
            data = whole.getbuffer()
            for i in range(4):
                self.reached("write")
                file.write(data[len(data) * i // 4 : len(data) * (i + 1) // 4])
                file.flush()

        os.fsync, torch.save = fsync, in_quarters
        sys.addaudithook(self._audit)

    def reached(self, name: str) -> None:
        """A point is reached."""
        self.count += 1
        self.names[name] += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            ours = isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            ours = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
        if ours and str(args[0]).startswith(self.out):
            self.reached(event)


class Stage:
    """The data, the commands, and the ends of the trainings that were left alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = write_scenes(root / "data", labeled=4, unlabeled=4, val=2, size=(32, 40))
        self.whole: dict[str, dict[str, str]] = {}
        self.points: dict[str, Counter[str]] = {}
        self.seconds = 0.0

    def words(self, out: Path, variant: str, *more: str, method: str = "css") -> list[str]:
        """The command."""
        return [
            *("train", str(self.data), "--out", str(out), *METHODS[method], *WORDS),
            *(*VARIANTS[variant], *more),
        ]

    def settle(self) -> None:
        """Train each variant without a fault, and count the points on its way."""
        for number, variant in enumerate(VARIANTS):
            out, counts = self.root / f"whole{number}", self.root / f"points{number}"
            points = Points(out, 0)

            def prepare(points: Points = points, counts: Path = counts) -> None:
                points.install()
                multiprocessing.util.Finalize(
                    None, lambda: counts.write_text(json.dumps(points.names)), exitpriority=100
                )

            life = live(self.words(out, variant), prepare)
            if life.status:
                raise SystemExit(f"without a fault it ends with {life.status}:\n{life.output}")
            self.whole[variant] = ending(out)
            self.points[variant] = Counter(json.loads(counts.read_text()))
            self.seconds = max(self.seconds, life.seconds)

    def wrong(self, out: Path, variant: str, life: Life) -> str:
        """What is not as it would be without a fault, in words; nothing if all is."""
        if life.status:
            return f"ended with {life.status}"
        if "Traceback" in life.output:
            return "a traceback was printed"
        summary = ending(out)
        return ", ".join(k for k in summary if summary[k] != self.whole[variant][k])


def ending(out: Path) -> dict[str, str]:
    """Hashes of all that a training leaves behind, and the names of its files."""
    digests = {n: hashlib.sha256((out / n).read_bytes()).hexdigest() for n in _FILES}
    scores = json.loads((out / "scores.json").read_text())
    for name in ("seconds", "timing"):
        del scores[name]
    digests["scores"] = json.dumps(scores)
    newest = newest_intact(out / "checkpoints")
    state = SafeCheckpointIO().load_checkpoint(newest[0]) if newest else {}
    digests["state"] = digest([state.get(k) for k in ("state_dict", "optimizer_states", "guard")])
    paths = (p.relative_to(out) for p in out.rglob("*") if p.parent.name != "tensorboard")
    # The checksums in the names of the checkpoints cover their times.
    digests["files"] = " ".join(sorted(str(p).partition("-")[0] for p in paths))
    return digests


def digest(value: object) -> str:
    """A hash of tensors and plain values."""
    sha = hashlib.sha256()

    def add(value: object) -> None:
        if isinstance(value, torch.Tensor):
            sha.update(value.contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            for key in sorted(value, key=str):
                sha.update(str(key).encode())
                add(value[key])
        elif isinstance(value, (list, tuple)):
            for part in value:
                add(part)
        else:
            sha.update(repr(value).encode())

    add(value)
    return sha.hexdigest()


@contextlib.contextmanager
def staged(folder: Path | None = None):
    """A stage in memory where there is such a place: only the processes die, never the machine."""
    memory = Path("/dev/shm")
    where = folder or (memory if os.access(memory, os.W_OK) else None)
    root = Path(tempfile.mkdtemp(prefix="semiseg-faults-", dir=where))
    os.environ["SEMISEG_CACHE"] = str(root / "cache")
    torch.set_num_threads(1)  # a fork has no threads but its own
    semiseg.commands.train.write_report = lambda *folders: True  # tested elsewhere
    semiseg.commands.train.live_report = lambda: None
    failed = True
    try:
        stage = Stage(root)
        stage.settle()
        yield stage
        failed = False
    finally:
        if not failed:
            shutil.rmtree(root, ignore_errors=True)
        else:
            traceback.print_exc()
            print(f"what was left is in {root}", file=sys.stderr)
