"""The settings of `cct`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from semiseg.config.methods.base import UnlabeledSettings
from semiseg.config.settings import Auto, Count, NonNegative, Positive, Share

AuxiliaryDecoder: TypeAlias = Literal["linear", "shuffle"]
Background: TypeAlias = Literal["first", "none"]


@dataclass(frozen=True, kw_only=True)
class CctSettings(UnlabeledSettings):
    """The settings of `cct`.

    Each auxiliary decoder has one kind of perturbation, so the number of decoders of a kind is a
    setting.
    """

    implementation: ClassVar[str] = "semiseg.methods.cct:CCT"
    paper: ClassVar[str] = (
        'Ouali et al., "Semi-Supervised Semantic Segmentation with Cross-Consistency '
        'Training", CVPR 2020, arXiv 2003.09005'
    )

    noise_decoders: Count = 1
    """The auxiliary decoders whose features are multiplied with noise (F-Noise)."""
    drop_decoders: Count = 1
    """Those whose strongest positions are set to 0 (F-Drop)."""
    dropout_decoders: Count = 1
    """Those half of whose channels are set to 0 (Dropout)."""
    cutout_decoders: Count = 1
    """Those with a window of each object set to 0 (G-Cutout). They need a background."""
    context_decoders: Count = 1
    """Those that see the objects only (Con-Msk). They need a background."""
    object_decoders: Count = 1
    """Those that see the background only (Obj-Msk). They need a background."""
    adversarial_decoders: Count = 1
    """Those with the noise that changes their prediction the most (I-VAT)."""
    background: Background | Auto = "auto"
    """Whether the `first` class is the background, or `none` is. `auto` means the first one if it
    is the background for the scores too. Without one, there are no decoders that need it."""
    auxiliary_decoder: AuxiliaryDecoder = "linear"
    """How an auxiliary decoder is built: `linear` is a 1x1 convolution that predicts at stride 4,
    `shuffle` enlarges its prediction to the size of the image in learned steps, as in the paper."""
    adversarial_length: Positive = 2.0
    """The length of the noise of I-VAT over all values of an image's features."""
    consistency_weight: NonNegative = 30.0
    """The weight of the squared difference of the predictions after its ramp-up."""
    ramp_up: Share = 0.1
    """The share of the steps over which that weight rises, as `exp(-5 (1 - t)^2)`."""
