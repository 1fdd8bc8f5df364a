"""semiseg: a segmentation model from a few labeled and many unlabeled images.

The same functions stand on the command line; torch is imported when one of them runs.
"""

from typing import TYPE_CHECKING

from semiseg._version import __version__
from semiseg.commands.check import check
from semiseg.commands.compare import compare
from semiseg.commands.demo import demo
from semiseg.commands.download import download
from semiseg.commands.dry_run import dry_run
from semiseg.commands.evaluate import evaluate
from semiseg.commands.export import export
from semiseg.commands.plan import plan
from semiseg.commands.predict import predict
from semiseg.commands.split import split
from semiseg.commands.train import train
from semiseg.config.recipes import recipe
from semiseg.core.errors import ConfigError, DataError, RunError, SemisegError
from semiseg.core.types import Prediction, Run
from semiseg.inference.load import load
from semiseg.reporting.report import report
from semiseg.suggestion.suggest import suggest

if TYPE_CHECKING:
    from semiseg.inference.torch_model import Model

__all__ = [
    "ConfigError",
    "DataError",
    "Model",
    "Prediction",
    "Run",
    "RunError",
    "SemisegError",
    "__version__",
    "check",
    "compare",
    "demo",
    "download",
    "dry_run",
    "evaluate",
    "export",
    "load",
    "plan",
    "predict",
    "recipe",
    "report",
    "split",
    "suggest",
    "train",
]


def __getattr__(name: str) -> object:
    """Import `Model` when it is asked for: the hub's client behind it takes half a second."""
    if name == "Model":
        from semiseg.inference.torch_model import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
