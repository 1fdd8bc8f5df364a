"""A trained network that segments images and that can be saved and shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download

from semiseg._version import __version__
from semiseg.config.settings import AUTO, Auto
from semiseg.core.errors import RunError
from semiseg.inference.card import model_card
from semiseg.inference.device import torch_device, use_threads
from semiseg.inference.pair import release_segmenter
from semiseg.inference.predictor import Predictor
from semiseg.inference.scenes import prototypes_of
from semiseg.model.release import Release, load_release, save_release


class Model(Predictor, ModelHubMixin):
    """A trained model.

    `save_pretrained(folder)` writes the model with a model card, and
    `Model.from_pretrained(folder)` reads it. `push_to_hub` and names of the hub work as in the
    client of the Hugging Face hub.

    Args:
        release: the contents of the run folder.
        device: the device, as torch names it.
    """

    def __init__(self, release: Release, device: str = "cpu") -> None:
        self.release = release
        self.network = release.network.to(device)
        segment = release_segmenter(release, device)
        two_spaces = release.second is None and prototypes_of(release.tensors)[0] is not None
        super().__init__(release.metadata, segment, two_spaces, device)
        # The client writes this as config.json. semiseg itself reads model.json.
        self._hub_mixin_config = {"library_name": "semiseg", "version": __version__}

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:  # noqa: ANN401 - the client's
        """The model card, which the client writes as README.md."""
        return ModelCard(model_card(self.metadata))

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write `model.safetensors` and `model.json`; the client writes the rest."""
        save_release(save_directory, self.release)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **model_kwargs: Any,  # noqa: ANN401 - the client's
    ) -> Model:
        """Read a folder, or a model of the hub."""
        folder = Path(model_id)
        if not folder.is_dir():
            try:
                folder = Path(
                    snapshot_download(
                        model_id,
                        revision=revision,
                        cache_dir=cache_dir,
                        force_download=force_download,
                        local_files_only=local_files_only,
                        token=token,
                        allow_patterns=["model.safetensors", "model.json"],
                    )
                )
            except Exception as error:  # the client raises many kinds
                reason = str(error).partition("\n")[0]
                raise RunError(
                    f"{model_id} is not a folder, and the hub could not load it ({reason})."
                ) from error
        return cls(load_release(folder), **model_kwargs)


def read_model(folder: Path, accelerator: str, threads: int | Auto = AUTO) -> Model:
    """The model in a run folder, or in a folder that `write_model` wrote.

    Args:
        folder: the folder.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.
        threads: the CPU threads of torch in this process.

    Raises:
        RunError: the model cannot be read.
        ConfigError: this machine has no such accelerator.
    """
    use_threads(threads)
    return Model(load_release(folder), torch_device(accelerator))


def write_model(release: Release, folder: Path) -> None:
    """Write a release as safetensors, with a model card; an older card is replaced."""
    (folder / "README.md").unlink(missing_ok=True)  # the client would keep it
    Model(release).save_pretrained(folder)
