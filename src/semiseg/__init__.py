"""semiseg: a segmentation model from a few labelled and many unlabelled images.

The same functions stand on the command line; torch is imported when one of them runs.
"""

from typing import TYPE_CHECKING

from semiseg._version import __version__
from semiseg.deliver.check import check
from semiseg.deliver.compare import compare
from semiseg.deliver.demo import demo
from semiseg.deliver.download import download
from semiseg.deliver.dry_run import dry_run
from semiseg.deliver.evaluate import evaluate
from semiseg.deliver.export import export
from semiseg.deliver.load import load
from semiseg.deliver.plan import plan
from semiseg.deliver.predict import predict
from semiseg.deliver.report.report import report
from semiseg.deliver.split import split
from semiseg.deliver.suggest import suggest
from semiseg.deliver.training import train
from semiseg.errors import ConfigError, DataError, RunError, SemisegError
from semiseg.recipes import recipe
from semiseg.types import Prediction, Run

if TYPE_CHECKING:
    from semiseg.deliver.model import Model

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
        from semiseg.deliver.model import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
