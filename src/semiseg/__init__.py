"""semiseg: a segmentation model from a few labeled and many unlabeled images.

The public functions are also the commands of the command line. Everything is imported when it is
used for the first time, so that `import semiseg` takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from semiseg._version import __version__

if TYPE_CHECKING:
    from semiseg.commands.check import check
    from semiseg.commands.compare import compare
    from semiseg.commands.convert import convert
    from semiseg.commands.correct import correct
    from semiseg.commands.demo import demo
    from semiseg.commands.doctor import doctor
    from semiseg.commands.download import download
    from semiseg.commands.dry_run import dry_run
    from semiseg.commands.evaluate import evaluate
    from semiseg.commands.export import export
    from semiseg.commands.frames import frames
    from semiseg.commands.init import init
    from semiseg.commands.pack import pack
    from semiseg.commands.plan import plan
    from semiseg.commands.predict import predict
    from semiseg.commands.report import report
    from semiseg.commands.split import split
    from semiseg.commands.suggest import suggest
    from semiseg.commands.train import train
    from semiseg.config.compare import CompareConfig
    from semiseg.config.recipes import recipe
    from semiseg.config.train import TrainConfig
    from semiseg.core.errors import ConfigError, DataError, RunError, SemisegError
    from semiseg.core.types import Prediction
    from semiseg.evaluation.score_masks import score_masks
    from semiseg.inference.load import load
    from semiseg.inference.torch_model import Model
    from semiseg.training.trainer import Run

__all__ = [
    "CompareConfig",
    "ConfigError",
    "DataError",
    "Model",
    "Prediction",
    "Run",
    "RunError",
    "SemisegError",
    "TrainConfig",
    "__version__",
    "check",
    "compare",
    "convert",
    "correct",
    "demo",
    "doctor",
    "download",
    "dry_run",
    "evaluate",
    "export",
    "frames",
    "init",
    "load",
    "pack",
    "plan",
    "predict",
    "recipe",
    "report",
    "score_masks",
    "split",
    "suggest",
    "train",
]

_MODULES = {
    "CompareConfig": "config.compare",
    "Model": "inference.torch_model",
    "Prediction": "core.types",
    "Run": "training.trainer",
    "TrainConfig": "config.train",
    "check": "commands.check",
    "compare": "commands.compare",
    "convert": "commands.convert",
    "correct": "commands.correct",
    "demo": "commands.demo",
    "doctor": "commands.doctor",
    "download": "commands.download",
    "dry_run": "commands.dry_run",
    "evaluate": "commands.evaluate",
    "export": "commands.export",
    "frames": "commands.frames",
    "init": "commands.init",
    "load": "inference.load",
    "pack": "commands.pack",
    "plan": "commands.plan",
    "predict": "commands.predict",
    "recipe": "config.recipes",
    "report": "commands.report",
    "score_masks": "evaluation.score_masks",
    "split": "commands.split",
    "suggest": "commands.suggest",
    "train": "commands.train",
    **dict.fromkeys(("ConfigError", "DataError", "RunError", "SemisegError"), "core.errors"),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is used for the first time."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"semiseg.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, whether imported yet or not."""
    return sorted({*globals(), *__all__})
