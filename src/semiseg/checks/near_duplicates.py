"""The rule on images of val or test that are nearly the same as images that are trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.dataset import Dataset
from semiseg.data.defects import on_paths
from semiseg.data.findings import Finding
from semiseg.data.groups import Groups
from semiseg.data.near_duplicates import MAX_QUERIES, NearDuplicate, Thumbnail, find_near_duplicates

_PATTERNS = ("^(.*)/", "^(.*)_", "^(.*?)_", "^(.*?)-", "^(.*?)\\d+$")
"""How names begin with the video, the drive or the patient, from the finest division on."""
_MIN_GROUPS = 2  # fewer leave nothing to hold out


def near_duplicates(data: Dataset) -> Iterator[Finding]:
    """Images that may be scored, and are nearly the same as images that are trained on.

    Where there is no `val`, any labeled image may be held out to be scored.
    """
    holds_out = not data.val
    scored = [s for s, _ in data.labeled("train")] if holds_out else list(data.val)
    scored += data.test
    pairs = _find(data, scored)
    if not pairs:
        return
    details = {p.image: f" like {data.name(p.other)}" for p in pairs}
    unlabeled = {s.image for s in data.train if s.mask is None}
    pool = sum(pair.other in unlabeled for pair in pairs)
    among = f" ({plural(pool, 'of these is', 'of these are')} unlabeled)" if pool else ""
    kind = "Labeled images, which may be held out," if holds_out else "Images of val or test"
    if holds_out and {pair.image for pair in pairs} & {sample.image for sample in data.test}:
        kind = "Labeled images, which may be held out, or images of test"
    least = f"; {MAX_QUERIES} were compared" if len(pairs) >= MAX_QUERIES else ""
    message = f"{kind} that are nearly the same as images that are trained on{among}, so that "
    message += f"scores are too good{least}"
    yield from on_paths(data, "near-duplicate", "warning", details, message, _remedy(data, pairs))


def _find(data: Dataset, scored: Sequence[Sample]) -> list[NearDuplicate]:
    """The pairs; identical images are left to another rule."""
    scans, groups = data.images, Groups(data.group, corrected=data.corrected)
    samples = {sample.image: sample for sample in (*data.train, *scored)}
    held_out, test = not data.val, {sample.image for sample in data.test}

    def may_pair(one: Path, other: Path) -> bool:
        if one == other or scans[one].digest == scans[other].digest:
            return False
        # Groups are held out as a whole; those of test lie in a split already.
        may_part = not held_out or one in test
        return may_part or groups.of(samples[one]) != groups.of(samples[other])

    thumbnails = {
        path: Thumbnail(scans[path].thumbnail, scans[path].size)
        for path in samples
        if path in scans and scans[path].thumbnail
    }
    images, others = [s.image for s in scored], [s.image for s in data.train]
    return find_near_duplicates(images, others, thumbnails, may_pair, data.reading)


def _remedy(data: Dataset, pairs: Iterable[NearDuplicate]) -> str:
    """What keeps such images together: a group that their names suggest, or moving them."""
    samples = {sample.image: sample for split in data.samples.values() for sample in split}
    names = [(samples[pair.image], samples[pair.other]) for pair in pairs]
    copies = "Of copies, keep one."
    pattern = next((p for p in _PATTERNS if _keeps_together(data, Groups(p), names)), None)
    if pattern is None:
        return (
            f"{copies} Frames of a video or images of one place belong in one split: move them, "
            "or name what they share with --group REGEX."
        )
    where = "" if not data.val else " in a folder without val"
    return (
        f"{copies} Frames of a video or images of one place belong in one split: move them, or "
        f"let --group '{pattern}'{where} hold out whole groups, which keeps all of these together."
    )


def _keeps_together(data: Dataset, groups: Groups, names: Iterable[tuple[Sample, Sample]]) -> bool:
    """Whether a pattern finds one group for each pair, and several groups in all."""
    if any(not groups.matches(a) or groups.of(a) != groups.of(b) for a, b in names):
        return False
    return len(groups.divide(data.train)) >= _MIN_GROUPS
