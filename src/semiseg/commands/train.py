"""`train` as people call it: the training, and then its report."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from semiseg.core.types import Run
from semiseg.reporting.report import write_report
from semiseg.training.train import train as run_training

P = ParamSpec("P")


def _reported(function: Callable[P, Run]) -> Callable[P, Run]:
    """The same function, which also writes the report."""

    @wraps(function)
    def train(*args: P.args, **kwargs: P.kwargs) -> Run:
        run = function(*args, **kwargs)
        # Where the data are now: a finished run may have been trained elsewhere.
        write_report(run.folder, Path(str(args[0] if args else kwargs["data"])))
        return run

    return train


train = _reported(run_training)
