"""What a search for the masks of images has paired so far, and its result."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from semiseg.data.pairing.name_forms import (
    SEPARATORS,
    Reading,
    places,
    without_common_folders,
)

EQUAL_NAMES = "a mask has its image's name"
MOST = 0.9
"""The share of masks that count as nearly all."""
_TASK_NAME = re.compile(r"task-[0-9]+-annotation-[0-9]+")


class Rule(NamedTuple):
    """A rule that paired masks with images.

    Attributes:
        text: what a mask's name has to do with its image's; it continues "found by the rule: ".
        pairs: the number of masks that it paired.
        image: the image of the first pair.
        mask: the mask of the first pair.
        is_equality: whether the names are equal, which goes without saying.
        is_longer: whether the mask's name is the image's and more.
    """

    text: str
    pairs: int
    image: str
    mask: str
    is_equality: bool = False
    is_longer: bool = False


class Rival(NamedTuple):
    """A mask that may belong to each of several images."""

    mask: str
    images: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """Which mask belongs to which image.

    Attributes:
        pairs: the masks of each image that has any, both in the order in which they were given.
        unmatched: the masks that belong to no image.
        rivals: the masks that may belong to several images; they are in no pair.
        rules: what was used, from the strictest rule to the loosest.
        variants: what each mask's name says besides its image's, in words (`mask 1`).
    """

    pairs: Mapping[str, tuple[str, ...]]
    unmatched: tuple[str, ...] = ()
    rivals: tuple[Rival, ...] = ()
    rules: tuple[Rule, ...] = ()
    variants: Mapping[str, str] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """The rules in one sentence, without a period; empty if there is no pair."""
        return "; or ".join(rule.text for rule in self.rules)


class Proposal(NamedTuple):
    """What a rule reads: the images that each mask may belong to, and the words for it."""

    candidates: dict[int, list[int]]
    text: str
    affixes: Mapping[int, str]


class MatchState:
    """The state of a search: what is paired so far."""

    def __init__(self, images: list[str], masks: list[str]) -> None:
        self.images, self.masks = images, masks
        self.image_of: dict[int, int] = {}
        self.rivals: dict[int, list[int]] = {}
        self.rules: list[Rule] = []
        self.affixes: dict[int, str] = {}
        self.with_mask: set[int] = set()
        self.equal: set[int] = set()  # masks that have their images' names

    def open_masks(self) -> list[int]:
        """The masks that are in no pair and ambiguous by no rule so far."""
        return [i for i in range(len(self.masks)) if not self._is_settled(i)]

    def _is_settled(self, mask: int) -> bool:
        return mask in self.image_of or mask in self.rivals

    def accept(
        self, proposals: Sequence[Proposal], is_equality: bool = False, is_longer: bool = False
    ) -> None:
        """Pair what one rule reads; an image that has a mask gets no other one by a looser rule."""
        with_mask = frozenset(self.with_mask)
        for proposal in proposals:
            pairs: list[tuple[int, int]] = []
            for mask, images in proposal.candidates.items():
                if self._is_settled(mask) or with_mask.issuperset(images):
                    continue
                if len(images) > 1:
                    self.rivals[mask] = images
                else:
                    pairs.append((images[0], mask))
            if not pairs:
                continue
            for image, mask in pairs:
                self.image_of[mask] = image
                self.affixes[mask] = proposal.affixes.get(mask, "")
            self.with_mask |= {image for image, _ in pairs}
            if is_equality:
                self.equal |= {mask for _, mask in pairs}
            names = self.images[pairs[0][0]], self.masks[pairs[0][1]]
            is_plain = is_equality and proposal.text == EQUAL_NAMES
            self.rules.append(Rule(proposal.text, len(pairs), *names, is_plain, is_longer))

    def result(self) -> Match:
        """What was paired."""
        by_image: dict[int, list[int]] = defaultdict(list)
        for mask in sorted(self.image_of):
            by_image[self.image_of[mask]].append(mask)
        return Match(
            {
                self.images[image]: tuple(self.masks[mask] for mask in by_image[image])
                for image in sorted(by_image)
            },
            tuple(self.masks[mask] for mask in self.open_masks()),
            tuple(
                Rival(self.masks[mask], tuple(self.images[image] for image in images))
                for mask, images in sorted(self.rivals.items())
            ),
            tuple(self.rules),
            self._variants(by_image),
        )

    def _variants(self, by_image: Mapping[int, Sequence[int]]) -> dict[str, str]:
        """What each mask's name says besides its image's, or its folder where this is the same."""
        texts = {i: SEPARATORS.sub(" ", affix).strip() for i, affix in self.affixes.items()}
        several = [masks for masks in by_image.values() if len(masks) > 1]
        if several and all(len({texts[i] for i in masks}) < len(masks) for masks in several):
            files = without_common_folders(places(self.masks))
            places_of = {i: SEPARATORS.sub(" ", " ".join(files[i].folders)) for i in texts}
            texts = {i: f"{places_of[i]} {text}".strip() for i, text in texts.items()}
        return {self.masks[i]: text for i, text in texts.items()}

    def candidates(
        self,
        reading: Reading,
        index: Mapping[tuple[str, str], list[int]],
        keys: Mapping[int, tuple[str, str]],
    ) -> dict[int, list[int]]:
        """The images that have the keys of masks."""
        candidates: dict[int, list[int]] = {}
        for mask, key in keys.items():
            images = [i for i in index.get(key, ()) if reading.allows(i, mask)]
            if images:
                candidates[mask] = images
        return candidates


def is_task(mask: str) -> bool:
    """Whether a mask is named by the numbers of a task of Label Studio, which no image has."""
    return _TASK_NAME.search(mask) is not None
