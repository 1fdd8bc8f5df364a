"""What ends a training early, told in a sentence that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from semiseg.core.errors import RunError, SemisegError, Terminated
from semiseg.training.checkpoint import how_to_go_on

_MEMORY = (
    "The memory is too small ({}). If other programs took it, go on with --resume; otherwise start "
    "anew with a smaller --crop, or with --batch 2 --accumulate 2."
)
_LOADER = (
    "A loader process was killed ({}), as systems do that run out of memory. Go on with --resume "
    "and fewer --workers."
)
_OTHER = (
    "Another of the processes that train together ended, so this one cannot go on ({}). Mend what "
    "the other one says, then go on with --resume."
)


@contextmanager
def explained(data: Path, out: Path) -> Iterator[None]:
    """Within this, what a user can mend ends in a `SemisegError`, and the rest as it is.

    Args:
        data: the data folder.
        out: the run folder.

    Raises:
        SemisegError: what was wrong, and how to go on.
        KeyboardInterrupt: Ctrl-C was pressed twice.
    """
    try:
        yield
    except SemisegError as error:
        raise type(error)(_own_words(error)) from None
    except SIGTERMException:  # before the first step, or within one of several batches
        raise Terminated(f"terminated. {how_to_go_on(data, out)}") from None
    except SystemExit:  # what Lightning makes of a second Ctrl-C
        raise KeyboardInterrupt from None
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise RunError(_MEMORY.format(_own_words(error) or "MemoryError")) from error
    except (ConnectionResetError, ConnectionRefusedError, EOFError) as error:  # what it had sent
        raise RunError(_LOADER.format(_own_words(error))) from error
    except OSError as error:
        raise RunError(
            f"A file of the run in {out} cannot be written or read ({_own_words(error)}). Mend "
            "that, then go on with --resume."
        ) from error
    except RuntimeError as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        raise RunError(sentence) from error


@contextmanager
def unbegun() -> Iterator[None]:
    """Within this, what ends some steps that were only tried is told, as `explained` does.

    Raises:
        RunError: the memory was too small.
        Terminated: SIGTERM came.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    try:
        yield
    except SIGTERMException:
        raise Terminated("terminated while steps were tried; nothing was written") from None
    except SystemExit:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from None
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise RunError(
            f"The memory is too small ({_own_words(error) or 'MemoryError'}). Give a smaller "
            "--crop, or --batch 2."
        ) from error


def _sentence(error: RuntimeError) -> str | None:
    """What torch's plain errors are about, by their words; None where it is not known."""
    words = str(error)
    first = words.partition("\n")[0]
    if "DataLoader worker" in words and "Traceback" not in words:
        return _LOADER.format(first)
    if "can't allocate memory" in words:
        return _MEMORY.format(first[first.find("DefaultCPUAllocator") :])
    if isinstance(error, torch.distributed.DistError) or "gloo" in words:
        known = re.search(r"Connection \w+ by \w+|[Tt]imed out", words)
        return _OTHER.format(known[0] if known else first)
    return None


def _own_words(error: BaseException) -> str:
    """The message itself: a loader process wraps it into its traceback."""
    words = str(error).strip()
    if "Traceback" in words:
        words = words.rpartition(type(error).__name__)[2].removeprefix(":").strip()
    return words
