"""The setting `scale`: how large the network sees an image."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from semiseg.config.settings import Auto, Bounds

FACTORS = Bounds(1 / 256, 16)
"""The factors on the pixels of an image."""
Scale: TypeAlias = Auto | Literal["fit", "keep"] | Annotated[float, FACTORS]
"""`fit` scales the short side to that of the training, `keep` keeps the scale of the training
images, and `auto` decides by the ground resolution. A number is a factor on the image's pixels."""
