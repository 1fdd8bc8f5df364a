"""Checkpoints: a training can be killed at any time and continued from the newest one.

A checkpoint is written under a temporary name, synced to the disk and renamed. The final name holds
its checksum, as in `step000120-0123456789abcdef.ckpt`, so that a damaged file is recognized. The
newest two are kept.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from semiseg.core import shell
from semiseg.core.errors import Interrupted, RunError, Terminated
from semiseg.core.files import file_sha256, sync_folder
from semiseg.core.types import Batch

_NAME = re.compile(r"step(\d+)-([0-9a-f]{16})\.ckpt")
_KEPT = 2
_SECONDS = 60.0


class SafeCheckpointIO(TorchCheckpointIO):
    """Lightning's writing and reading of checkpoints, made safe against kills and damage."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        """Write a checkpoint beside `path`, named by its checksum; older ones but one are removed.

        Raises:
            RunError: the disk is full or the folder cannot be written; older checkpoints are kept.
        """
        target = Path(path)
        temporary = target.with_suffix(".part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target.with_name(f"{target.stem}-{file_sha256(temporary)[:16]}.ckpt"))
            sync_folder(target.parent)
        except (OSError, RuntimeError) as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, RuntimeError) and "inline_container" not in str(error):
                raise  # that is torch's message for a full disk
            raise RunError(
                f"The checkpoint {target} cannot be written ({error}). Free some space or repair "
                "the disk, then go on with --resume."
            ) from error
        remove_old(target.parent)

    def load_checkpoint(self, path: str | Path, *args: object, **kwargs: object) -> dict[str, Any]:
        """Read tensors and plain values; anything else in the file is refused."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state


def remove_old(folder: Path, start: str | Path | None = None) -> None:
    """Keep the newest checkpoints, and remove what a killed process left.

    Args:
        folder: the folder of the checkpoints.
        start: the checkpoint that the training starts from, which is intact. Newer ones may be
            damaged; they are neither counted nor removed.
    """
    checkpoints = _by_step(folder)
    if start is not None:
        checkpoints = [path for path in checkpoints if _step(path) <= _step(Path(start))]
    for old in (*checkpoints[_KEPT:], *folder.glob("*.part")):
        old.unlink(missing_ok=True)


def how_to_resume(data: Path, out: Path) -> str:
    """The command that resumes a run; its settings are those of the run."""
    words = ["semiseg", "train", str(data), "--out", str(out), "--resume"]
    return f"Go on with: {shell.join(words)}"


def newest_intact(folder: Path) -> tuple[Path, int] | None:
    """The newest checkpoint whose checksum is right, and its step; None if there is none."""
    for path in _by_step(folder):
        match = _NAME.fullmatch(path.name)
        if match and file_sha256(path)[:16] == match[2]:
            return path, int(match[1])
    return None


def _by_step(folder: Path) -> list[Path]:
    """Finished checkpoints, the newest first."""
    paths = [p for p in folder.glob("*.ckpt") if _NAME.fullmatch(p.name)]
    return sorted(paths, key=lambda p: (_step(p), p.stat().st_mtime), reverse=True)


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def is_validation_step(step: int, total: int, validations: int) -> bool:
    """Whether a validation is due after a step: evenly spread, the last one after the last step.

    Example:
        >>> [step for step in range(1, 10) if is_validation_step(step, 9, 4)]
        [3, 5, 7, 9]
    """
    return step * validations // total != (step - 1) * validations // total


def next_validation_step(step: int, total: int, validations: int) -> int:
    """The step of the first validation after a step; the last step where there is none.

    Example:
        >>> [next_validation_step(step, 9, 4) for step in range(10)]
        [3, 3, 3, 5, 5, 7, 7, 9, 9, 9]
    """
    due = step * validations // total + 1
    return min(-(-due * total // validations), total)


class Checkpoints(Callback):
    """Saves a checkpoint at each validation, once a minute, and before a signal ends the training.

    It must come after the callbacks whose work a checkpoint holds.

    Args:
        folder: the folder of the checkpoints.
        validations: the validations in the whole training.
        total: the steps of the whole training.
        remedy: a sentence that says how to continue.
        stage: which stage of the training this is, in words; empty for the only one.
    """

    def __init__(
        self, folder: Path, validations: int, total: int, remedy: str, stage: str = ""
    ) -> None:
        self.folder, self.validations, self.total, self.remedy = folder, validations, total, remedy
        self.stage = stage
        self.stopped_by = 0  # the number of a signal
        self._saved_step = -1
        self._saved_time = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Save if it is time; never between the micro batches of a step.

        Raises:
            Interrupted: Ctrl-C or SIGTERM stopped the training; the step is finished and saved.
        """
        step = trainer.global_step
        if (batch_idx + 1) % trainer.accumulate_grad_batches or step == self._saved_step:
            return
        # Clocks and signals differ between processes, but all of them have to save.
        agreed = trainer.strategy.reduce_boolean_decision
        late = agreed(time.monotonic() - self._saved_time > _SECONDS, all=False)
        stop_requested = agreed(self.stopped_by == signal.SIGTERM, all=False)
        interrupted = agreed(self.stopped_by == signal.SIGINT, all=False)
        if (
            late
            or stop_requested
            or interrupted
            or is_validation_step(step, self.total, self.validations)
        ):
            trainer.save_checkpoint(self.folder / f"step{step:06d}.ckpt")
            self._saved_step, self._saved_time = step, time.monotonic()
        if stop_requested or interrupted:
            steps = f"step {step} of {self.total}" + f" in {self.stage}" * bool(self.stage)
            raise (Terminated if stop_requested else Interrupted)(
                f"stopped after {steps}. The checkpoint is saved. {self.remedy}"
            )

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove files that a killed process left; there may be no step left to take."""
        if trainer.is_global_zero:
            remove_old(self.folder, trainer.ckpt_path)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Handle SIGTERM too; Lightning has installed its own handler by now."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._note)
        if trainer.received_sigterm:
            self.stopped_by = signal.SIGTERM

    def _note(self, number: int, _frame: FrameType | None) -> None:
        """Let the step finish; a second signal of the same kind ends the process at once."""
        self.stopped_by = number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _end)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let Ctrl-C finish the step while the block runs; a second one stops at once."""
        if threading.current_thread() is not threading.main_thread():  # signals do not arrive there
            yield
            return
        before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SIGTERMException


def ignore_signals(_worker: int) -> None:
    """Make a loader process ignore the signals that stop a training.

    Signals reach all processes. The trainer still needs its loaders for the last step, and ends
    them itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # else a SIGTERM to all ends them, and the trainer says so
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, daemon=True).start()


def _obey_parent() -> None:
    parent = multiprocessing.parent_process()  # not getppid: that may be a fork server
    while parent is not None and signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:
        pass
    os._exit(0)
