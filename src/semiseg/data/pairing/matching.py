"""Which mask belongs to which image, by nothing but their names.

`match_names` tries rules from the strictest to the loosest. A looser rule is used only for the
masks that the stricter ones leave, and only where it is unique in both directions. What can be
read in two ways is a `Rival`, never a pair. The order of files decides nothing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from semiseg.data.pairing.name_forms import (
    SEPARATORS,
    Name,
    Reading,
    by_key,
    cuts,
    numbers_in,
    places,
    read_names,
    stem,
    without_common_folders,
    words,
)
from semiseg.data.pairing.roles import MASK_WORDS

ROLE_WORDS = MASK_WORDS | {"ho", "groundtruths", "ground", "annotated", "msks"}
"""Words that a mask's name adds to its image's; with one of them a single pair is a rule."""

_NUMBER_BEHIND = re.compile(r"[\W_]*[0-9]+[\W_]*$")
_DIGITS = re.compile(r"[0-9]+")
_LAST_NUMBER = re.compile(r"^(.*?)([0-9]+)([^0-9]*)$")
_MIN_SERIES = 4  # files that are numbered
_TASK = re.compile(r"task-[0-9]+-annotation-[0-9]+")
_MAX_SAMPLED = 48  # masks from whose names templates are guessed
_MAX_TRIED = 400  # masks among which one at least has its image's name in its own
_MAX_TEMPLATES = 24  # guesses that are compared
_MAX_SHARED = 4  # images of a part of a name; a part that more of them share gives no guess
_MOST = 0.9
_NUMBER = "#"  # stands for a number alone behind an image's name
_EQUAL = "a mask has its image's name"


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
    matcher = _Matcher(list(images), list(masks))
    matcher.run()
    return matcher.result()


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
    numbers = [digits[-1] for text in stems if (digits := _DIGITS.findall(text))]
    skeletons = {head + tail for text in stems for head, _, tail in [_last_number(text)]}
    if len(numbers) < len(stems) or len(skeletons) != 1:
        return []
    values = sorted({int(number) for number in numbers})
    return values if len(values) == len(stems) else []


def _last_number(text: str) -> tuple[str, str, str]:
    """A name before, in and behind its last number."""
    match = _LAST_NUMBER.search(text)
    return (match[1], match[2], match[3]) if match else (text, "", "")


class _Proposal(NamedTuple):
    """What a rule reads: the images that each mask may belong to, and the words for it."""

    candidates: dict[int, list[int]]
    text: str
    affixes: Mapping[int, str]


class _Template(NamedTuple):
    """What stands around the common part of names; a number behind a mask's end is left out."""

    image_start: str
    image_end: str
    mask_start: str
    mask_end: str


class _Matcher:
    """The state of a search: what is paired so far."""

    def __init__(self, images: list[str], masks: list[str]) -> None:
        self.images, self.masks = images, masks
        self.image_of: dict[int, int] = {}
        self.rivals: dict[int, list[int]] = {}
        self.rules: list[Rule] = []
        self.affixes: dict[int, str] = {}
        self.with_mask: set[int] = set()
        self.equal: set[int] = set()  # masks that have their images' names

    def run(self) -> None:
        """Pair what can be paired."""
        rules: list[Callable[[Reading], Iterator[_Proposal]]]
        rules = [self._equal, self._whole, self._around, self._by_template, self._by_numbers]
        longer = (self._whole, self._around)
        for reading in read_names(self.images, self.masks):
            for rule in rules:
                self._accept(list(rule(reading)), rule == self._equal, rule in longer)
                if not self.open_masks():
                    return
        self._accept(list(self._by_folder()))

    def open_masks(self) -> list[int]:
        """The masks that are in no pair and ambiguous by no rule so far."""
        return [i for i in range(len(self.masks)) if not self._is_settled(i)]

    def _is_settled(self, mask: int) -> bool:
        return mask in self.image_of or mask in self.rivals

    def _accept(
        self, proposals: Sequence[_Proposal], is_equality: bool = False, is_longer: bool = False
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
            is_plain = is_equality and proposal.text == _EQUAL
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

    def _candidates(
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

    def _equal(self, reading: Reading) -> Iterator[_Proposal]:
        index = by_key((name.folder, name.stem) for name in reading.images)
        masks = self.open_masks()
        keys = {i: (reading.masks[i].folder, reading.masks[i].stem) for i in masks}
        candidates = self._candidates(reading, index, keys)
        if reading.is_strict or 2 * len(candidates) > len(masks):
            yield _Proposal(candidates, f"{_EQUAL}{reading.note}", {})

    def _whole(self, reading: Reading) -> Iterator[_Proposal]:
        index = by_key((name.folder, name.whole) for name in reading.images)
        names = {i: reading.masks[i] for i in self.open_masks()}
        keys = {i: (name.folder, name.stem) for i, name in names.items() if "." in name.stem}
        text = f"a mask has its image's name with the suffix{reading.note}"
        yield _Proposal(self._candidates(reading, index, keys), text, {})

    def _around(self, reading: Reading) -> Iterator[_Proposal]:
        """A mask's name has the whole name of its image in it."""
        masks = self.open_masks()
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
                if not images or all(image in self.with_mask for image in images):
                    continue
                behind = text[end:]
                family = text[:begin], behind and (_without_number(behind) or _NUMBER)
                options.setdefault(mask, []).append((family, images))
                support[family].update(images)
                cover[family] += 1
        yield from self._families(reading, masks, options, support, cover)

    def _families(
        self,
        reading: Reading,
        masks: Sequence[int],
        options: Mapping[int, list[tuple[tuple[str, str], list[int]]]],
        support: Mapping[tuple[str, str], set[int]],
        cover: Mapping[tuple[str, str], int],
    ) -> Iterator[_Proposal]:
        names = [reading.masks[i].stem for i in self.equal]

        def is_part_of_names(family: tuple[str, str]) -> bool:
            end = "" if family[1] == _NUMBER else family[1]
            return any(name.startswith(family[0]) and name.endswith(end) for name in names)

        strong = {family for family in support if not (names and is_part_of_names(family))}
        frequent = {family for family in strong if len(support[family]) > 1}
        covered = sum(any(f in frequent for f, _ in options[mask]) for mask in options)
        imaged = set().union(*(support[family] for family in frequent))
        unpaired = len(self.images) - len(self.with_mask)
        if not (2 * covered > len(masks) or 2 * len(imaged) > unpaired):
            frequent = set()
        single = {f for f in strong if cover[f] == len(self.masks) and _has_letters(f)}
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
                if cover[other] >= _MOST * cover[family]
                for image in theirs
            }
            best[family][mask] = sorted({*images, *rivals})
        for family, candidates in sorted(best.items(), key=lambda item: -len(item[1])):
            affixes = {}
            for mask, images in candidates.items():
                core = reading.images[images[0]].stem
                end = reading.masks[mask].stem.removeprefix(family[0])[len(core) :]
                affixes[mask] = f"{family[0]} {end}".strip() if family[0] else end
            has_number = any(_DIGITS.search(a) for a in affixes.values())
            text = f"a mask has its image's name with {_around_text(family, has_number)}"
            if len(set(affixes.values())) == 1 and not family[0]:
                (affix,) = set(affixes.values())
                text = f"a mask has its image's name with `{affix}` behind it"
            yield _Proposal(candidates, text + reading.note, affixes)

    def _by_template(self, reading: Reading) -> Iterator[_Proposal]:
        """Images have something around the common part of the names, and masks may have so too."""
        masks = [i for i in self.open_masks() if not _TASK.search(self.masks[i])]
        images = [i for i in range(len(self.images)) if i not in self.with_mask]
        if not masks or not images or (self.image_of and len(masks) < 3):
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
            candidates, having = self._apply(template, reading, masks)
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
        if largest < (0.5 if one_sided else _MOST) * len(masks):
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
            yield _Proposal(mine, _template_text(template) + reading.note, affixes)

    def _apply(
        self, template: _Template, reading: Reading, masks: Sequence[int]
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
            shorter = _without_number(text) if template.mask_end else text
            if shorter != text and (core := _core(shorter, template.mask_start, template.mask_end)):
                keys.append(core)
            for core in keys:
                fitting = [i for i in index.get((folder, core), ()) if reading.allows(i, mask)]
                if fitting:
                    candidates[mask] = fitting
                    break
        return candidates, sum(map(len, index.values()))

    def _by_numbers(self, reading: Reading) -> Iterator[_Proposal]:
        """Images have one text around their numbers, masks another one; the numbers are equal."""
        masks = [i for i in self.open_masks() if not _TASK.search(self.masks[i])]
        if len(masks) < 2 or self.image_of:
            return
        images: dict[str, list[int]] = defaultdict(list)
        for i, name in enumerate(reading.images):
            images[_DIGITS.sub("#", name.stem)].append(i)
        skeleton = _DIGITS.sub("#", reading.masks[masks[0]].stem)
        same = [i for i in masks if _DIGITS.sub("#", reading.masks[i].stem) == skeleton]
        if "#" not in skeleton or len(same) < _MOST * len(masks):
            return
        keys = {i: (reading.masks[i].folder, numbers_in(reading.masks[i].stem)) for i in same}
        images_of_masks: dict[int, list[int]] = {}
        for group in images.values():
            names = (reading.images[i] for i in group)
            index = by_key(((name.folder, numbers_in(name.stem)) for name in names), group)
            candidates = self._candidates(reading, index, keys)
            if len(candidates) >= _MOST * len(masks):
                for mask, theirs in candidates.items():
                    images_of_masks[mask] = sorted({*images_of_masks.get(mask, ()), *theirs})
        if images_of_masks:
            yield _Proposal(images_of_masks, f"a mask has its image's numbers{reading.note}", {})

    def _by_folder(self) -> Iterator[_Proposal]:
        """A folder holds one image, and all masks below it are those of this image."""
        masks = self.open_masks()
        images_in, masks_in = (
            without_common_folders(places(names)) for names in (self.images, self.masks)
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
            yield _Proposal(candidates, text, affixes)


@lru_cache(maxsize=1 << 15)
def _without_number(text: str) -> str:
    """A text without the number behind it, and what stands before this."""
    return _NUMBER_BEHIND.sub("", text)


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
            family = _without_number(text[end:]) or text[end:]
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


def _template_text(template: _Template) -> str:
    image = f"{template.image_start}NAME{template.image_end}"
    mask = f"{template.mask_start}NAME{template.mask_end}"
    return f"an image is called `{image}` and its mask `{mask}`"
