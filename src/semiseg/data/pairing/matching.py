"""Which mask belongs to which image, by nothing but their names.

`match_names` tries rules from the strictest to the loosest. A looser rule is used only for the
masks that the stricter ones leave, and only where it is unique in both directions. What can be
read in two ways is a `Rival`, never a pair. The order of files decides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from semiseg.data.pairing.inner_names import names_inside
from semiseg.data.pairing.match_state import EQUAL_NAMES, Match, MatchState, Proposal
from semiseg.data.pairing.name_forms import (
    Reading,
    by_key,
    places,
    read_names,
    stem,
    without_common_folders,
)
from semiseg.data.pairing.name_templates import by_templates
from semiseg.data.pairing.number_series import by_numbers


def match_names(images: Iterable[str], masks: Iterable[str]) -> Match:
    """Find the image of each mask.

    Args:
        images: paths with suffix and `/`, relative to a folder of images.
        masks: likewise, relative to a folder of masks; the same folder or another one.

    Example:
        >>> match = match_names(["a_1.jpg", "a_2.jpg"], ["a_1_mask.png"])
        >>> match.pairs, match.rule
        ({'a_1.jpg': ('a_1_mask.png',)}, "a mask has its image's name with `_mask` behind it")
    """
    state = MatchState(list(images), list(masks))
    _run(state)
    return state.result()


def _run(state: MatchState) -> None:
    """Pair what can be paired."""
    rules: list[Callable[[MatchState, Reading], Iterator[Proposal]]]
    rules = [equal_names, whole_names, names_inside, by_templates, by_numbers]
    longer = (whole_names, names_inside)
    for reading in read_names(state.images, state.masks):
        for rule in rules:
            state.accept(list(rule(state, reading)), rule == equal_names, rule in longer)
            if not state.open_masks():
                return
    state.accept(list(folders_of_one_image(state)))


def equal_names(state: MatchState, reading: Reading) -> Iterator[Proposal]:
    """A mask has its image's name."""
    index = by_key((name.folder, name.stem) for name in reading.images)
    masks = state.open_masks()
    keys = {i: (reading.masks[i].folder, reading.masks[i].stem) for i in masks}
    candidates = state.candidates(reading, index, keys)
    if reading.is_strict or 2 * len(candidates) > len(masks):
        yield Proposal(candidates, f"{EQUAL_NAMES}{reading.note}", {})


def whole_names(state: MatchState, reading: Reading) -> Iterator[Proposal]:
    """A mask has its image's name with the suffix of the image."""
    index = by_key((name.folder, name.whole) for name in reading.images)
    names = {i: reading.masks[i] for i in state.open_masks()}
    keys = {i: (name.folder, name.stem) for i, name in names.items() if "." in name.stem}
    text = f"a mask has its image's name with the suffix{reading.note}"
    yield Proposal(state.candidates(reading, index, keys), text, {})


def folders_of_one_image(state: MatchState) -> Iterator[Proposal]:
    """A folder holds one image, and all masks below it are those of this image."""
    masks = state.open_masks()
    images_in, masks_in = (
        without_common_folders(places(names)) for names in (state.images, state.masks)
    )
    by_folder: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, (folders, _) in enumerate(images_in):
        by_folder[folders].append(i)
    candidates = {
        i: images
        for i in masks
        if masks_in[i][0] and len(images := by_folder.get(masks_in[i][0], [])) == 1
    }
    stems = {stem(place.name) for place in images_in}
    is_elsewhere = any(stem(masks_in[i].name) in stems for i in candidates)
    if 2 * len(candidates) > len(masks) and not is_elsewhere:
        affixes = {i: stem(masks_in[i].name) for i in candidates}
        text = "a folder of one image holds the masks of this image"
        yield Proposal(candidates, text, affixes)
