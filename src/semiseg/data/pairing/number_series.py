"""Files that are numbered: by which numbers masks belong to images, and where they do not."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from semiseg.data.pairing.match_state import MOST, MatchState, Proposal, is_task
from semiseg.data.pairing.name_forms import (
    Reading,
    by_key,
    numbers_in,
    stem,
)

DIGITS = re.compile(r"[0-9]+")
_LAST_NUMBER = re.compile(r"^(.*?)([0-9]+)([^0-9]*)$")
_MIN_SERIES = 4  # files that are numbered


def counts_from_another_number(images: Iterable[str], masks: Iterable[str]) -> bool:
    """Whether files are numbered alike but from another number on: 1 to 20, and 0 to 19.

    Then the numbers do not tell which mask belongs to which image, though most of them are equal.

    Args:
        images: as for `match_names`.
        masks: likewise.
    """
    sides = [_series(names) for names in (images, masks)]
    first, second = (numbers for numbers in sides)
    if len(first) != len(second) or len(first) < _MIN_SERIES:
        return False
    shifts = {b - a for a, b in zip(first, second, strict=True)}
    return len(shifts) == 1 and 0 < abs(shifts.pop()) < len(first) / 2


def _series(names: Iterable[str]) -> list[int]:
    """The sorted numbers of names that differ in one number only; empty if they do not."""
    stems = [stem(name) for name in names]
    numbers = [digits[-1] for text in stems if (digits := DIGITS.findall(text))]
    skeletons = {head + tail for text in stems for head, _, tail in [_last_number(text)]}
    if len(numbers) < len(stems) or len(skeletons) != 1:
        return []
    values = sorted({int(number) for number in numbers})
    return values if len(values) == len(stems) else []


def _last_number(text: str) -> tuple[str, str, str]:
    """A name before, in and behind its last number."""
    match = _LAST_NUMBER.search(text)
    return (match[1], match[2], match[3]) if match else (text, "", "")


def by_numbers(state: MatchState, reading: Reading) -> Iterator[Proposal]:
    """Images have one text around their numbers, masks another one; the numbers are equal."""
    masks = [i for i in state.open_masks() if not is_task(state.masks[i])]
    if len(masks) < 2 or state.image_of:
        return
    images: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(reading.images):
        images[DIGITS.sub("#", name.stem)].append(i)
    skeleton = DIGITS.sub("#", reading.masks[masks[0]].stem)
    same = [i for i in masks if DIGITS.sub("#", reading.masks[i].stem) == skeleton]
    if "#" not in skeleton or len(same) < MOST * len(masks):
        return
    keys = {i: (reading.masks[i].folder, numbers_in(reading.masks[i].stem)) for i in same}
    images_of_masks: dict[int, list[int]] = {}
    for group in images.values():
        names = (reading.images[i] for i in group)
        index = by_key(((name.folder, numbers_in(name.stem)) for name in names), group)
        candidates = state.candidates(reading, index, keys)
        if len(candidates) >= MOST * len(masks):
            for mask, theirs in candidates.items():
                images_of_masks[mask] = sorted({*images_of_masks.get(mask, ()), *theirs})
    if images_of_masks:
        yield Proposal(images_of_masks, f"a mask has its image's numbers{reading.note}", {})
