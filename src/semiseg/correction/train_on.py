"""Trains on with the accepted masks in a process of its own, which outlives the server."""

from __future__ import annotations

import os
import signal
import subprocess  # nosec B404 - starts semiseg itself
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

from semiseg.config.command_line import continue_words, shorten
from semiseg.config.train import TrainConfig
from semiseg.core import shell
from semiseg.core.errors import DataError, RunError
from semiseg.correction.accepted import copy_accepted
from semiseg.correction.classes import file_of_new_classes
from semiseg.correction.earlier import refuse_missing_data
from semiseg.correction.loop import Loop, Training, scores_of
from semiseg.correction.run_progress import RunProgress, read_progress
from semiseg.model.release import load_release
from semiseg.training.run_data import config_of
from semiseg.training.run_folder import exists
from semiseg.training.run_lock import is_locked

State = Literal["none", "running", "stopped", "failed", "finished"]

_START = 120  # seconds that a process may take until it locks its run folder
_PREFIX = "semiseg: "  # of the sentence that ends a command
_PROMPT = "$ "  # of the command itself, in a log
_USUAL = ("· ", "warning: ")  # of the other lines, unless Python or the system writes one
_KILLED = (
    "Something ended it from outside: it was killed, or the machine was switched off. It may also "
    "have used up the memory."
)


class BusyError(DataError):
    """The page asks for something that the state of the training does not allow."""


class Report(NamedTuple):
    """How far the newest training is.

    Attributes:
        state: whether it runs, or how it ended.
        run: its run folder; None without a training.
        progress: its steps and its scores.
        seconds_left: the expected time for the rest; None if it is not known.
        error: why it failed; empty otherwise.
    """

    state: State
    run: Path | None
    progress: RunProgress
    seconds_left: float | None
    error: str


class TrainOn:
    """Starts, stops and resumes trainings, one at a time.

    Args:
        loop: the rounds and the trainings.
        data: the data folder, if it moved since the first training.
        program: the words that start semiseg.
    """

    def __init__(
        self,
        loop: Loop,
        data: Path | None = None,
        program: Sequence[str] = (sys.executable, "-m", "semiseg"),
    ) -> None:
        self.loop, self._data, self._program = loop, data, tuple(program)
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = Lock()
        self._first_step: tuple[Path, int, float] | None = None  # that this server has seen

    def start(self) -> None:
        """Train on with all masks that are accepted by now.

        Raises:
            BusyError: a training runs.
            DataError: no mask is accepted, or the data folder is gone.
            RunError: a file cannot be written, or the process cannot be started.
        """
        with self._lock:
            self.loop.reload()
            if self._state() == "running":
                raise BusyError("A training runs already.")
            first, start_from = self.loop.runs()[0], self.loop.best_run()
            config = settings_to_repeat(self.loop, start_from)
            if config is None:
                raise RunError(
                    f"The settings in {start_from / 'config.yaml'} cannot be read, so no training "
                    "can repeat them. Train on with `semiseg train DATA --corrected "
                    f"{shorten(self.loop.folder)} --start-from {shorten(start_from)}`."
                )
            refuse_missing_data(self._data or config.data.data)
            out = unused_run(first)
            corrected, count = copy_accepted(self.loop, out)
            classes = file_of_new_classes(corrected, load_release(start_from).metadata.classes)
            words = continue_words(start_from, config, (corrected,), self._data, classes)
            words += ["--out", str(out)]
            training = Training(str(out), str(start_from), str(corrected), count, words)
            self._begin(words, out, lambda: self.loop.begin_training(training))

    def stop(self) -> None:
        """Stop the training so that it can be resumed; on Windows since its last validation.

        Raises:
            BusyError: no training runs.
        """
        with self._lock:
            self.loop.reload()
            training = self.loop.training
            if training is None or self._state() != "running":
                raise BusyError("No training runs.")
            is_child = self._child is not None and self._child.pid == training.pid
            if not is_child and not _has_process(training.pid):
                raise BusyError(
                    "This training was not started by the page. Stop it where it was started."
                )
            self.loop.change_training(is_stopped=True)
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(training.pid, signal.SIGTERM)

    def resume(self) -> None:
        """Go on with a training that was stopped or failed.

        Raises:
            BusyError: there is none.
            DataError: the data folder is gone.
            RunError: the process cannot be started.
        """
        with self._lock:
            self.loop.reload()
            training = self.loop.training
            if training is None or self._state() not in ("stopped", "failed"):
                raise BusyError("There is no training to go on with.")
            out = Path(training.run)
            words = training.words
            if exists(out):
                config = config_of(out)
                data = self._data or (None if config is None else config.data.data)
                if data is not None:
                    refuse_missing_data(data)
                place = [] if data is None else [str(data)]
                words = ["train", *place, "--out", str(out), "--resume"]
            self._begin(words, out, lambda: self.loop.change_training(is_stopped=False))

    def report(self) -> Report:
        """How far the newest training is."""
        with self._lock:
            self.loop.reload()
            training = self.loop.training
            state = self._state()
            if training is None:
                return Report(state, None, RunProgress(), None, "")
            run = Path(training.run)
            progress = read_progress(run)
            left = self._seconds_left(run, progress) if state == "running" else None
            error = last_words(log_of(run)) if state == "failed" else ""
            return Report(state, run, progress, left, error)

    def command(self) -> str:
        """The command line of the newest training, as a person would type it; empty without one."""
        training = self.loop.training
        if training is None:
            return ""
        words = [shorten(Path(w)) if Path(w).is_absolute() else w for w in training.words]
        return shell.join(["semiseg", *words])

    def _begin(self, words: Sequence[str], out: Path, record: Callable[[], None]) -> None:
        """Start a process that writes its messages beside its run folder.

        The training is written down before it starts, so that no training is ever unknown.

        Raises:
            RunError: it cannot be started, or the log cannot be written.
        """
        windows = sys.platform == "win32"
        flags = (
            subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW  # type: ignore[attr-defined]
            if windows
            else 0
        )
        log = log_of(out)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as stream:
                stream.write(f"{_PROMPT}{shell.join(['semiseg', *words])}\n".encode())
                stream.flush()
                record()
                self._child = subprocess.Popen(  # nosec B603 - no shell, and words of our own
                    [*self._program, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONUTF8": "1"},  # Windows' logs hold 256 letters only
                    start_new_session=not windows,  # Ctrl-C ends the server only
                    creationflags=flags,
                )
            self.loop.change_training(pid=self._child.pid)
        except OSError as error:
            raise RunError(f"The training cannot be started ({error}).") from error
        self._first_step = None

    def _state(self) -> State:
        training = self.loop.training
        if training is None:
            return "none"
        run = Path(training.run)
        if self._is_alive(training, run):
            return "running"
        if scores_of(run) is not None:
            return "finished"
        return "stopped" if training.is_stopped else "failed"

    def _is_alive(self, training: Training, run: Path) -> bool:
        """Whether the process of a training runs; it may have been started by another server."""
        if self._child is not None and self._child.pid == training.pid:
            return self._child.poll() is None
        if is_locked(run):
            return True
        # It locks its folder only after a while. A process of that number may be another one.
        log = log_of(run)
        is_young = log.is_file() and time.time() - log.stat().st_mtime < _START
        return is_young and scores_of(run) is None and _has_process(training.pid)

    def _seconds_left(self, run: Path, progress: RunProgress) -> float | None:
        """The time for the remaining steps, at the pace that this server has seen."""
        if not progress.step or not progress.steps:
            return None
        now = time.monotonic()
        if self._first_step is None or self._first_step[0] != run:
            self._first_step = run, progress.step, now
        _, step, then = self._first_step
        if progress.step <= step:
            return None
        return (progress.steps - progress.step) * (now - then) / (progress.step - step)


def settings_to_repeat(loop: Loop, run: Path) -> TrainConfig | None:
    """The settings of a run, without the corrected masks that the page added; None without any."""
    config, first = config_of(run), config_of(loop.runs()[0])
    if config is None or first is None:
        return None
    return config.replaced(corrected=first.data.corrected)


def log_of(run: Path) -> Path:
    """The messages of a training that the page started, beside its run folder."""
    return run.with_name(f"{run.name}.log")


def last_words(log: Path) -> str:
    """What a command said at its end: its last sentence, or else the last line of its log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"It left no message ({log} cannot be read)."
    prompts = [i for i, line in enumerate(lines) if line.startswith(_PROMPT)]
    lines = lines[prompts[-1] + 1 :] if prompts else lines
    numbers = [i for i, line in enumerate(lines) if line.startswith(_PREFIX)]
    if numbers:
        return "\n".join(lines[numbers[-1] :]).removeprefix(_PREFIX).strip()
    ending = [line for line in lines if line.strip()][-1:]
    if not ending or ending[0].startswith(_USUAL):
        ending = [_KILLED]
    return f"{ending[0]}\nAll messages are in {shorten(log)}."


def _has_process(pid: int) -> bool:
    """Whether there is a process of this number; True where the system cannot tell."""
    if not pid or sys.platform == "win32":
        return bool(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def unused_run(first: Path) -> Path:
    """The folder of a new run: `first-2`, `first-3` and so on, beside the first one."""
    number = 2
    while (run := first.with_name(f"{first.name}-{number}")).exists() or log_of(run).exists():
        number += 1
    return run
