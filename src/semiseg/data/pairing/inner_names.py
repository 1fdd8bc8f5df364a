"""The rule for masks that have their image's name in their own."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from semiseg.data.pairing.match_state import MOST, MatchState, Proposal
from semiseg.data.pairing.name_forms import (
    Reading,
    by_key,
    cuts,
    words,
)
from semiseg.data.pairing.number_series import DIGITS
from semiseg.data.pairing.roles import MASK_WORDS

ROLE_WORDS = MASK_WORDS | {"ho", "groundtruths", "ground", "annotated", "msks"}
"""Words that a mask's name adds to its image's; with one of them a single pair is a rule."""

_NUMBER_BEHIND = re.compile(r"[\W_]*[0-9]+[\W_]*$")
_MAX_TRIED = 400  # masks among which one at least has its image's name in its own
_NUMBER = "#"  # stands for a number alone behind an image's name


def names_inside(state: MatchState, reading: Reading) -> Iterator[Proposal]:
    """A mask's name has the whole name of its image in it."""
    masks = state.open_masks()
    index = by_key((name.folder, name.stem) for name in reading.images)
    lengths = {len(name.stem) for name in reading.images}
    options: dict[int, list[tuple[tuple[str, str], list[int]]]] = {}
    support: dict[tuple[str, str], set[int]] = defaultdict(set)
    cover: Counter[tuple[str, str]] = Counter()
    step = max(1, len(masks) // _MAX_TRIED)
    for k, mask in enumerate([*masks[::step], *masks] if step > 1 else masks):
        if step > 1 and k == len(masks[::step]):
            if not options:
                return
            options, support, cover = {}, defaultdict(set), Counter()
        folder, text, _ = reading.masks[mask]
        for begin, end in cuts(text, lengths):
            images = index.get((folder, text[begin:end]))
            if images is None or text[end : end + 1].isdigit():
                continue
            images = [image for image in images if reading.allows(image, mask)]
            if not images or all(image in state.with_mask for image in images):
                continue
            behind = text[end:]
            family = text[:begin], behind and (without_number(behind) or _NUMBER)
            options.setdefault(mask, []).append((family, images))
            support[family].update(images)
            cover[family] += 1
    yield from _families(state, reading, masks, options, support, cover)


def _families(
    state: MatchState,
    reading: Reading,
    masks: Sequence[int],
    options: Mapping[int, list[tuple[tuple[str, str], list[int]]]],
    support: Mapping[tuple[str, str], set[int]],
    cover: Mapping[tuple[str, str], int],
) -> Iterator[Proposal]:
    names = [reading.masks[i].stem for i in state.equal]

    def is_part_of_names(family: tuple[str, str]) -> bool:
        end = "" if family[1] == _NUMBER else family[1]
        return any(name.startswith(family[0]) and name.endswith(end) for name in names)

    strong = {family for family in support if not (names and is_part_of_names(family))}
    frequent = {family for family in strong if len(support[family]) > 1}
    covered = sum(any(f in frequent for f, _ in options[mask]) for mask in options)
    imaged = set().union(*(support[family] for family in frequent))
    unpaired = len(state.images) - len(state.with_mask)
    if not (2 * covered > len(masks) or 2 * len(imaged) > unpaired):
        frequent = set()
    single = {f for f in strong if cover[f] == len(state.masks) and _has_letters(f)}
    accepted = frequent | single | {family for family in strong if _is_role(family)}
    best: dict[tuple[str, str], dict[int, list[int]]] = defaultdict(dict)
    for mask, readings in options.items():
        usable = [(f, images) for f, images in readings if f in accepted]
        if not usable:
            continue
        usable.sort(key=lambda reading: -cover[reading[0]])
        family, images = usable[0]
        rivals = {
            image
            for other, theirs in usable[1:]
            if cover[other] >= MOST * cover[family]
            for image in theirs
        }
        best[family][mask] = sorted({*images, *rivals})
    for family, candidates in sorted(best.items(), key=lambda item: -len(item[1])):
        affixes = {}
        for mask, images in candidates.items():
            core = reading.images[images[0]].stem
            end = reading.masks[mask].stem.removeprefix(family[0])[len(core) :]
            affixes[mask] = f"{family[0]} {end}".strip() if family[0] else end
        has_number = any(DIGITS.search(a) for a in affixes.values())
        text = f"a mask has its image's name with {_around_text(family, has_number)}"
        if len(set(affixes.values())) == 1 and not family[0]:
            (affix,) = set(affixes.values())
            text = f"a mask has its image's name with `{affix}` behind it"
        yield Proposal(candidates, text + reading.note, affixes)


@lru_cache(maxsize=1 << 15)
def without_number(text: str) -> str:
    """A text without the number behind it, and what stands before this."""
    return _NUMBER_BEHIND.sub("", text)


def _has_letters(family: tuple[str, str]) -> bool:
    return any(character.isalpha() for character in "".join(family))


def _is_role(family: tuple[str, str]) -> bool:
    """Whether all words around an image's name say that this is a mask."""
    around = [part[b:e].casefold() for part in family for b, e in words(part)]
    return bool(around) and family[1] != _NUMBER and all(word in ROLE_WORDS for word in around)


def _around_text(family: tuple[str, str], has_number: bool) -> str:
    number = " and a number" if has_number else ""
    start, end = family
    if not end:
        return f"`{start}` before it"
    if end == _NUMBER:
        return f"`{start}` before it and a number behind it" if start else "a number behind it"
    before = f"`{start}` before it and " if start else ""
    return f"{before}`{end}`{number} behind it"
