"""Which masks may be seen: the labeled choice, the hidden rest, the validation images."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.files import file_sha256, read_text, text_sha256
from semiseg.core.rng import Key
from semiseg.core.types import Sample
from semiseg.data.dataset import DataFolder

_SUFFIX = re.compile(r"\.[^./]+$")
_KIND = re.compile(r"_(leftImg8bit|gtFine_\w+)$")  # which lists of Cityscapes may have
_TRIES = 10_000  # of covers, before a class is left out
_HELD_OUT = 0.2  # of the labeled images, where the folder has no `val`


@dataclass(frozen=True)
class Split:
    """The images of one training.

    Attributes:
        labeled: images whose masks are used.
        unlabeled: all other training images; their masks, if any, are not named here.
        val: validation images.
        notes: sentences on what was held out, hidden or left uncovered.
        source: where a file listed the labeled images, its `file` and the first 16 hex digits of
            its `sha256`; else empty.
        hidden: those of the unlabeled images that do have a mask, with it. They are for the
            diagnostics alone: nothing here is ever taught.
    """

    labeled: tuple[Sample, ...]
    unlabeled: tuple[Sample, ...]
    val: tuple[Sample, ...]
    notes: tuple[str, ...]
    hidden: tuple[Sample, ...] = ()
    source: Mapping[str, str] = field(default_factory=dict)

    def lists(self) -> dict[str, tuple[Sample, ...]]:
        """The three lists that make up the split, by name."""
        return {"labeled": self.labeled, "unlabeled": self.unlabeled, "val": self.val}


def make_split(data: DataFolder, labels: str, split_seed: int, kept: Collection[str] = ()) -> Split:
    """Choose the labeled images, hide the other masks, hold out validation images if need be.

    Args:
        data: the folder.
        labels: `all`, a number, a share (`0.1`, `10%`, `1/8`) or a file with a name a line.
        split_seed: the seed of the choice, apart from the training's.
        kept: names that an earlier run held out. Where there is no `val` they are held out again,
            since what that run's model has learned is no validation for the next one.

    Raises:
        ConfigError: `labels` cannot be understood, or asks for none or more than there are.
        DataError: a listed name is not among the labeled images, or is one of `val`.
    """
    masked = [s for s in data.train if s.mask is not None]
    key = Key.of(split_seed, "split")
    notes: list[str] = []
    listed = None if labels == "all" or _is_amount(labels) else _listed(Path(labels), data)
    val = data.val
    if not val:
        masked, held = _hold_out(masked, listed or [], data.pixels, key.child("val"), kept)
        val = tuple(held)
        notes.append(
            f"{data.root} has no masks in val/: {len(val)} of {len(val) + len(masked)} labeled "
            "images are held out for validation"
        )
    if listed is not None:
        labeled = [s for s in listed if s not in val]
        notes.append(f"{labels} lists {len(listed)} labeled images, hash {list_hash(listed)}")
    else:
        wanted = _amount(labels, len(masked))
        labeled = choose(masked, wanted, data.pixels, key.child("labels"))
    if not labeled:
        raise ConfigError("--labels leaves no labeled image; at least one is needed.")
    taken = {s.image for s in (*labeled, *val)}
    rest = [s for s in data.train if s.image not in taken]
    unlabeled = tuple(s._replace(mask=None) for s in rest)
    hidden = tuple(s for s in rest if s.mask is not None)
    missing = _classes(masked, data.pixels) - _classes(labeled, data.pixels)
    if missing:
        names = ", ".join(data.classes.names[c] for c in sorted(missing))
        notes.append(f"the labeled choice holds no pixel of: {names}")
    if len(labeled) < len(masked):
        notes.append(f"{len(masked) - len(labeled)} masks are hidden, their images unlabeled")
    source = {} if listed is None else {"file": labels, "sha256": _file_hash(Path(labels))}
    return Split(tuple(labeled), unlabeled, val, tuple(notes), hidden, source)


def _listed(path: Path, data: DataFolder) -> list[Sample]:
    """The labeled images that a list names; what is scored or has no mask is refused."""
    masked = [s for s in data.train if s.mask is not None]
    blank = [s for s in data.train if s.mask is None]
    refused = {
        "is an image of val: what is scored must not be taught. Remove the line": data.val,
        "is an image without a mask here. Add the mask, name the --dataset whose masks the list is "
        "for, or remove the line": blank,
    }
    return read_list(path, masked, refused)


def _file_hash(path: Path) -> str:
    return file_sha256(path)[:16]


def choose(
    samples: Sequence[Sample], count: int, pixels: Mapping[Path, Mapping[int, int]], key: Key
) -> list[Sample]:
    """Choose `count` of the samples at random, so that each class occurs where that is possible.

    The first `count` of a random order are taken. Then, from the rarest missing class on, the next
    image of the order that holds it takes the place of the last chosen one that alone holds no
    class: the choice stays as random as covering allows. Where so few images are wanted that this
    leaves a class out, a cover is searched for, and failing that as many classes are covered as
    taking each time the image with most missing classes gives.

    Args:
        samples: labeled samples.
        count: how many to choose.
        pixels: pixels of each class by mask.
        key: the key of the random order.

    Returns:
        The chosen samples, sorted by name.
    """
    ordered = sorted(samples)
    order = [ordered[i] for i in key.numpy().permutation(len(ordered))]
    swapped = _cover_by_swaps(order, count, pixels)
    everything = _classes(samples, pixels)
    if _classes(swapped, pixels) != everything:
        greedy = _cover_greedily(order, count, pixels)
        if len(_classes(greedy, pixels)) > len(_classes(swapped, pixels)):
            swapped = greedy
    if _classes(swapped, pixels) != everything:
        swapped = _cover_exactly(order, count, pixels) or swapped
    return sorted(swapped)


def _cover_by_swaps(
    order: Sequence[Sample], count: int, pixels: Mapping[Path, Mapping[int, int]]
) -> list[Sample]:
    holders: dict[int, list[Sample]] = {}
    for sample in order:
        for c in _classes([sample], pixels):
            holders.setdefault(c, []).append(sample)
    chosen = list(order[:count])
    for c in sorted(holders, key=lambda c: (len(holders[c]), c)):
        if c in _classes(chosen, pixels):
            continue
        for candidate in reversed(chosen):
            rest = [s for s in chosen if s is not candidate]
            if _classes(rest, pixels) == _classes(chosen, pixels):
                chosen = [*rest, holders[c][0]]
                break
    return chosen


def _cover_greedily(
    order: Sequence[Sample], count: int, pixels: Mapping[Path, Mapping[int, int]]
) -> list[Sample]:
    left = list(order)
    chosen: list[Sample] = []
    covered: set[int] = set()
    while len(chosen) < count:
        best = max(left, key=lambda s: len(_classes([s], pixels) - covered))  # first of the order
        left.remove(best)
        chosen.append(best)
        covered |= _classes([best], pixels)
    return chosen


def _cover_exactly(
    order: Sequence[Sample], count: int, pixels: Mapping[Path, Mapping[int, int]]
) -> list[Sample] | None:
    """A choice that covers all classes, found by trying; None if there is none, or after long."""
    shown = {s: _classes([s], pixels) for s in order}
    holders = {c: [s for s in order if c in shown[s]] for c in _classes(order, pixels)}
    tries = itertools.count()

    def search(chosen: list[Sample], open_: set[int]) -> list[Sample] | None:
        if not open_:
            return chosen
        if len(chosen) == count or next(tries) > _TRIES:
            return None
        rarest = min(open_, key=lambda c: (len(holders[c]), c))
        found = (search([*chosen, s], open_ - shown[s]) for s in holders[rarest])
        return next((f for f in found if f is not None), None)

    cover = search([], set(holders))
    if cover is None:
        return None
    return [*cover, *[s for s in order if s not in cover][: count - len(cover)]]


def _classes(samples: Iterable[Sample], pixels: Mapping[Path, Mapping[int, int]]) -> set[int]:
    return {c for s in samples if s.mask is not None for c in pixels[s.mask]}


def _hold_out(
    masked: Sequence[Sample],
    listed: Sequence[Sample],
    pixels: Mapping[Path, Mapping[int, int]],
    key: Key,
    kept: Collection[str],
) -> tuple[list[Sample], list[Sample]]:
    """Labeled images to train on and to validate on, one each at least.

    Images that the user listed to train on are held out only where there are no others, and none
    but those `kept` where some of these have masks.
    """
    if len(masked) < 2:
        raise DataError(
            "There is one labeled image only and no val/: one is needed to train and another to "
            "validate. Label one more image."
        )
    wanted = {s.name for s in listed}
    out = {s.name for s in masked if s.name in kept} - wanted
    if out and len(out) < len(masked):
        return [s for s in masked if s.name not in out], [s for s in masked if s.name in out]
    free = [s for s in masked if s.name not in wanted] or list(masked)
    held = min(len(free), max(1, round(_HELD_OUT * len(masked))))
    trained = {s.name for s in choose(free, len(free) - held, pixels, key)}
    out = {s.name for s in free} - trained
    return [s for s in masked if s.name not in out], [s for s in masked if s.name in out]


def _is_amount(labels: str) -> bool:
    return bool(labels) and all(c in "0123456789.%/-+" for c in labels)


def _amount(labels: str, available: int) -> int:
    """The number of labeled images that `all`, a number or a share asks for."""
    if labels == "all":
        return available
    try:
        if labels.isdigit():
            count = int(labels)
        else:
            top, _, bottom = labels.removesuffix("%").partition("/")
            share = float(top) / float(bottom or 1) / (100 if labels.endswith("%") else 1)
            if not 0 < share <= 1:
                raise ValueError(labels)
            count = max(1, math.floor(share * available + 0.5))
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            f"--labels {labels} is neither a number of masks, nor a share between 0 and 1 "
            "(0.1, 10%, 1/8), nor a file, nor 'all'."
        ) from error
    if count < 1:
        raise ConfigError("--labels 0 leaves nothing to learn from; ask for at least 1.")
    if count > available:
        raise ConfigError(
            f"--labels {count} asks for more masks than there are to train on: {available}."
        )
    return count


def read_list(
    path: Path,
    samples: Sequence[Sample],
    refused: Mapping[str, Sequence[Sample]] = MappingProxyType({}),
) -> list[Sample]:
    """The samples that a list file names, one a line, with or without folder and suffix.

    Of a line with several columns (image and mask, as published lists have them) the first counts.

    Args:
        path: the list.
        samples: those that it may name.
        refused: those that it may not name, by what is wrong with them.

    Raises:
        ConfigError: there is no such file.
        DataError: the file cannot be read, is empty, or names something that is not there, is
            refused or is not clear.
    """
    try:
        lines = read_text(path).split("\n")
    except OSError as error:
        raise ConfigError(
            f"--labels {path}: no such file can be read, and it is neither a number, a share "
            "(0.1, 10%, 1/8) nor 'all'."
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not a text file ({error}).") from error
    known, others = _Names(samples), {told: _Names(some) for told, some in refused.items()}
    chosen: dict[str, Sample] = {}
    for number, line in enumerate(lines, 1):
        words = line.strip()
        where = f"{path}, line {number}: "
        sample = known.by_name.get(line)  # as we write them, though it be like a comment
        if sample is None and (not words or words.startswith("#")):
            continue
        sample = sample or known.find(words, where)
        if sample is None:
            told = [told for told, names in others.items() if names.find(words, where)]
            reason = f"{words} {told[0]}" if told else f"there is no labeled image {words}"
            raise DataError(f"{where}{reason}.")
        chosen[sample.name] = sample
    if not chosen:
        raise DataError(f"{path} names no image.")
    return sorted(chosen.values())


class _Names:
    """Finds samples by what lists call them."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.by_name = {s.name: s for s in samples}
        self.by_stem: dict[str, list[Sample]] = {}
        for sample in samples:
            self.by_stem.setdefault(sample.name.rsplit("/", 1)[-1], []).append(sample)

    def find(self, words: str, where: str) -> Sample | None:
        """The sample of a line, if there is one.

        Raises:
            DataError: there are two.
        """
        first = words.split()[0]
        names = [name for text in (words, first) for name in (text, _SUFFIX.sub("", text))]
        for name in names:
            if name in self.by_name:
                return self.by_name[name]
        # A name may hold spaces, but rather a line has columns.
        for name in (*names[2:], *names[:2], _KIND.sub("", names[3])):
            same = self.by_stem.get(name.rsplit("/", 1)[-1], [])
            if len(same) == 1:
                return same[0]
            if same:
                raise DataError(
                    f"{where}{words} may be {same[0].name} or {same[1].name}. Write the path below "
                    "images/."
                )
        return None


def list_hash(samples: Iterable[Sample]) -> str:
    """The first 16 hex digits of the SHA-256 of the sorted names, a line each."""
    text = "".join(f"{name}\n" for name in sorted(s.name for s in samples))
    return text_sha256(text)[:16]
