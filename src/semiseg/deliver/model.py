"""A trained network as an object that segments images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semiseg.deliver.predictor import Predictor

if TYPE_CHECKING:
    from semiseg.model.release import Release


class Model(Predictor):
    """A trained model.

    Args:
        release: what was read from the run folder.
        device: where to run, as torch names it.
    """

    def __init__(self, release: Release, device: str = "cpu") -> None:
        from semiseg.evaluation.inference import prototypes_of, segmenter

        self.release = release
        self.device = device
        self.network = release.network.to(device)
        segment = segmenter(self.network, release.size, release.tensors)
        super().__init__(release.about, segment, prototypes_of(release.tensors)[0] is not None)
