"""What ends a training early, explained in a sentence that says what to do."""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from semiseg.core.errors import (
    ConfigError,
    DataError,
    Interrupted,
    RunError,
    SemisegError,
    Terminated,
)
from semiseg.training.checkpoint import how_to_resume
from semiseg.training.pool_images import PoolError

_MEMORY = (
    "The memory is too small ({}). If other programs use it, go on with --resume; otherwise start "
    "again with a smaller --crop, or with --batch 2 --accumulate 2."
)
_LOADER = (
    "A loader process ended ({}). If it did not say why, the system killed it, probably because it "
    "ran out of memory: go on with --resume and fewer --workers."
)
_OTHER_PROCESS = (
    "Another of the processes that train together ended, so this one cannot go on ({}). Correct "
    "what the other one reports, then go on with --resume."
)
_NOT_ON_MPS = (
    "This version of torch cannot compute a part of the training on Apple's GPU ({}). Set "
    "PYTORCH_ENABLE_MPS_FALLBACK=1, give --accelerator cpu, or freeze the first layers of a vision "
    "transformer with --encoder-training last-4."
)


def check_main_module() -> None:
    """Refuse to train while a loader process imports the script of the user.

    Where processes do not start as copies (Windows, macOS, Python 3.14), each of them imports the
    script, which would start the training again.

    Raises:
        ConfigError: this is such a process.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigError(
            "A loader process imports your script, which starts the training again. Put the call "
            'below `if __name__ == "__main__":`, or give workers=0.'
        )


@contextmanager
def explained(data: Path, out: Path) -> Iterator[None]:
    """Turn what a user can correct into a `SemisegError` while the block runs; the rest stays.

    Args:
        data: the data folder.
        out: the run folder.

    Raises:
        SemisegError: what was wrong, and how to continue.
        KeyboardInterrupt: Ctrl-C was pressed twice.
    """
    try:
        yield
    except PoolError as error:
        raise DataError(_message(error), how_to_resume(data, out)) from None
    except SemisegError as error:
        _without_traceback(error)
        raise
    except SIGTERMException:  # before the first step, or between the batches of one step
        raise Terminated(f"terminated. {how_to_resume(data, out)}") from None
    except SystemExit:  # Lightning's answer to a second Ctrl-C
        raise KeyboardInterrupt from None
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise RunError(_MEMORY.format(_message(error) or "MemoryError")) from error
    except (ConnectionResetError, ConnectionRefusedError, EOFError) as error:  # a loader's pipe
        raise RunError(_LOADER.format(_message(error))) from error
    except OSError as error:
        raise RunError(
            f"A file of the run in {out} cannot be written or read ({_message(error)}). Correct "
            "that, then go on with --resume."
        ) from error
    except RuntimeError as error:
        sentence = _explain(error)
        if sentence is None:
            raise
        raise RunError(sentence) from error


@contextmanager
def resumable(work: str, data: Path, out: Path) -> Iterator[None]:
    """Say how to go on where Ctrl-C ends what a training does besides its steps.

    Args:
        work: what was interrupted, and what is kept of it.
        data: the data folder.
        out: the run folder, which exists.

    Raises:
        Interrupted: Ctrl-C was pressed.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted while {work}. {how_to_resume(data, out)}") from None


@contextmanager
def explained_trial() -> Iterator[None]:
    """The same as `explained` for steps that are only measured; there is no run to resume.

    Raises:
        RunError: the memory is too small.
        Terminated: SIGTERM came.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    try:
        yield
    except SemisegError as error:
        _without_traceback(error)
        raise
    except SIGTERMException:
        raise Terminated("terminated while steps were measured; nothing was written") from None
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise RunError(
            f"The memory is too small ({_message(error) or 'MemoryError'}). Give a smaller "
            "--crop, or --batch 2."
        ) from error


def end_with_parent(period: float = 5.0) -> None:
    """End this process soon after its parent process ends.

    A process that waits on a GPU for a sum with another one would wait for many minutes. The delay
    leaves time for the connection to report the other's end first.

    Args:
        period: the seconds between two checks; the process ends after three periods at most.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(period)
        time.sleep(2 * period)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _explain(error: RuntimeError) -> str | None:
    """What one of torch's plain errors means, by its words; None if it is not known."""
    message = str(error)
    first_line = message.partition("\n")[0]
    if "DataLoader worker" in message and "Traceback" not in message:
        return _LOADER.format(first_line)
    if "can't allocate memory" in message:
        return _MEMORY.format(first_line[first_line.find("DefaultCPUAllocator") :])
    if isinstance(error, NotImplementedError) and "MPS device" in message:
        return _NOT_ON_MPS.format(first_line.partition(". ")[0])
    if isinstance(error, torch.distributed.DistError) or "gloo" in message:
        cause = re.search(r"Connection \w+ by \w+|[Tt]imed out", message)
        return _OTHER_PROCESS.format(cause[0] if cause else first_line)
    return None


def _without_traceback(error: SemisegError) -> None:
    """Keep the message only: a loader process puts its traceback around it."""
    if error.args and "Traceback" in str(error.args[0]):
        error.args = (_message(error),)


def _message(error: BaseException) -> str:
    """The message itself: a loader process puts its traceback around it."""
    message = str(error).strip()
    if "Traceback" in message:
        message = message.rpartition(type(error).__name__)[2].removeprefix(":").strip()
    return message
