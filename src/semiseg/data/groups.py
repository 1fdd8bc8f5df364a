"""Groups of images that must not be split: of one patient, plot, drive or video, or of one map."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from semiseg.core.errors import ConfigError
from semiseg.core.text import plural
from semiseg.core.types import Sample

POOL = "unlabeled/"
"""The beginning of the names of images without masks beside the layout's."""


@dataclass(frozen=True)
class Groups:
    """The group of each image.

    Attributes:
        pattern: the regular expression that finds the group in a name; None if each image stands
            for itself.
        blocks: the names of the blocks of tiles of large rasters by the images of the tiles; they
            count where there is no pattern.
        corrected: the images of folders of corrected masks, whose names begin with that folder.
    """

    pattern: str | None = None
    blocks: Mapping[Path, str] = field(default_factory=dict)
    corrected: frozenset[Path] = frozenset()
    _compiled: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the pattern."""
        try:
            compiled = None if self.pattern is None else re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(
                f"The group {self.pattern!r} is no regular expression ({error})."
            ) from error
        object.__setattr__(self, "_compiled", compiled)

    def of(self, sample: Sample) -> str:
        """The group of an image; an image without a match is a group of its own.

        Example:
            >>> from pathlib import Path
            >>> groups = Groups("^(.*?)_")
            >>> groups.of(Sample("patient7_03", Path("patient7_03.png"), None))
            'group patient7'
        """
        if self.pattern is None and sample.image in self.blocks:
            return f"block {self.blocks[sample.image]}"
        name = sample.name.removeprefix(POOL)
        if sample.image in self.corrected:
            name = name.partition("/")[2]
        match = self._compiled.search(name) if self._compiled else None
        if match is None:
            return f"image {sample.name}"
        text = match[1] if match.re.groups and match[1] is not None else match[0]
        return f"group {text}"

    @property
    def keep_together(self) -> bool:
        """Whether several images may be of one group."""
        return self.pattern is not None or bool(self.blocks)

    @property
    def noun(self) -> str:
        """What the groups are, in one word."""
        return "group" if self.pattern is not None else "block"

    def matches(self, sample: Sample) -> bool:
        """Whether the pattern finds a group in the name of an image."""
        return self.of(sample).startswith("group ")

    def divide(self, samples: Iterable[Sample]) -> dict[str, list[Sample]]:
        """The images of each group."""
        units: dict[str, list[Sample]] = {}
        for sample in samples:
            units.setdefault(self.of(sample), []).append(sample)
        return units

    def without(self, apart: Iterable[Sample], samples: Iterable[Sample]) -> list[Sample]:
        """The images of `samples` that share no group with those of `apart`."""
        excluded = {self.of(sample) for sample in apart}
        return [sample for sample in samples if self.of(sample) not in excluded]

    def count(self, samples: Iterable[Sample]) -> str:
        """The number of groups of some images, as the end of a sentence."""
        if not self.keep_together:
            return ""
        return f", those of {plural(len(self.divide(samples)), self.noun)}"

    def notes(self, samples: Iterable[Sample]) -> list[str]:
        """A sentence on images without a group, if there are any.

        Args:
            samples: all images.

        Raises:
            ConfigError: the pattern finds a group in no name.
        """
        if self.pattern is None:
            return []
        everything = list(samples)
        others = [sample for sample in everything if not self.matches(sample)]
        if everything and len(others) == len(everything):
            raise ConfigError(
                f"{self} matches the name of no image. The names are paths below the folder of "
                f"the images without suffix, such as {others[0].name.removeprefix(POOL)}."
            )
        if not others:
            return []
        return [
            f"{self} does not match the names of {len(others)} of {len(everything)} images (the "
            f"first is {others[0].name}), so that each of them is a group of its own"
        ]

    def __str__(self) -> str:
        """The pattern as a flag, for messages."""
        return f"--group {self.pattern}"
