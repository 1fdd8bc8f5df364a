"""A trained network as an object that segments images, and that can be handed on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download

from semiseg._version import __version__
from semiseg.core.errors import RunError
from semiseg.inference.card import model_card
from semiseg.inference.predictor import Predictor

if TYPE_CHECKING:
    from semiseg.model.release import Release


class Model(Predictor, ModelHubMixin):
    """A trained model.

    `save_pretrained(folder)` writes it with a model card, `Model.from_pretrained(folder)` reads it;
    `push_to_hub` and names of the hub work as the hub's client describes.

    Args:
        release: what was read from the run folder.
        device: where to run, as torch names it.
    """

    def __init__(self, release: Release, device: str = "cpu") -> None:
        from semiseg.inference.scenes import prototypes_of, segmenter

        self.release = release
        self.device = device
        self.network = release.network.to(device)
        segment = segmenter(self.network, release.size, release.tensors)
        super().__init__(release.about, segment, prototypes_of(release.tensors)[0] is not None)
        # What the client writes as config.json; all that is needed is in model.json.
        self._hub_mixin_config = {"library_name": "semiseg", "version": __version__}

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:  # noqa: ANN401 - the client's
        """What the client writes as README.md: the card of the run."""
        return ModelCard(model_card(self.about))

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write `model.safetensors` and `model.json`; the client writes the rest."""
        from semiseg.model.release import save_release

        known = {"format", "semiseg", "network", "size", "range", "classes", "sha256"}
        r = self.release
        about = {k: v for k, v in r.about.items() if k not in known}
        save_release(save_directory, r.network, r.classes, r.size, r.value_range, r.tensors, about)

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
        """Read a folder, or what the hub has under a name."""
        from semiseg.model.release import load_release

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
                    f"{model_id} is no folder, and could not be loaded from the hub ({reason})."
                ) from error
        return cls(load_release(folder), **model_kwargs)
