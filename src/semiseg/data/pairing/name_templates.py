"""The rule for images and masks that each have something around the common part of their names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from semiseg.data.pairing.inner_names import without_number
from semiseg.data.pairing.match_state import MOST, MatchState, Proposal, is_task
from semiseg.data.pairing.name_forms import (
    Name,
    Reading,
    numbers_in,
    words,
)

_MAX_SAMPLED = 48  # masks from whose names templates are guessed
_MAX_TEMPLATES = 24  # guesses that are compared
_MAX_SHARED = 4  # images of a part of a name; a part that more of them share gives no guess


class _Template(NamedTuple):
    """What stands around the common part of names; a number behind a mask's end is left out."""

    image_start: str
    image_end: str
    mask_start: str
    mask_end: str


def by_templates(state: MatchState, reading: Reading) -> Iterator[Proposal]:
    """Images have something around the common part of the names, and masks may have so too."""
    masks = [i for i in state.open_masks() if not is_task(state.masks[i])]
    images = [i for i in range(len(state.images)) if i not in state.with_mask]
    if not masks or not images or (state.image_of and len(masks) < 3):
        return
    if not reading.is_extreme:  # the loosest one finds the same, and guesses cost time
        return
    sampled = masks[:: -(-len(masks) // _MAX_SAMPLED)]
    guesses = _guess_templates(
        {i: reading.images[i] for i in images}, {i: reading.masks[i] for i in sampled}
    )
    groups: dict[tuple[str, str], dict[int, tuple[_Template, list[int]]]] = defaultdict(dict)
    applied: list[Mapping[int, list[int]]] = []
    for template, votes in guesses:
        if any(votes.items() <= before.items() for before in applied):
            continue  # it reads the same with a shorter common part
        applied.append(votes)
        group = groups[template[:2]]
        candidates, having = _apply(state, template, reading, masks)
        images_of_masks = {image for theirs in candidates.values() for image in theirs}
        is_common = len(masks) == 1 and having > max(1, len(images) // 2)
        if len(images_of_masks) >= 2 or is_common:
            for mask, theirs in candidates.items():
                first, others = group.get(mask, (template, []))
                group[mask] = first, sorted({*others, *theirs})
    sizes = {affix: len(group) for affix, group in groups.items()}
    largest = max(sizes.values(), default=0)
    best = [group for affix, group in groups.items() if sizes[affix] == largest]
    if not best or not largest:
        return
    templates = Counter(template for template, _ in best[0].values())
    one_sided = not any(template.mask_start or template.mask_end for template in templates)
    if largest < (0.5 if one_sided else MOST) * len(masks):
        return
    merged = {
        mask: sorted({image for group in best for image in group.get(mask, (0, []))[1]})
        for mask in best[0]
    }
    for template in templates:
        mine = {mask: merged[mask] for mask, (own, _) in best[0].items() if own == template}
        cores = {
            m: _core(reading.images[theirs[0]].stem, template.image_start, template.image_end)
            for m, theirs in mine.items()
        }
        affixes = {m: reading.masks[m].stem.replace(cores[m], " ", 1).strip() for m in mine}
        yield Proposal(mine, _template_text(template) + reading.note, affixes)


def _apply(
    state: MatchState, template: _Template, reading: Reading, masks: Sequence[int]
) -> tuple[dict[int, list[int]], int]:
    """The images that a template gives to masks, and the number of images that fit it."""
    start, end = template.image_start, template.image_end
    index: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, name in enumerate(reading.images):
        core = _core(name.stem, start, end)
        if core:
            index[name.folder, core].append(i)
    candidates: dict[int, list[int]] = {}
    for mask in masks:
        folder, text, _ = reading.masks[mask]
        core = _core(text, template.mask_start, template.mask_end)
        keys = [core] if core else []
        shorter = without_number(text) if template.mask_end else text
        if shorter != text and (core := _core(shorter, template.mask_start, template.mask_end)):
            keys.append(core)
        for core in keys:
            fitting = [i for i in index.get((folder, core), ()) if reading.allows(i, mask)]
            if fitting:
                candidates[mask] = fitting
                break
    return candidates, sum(map(len, index.values()))


def _core(text: str, start: str, end: str) -> str:
    """What is between a start and an end, or nothing if the text does not have both."""
    if len(text) <= len(start) + len(end) or not (text.startswith(start) and text.endswith(end)):
        return ""
    core = text[len(start) : len(text) - len(end)]
    cuts_number = (start[-1:].isdigit() and core[0].isdigit()) or (
        end[:1].isdigit() and core[-1].isdigit()
    )
    return "" if cuts_number else core


def _guess_templates(
    images: Mapping[int, Name], masks: Mapping[int, Name]
) -> list[tuple[_Template, dict[int, list[int]]]]:
    """The templates that parts of a few masks' names suggest, the likeliest ones first.

    Returns:
        Each with the images that it gives to these masks.
    """
    parts: dict[tuple[str, str], list[tuple[int, str, str]]] = defaultdict(list)
    for i, (folder, text, _) in masks.items():
        spans = words(text)
        inner = {(b, e) for k, (b, _) in enumerate(spans) for _, e in spans[k:]}
        for begin, end in sorted({*inner, (0, len(text))}):
            family = without_number(text[end:]) or text[end:]
            parts[folder, text[begin:end]].append((i, text[:begin], family))
    hits: dict[tuple[str, str], list[tuple[int, str, str]]] = defaultdict(list)
    for i, (folder, text, _) in images.items():
        spans = words(text)
        for k, (begin, _) in enumerate(spans):
            for _, end in spans[k:]:
                key = folder, text[begin:end]
                if key in parts:
                    hits[key].append((i, text[:begin], text[end:]))
    votes: dict[_Template, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    size: Counter[_Template] = Counter()
    for key, ends in hits.items():
        if len(ends) > _MAX_SHARED:
            continue
        for mask, mask_start, mask_end in parts[key]:
            for image, image_start, image_end in ends:
                template = _Template(image_start, image_end, mask_start, mask_end)
                if (image_start or image_end) and _is_plausible(template):
                    votes[template][mask].add(image)
                    size[template] += len(key[1])
    ranked = sorted(votes, key=lambda t: (-len(votes[t]), -size[t], t))
    return [
        (template, {mask: sorted(theirs) for mask, theirs in votes[template].items()})
        for template in ranked[:_MAX_TEMPLATES]
    ]


def _is_plausible(template: _Template) -> bool:
    """Whether the numbers that are left out do not contradict each other: cam1_7, cam2_7."""
    starts = numbers_in(template.image_start), numbers_in(template.mask_start)
    ends = numbers_in(template.image_end), numbers_in(template.mask_end)
    return all(not a or not b or a == b for a, b in (starts, ends))


def _template_text(template: _Template) -> str:
    image = f"{template.image_start}NAME{template.image_end}"
    mask = f"{template.mask_start}NAME{template.mask_end}"
    return f"an image is called `{image}` and its mask `{mask}`"
