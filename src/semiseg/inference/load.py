"""`load`: a trained model as an object that segments images."""

from __future__ import annotations

from pathlib import Path

from semiseg.config.settings import AUTO, Auto
from semiseg.core.errors import ConfigError
from semiseg.core.files import is_file, is_on_hub
from semiseg.inference.formats import format_of
from semiseg.inference.predictor import Predictor
from semiseg.model.metadata import METADATA_FILE


def load(run: Path | str, accelerator: str = "auto", threads: int | Auto = AUTO) -> Predictor:
    """Load the model of a finished run, or an exported model.

    Args:
        run: the run folder, an exported model, such as a file that ends in `.onnx`, or a model of
            the Hugging Face hub, such as `hf-hub:OWNER/NAME`.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.
        threads: the CPU threads of the network. They hold for all of torch in this process. With
            `auto`, that of torch, or of onnxruntime.

    Returns:
        The model: a `Model`, or for a `.onnx` file a model that needs no torch.

    Raises:
        RunError: the model cannot be read.
        ConfigError: this machine has no such accelerator, or the hub does not give the model.
    """
    return format_of(Path(run)).read(Path(run), accelerator, threads)


def local_model(run: Path) -> Path:
    """The run folder or the exported model; one on the hub is downloaded first, see `local_run`.

    Raises:
        ConfigError: the name is no name of a model, or the hub does not give it.
    """
    if not is_on_hub(run):
        return run
    from semiseg.model.hub_models import local_run  # the client of the hub takes a moment

    return local_run(run)


def check_order(verb: str, run: Path, other: Path) -> None:
    """Refuse a model and a folder of images that were named in the wrong order.

    Args:
        verb: the command.
        run: what was named as the model.
        other: what was named after it.

    Raises:
        ConfigError: the second one is the model.
    """
    if is_model(other) and not is_model(run) and run.exists():
        raise ConfigError(
            f"{other} holds the model, and {run} does not: the model comes first. Use `semiseg "
            f"{verb} {other} {run}`."
        )


def is_model(path: Path) -> bool:
    """Whether this is a finished run, an exported model, or the name of a model on the hub."""
    if is_on_hub(path):
        return True
    form = format_of(path)
    return is_file(path) if form.suffix else is_file(path / METADATA_FILE)
