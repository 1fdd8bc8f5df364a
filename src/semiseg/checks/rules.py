"""The rules of a data check: each takes the survey and yields findings, and raises nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from semiseg.checks.findings import Finding, Severity
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.codes import read_codes, spell
from semiseg.data.layouts import SPLITS, find_folders
from semiseg.data.pairs import stem_of_image
from semiseg.data.survey import Survey

_CODES = 5  # unknown values that are shown of a mask
_DISPUTED = 0.1  # two people's masks of one image may differ along the edges, but not this much


# --- files that are of no use


def _unreadable(s: Survey) -> Iterator[Finding]:
    images = {sample.image for samples in s.samples.values() for sample in samples}
    bad = {path: p.reason for path, p in s.problems.items() if not p.smeared}
    for kind, chosen in (("image", bad.keys() & images), ("mask", bad.keys() - images)):
        yield from _finding(
            s,
            "error",
            f"unreadable-{kind}",
            f"Unreadable {kind}s",
            {path: f": {bad[path]}" for path in chosen},
            "Replace or remove the files.",
        )


def _smeared(s: Survey) -> Iterator[Finding]:
    remedy = (
        "Save the original masks as PNG, and resize masks without interpolation (nearest); if one "
        "is a photograph, give it another name."
    )
    lossy = {path: f" {p.reason.partition(':')[0]}" for path, p in s.problems.items() if p.smeared}
    what = "Masks that were smeared by JPEG or by resizing with interpolation"
    yield from _finding(s, "error", "smeared-mask", what, lossy, remedy)
    doubtful = {path: look for path, look in s.masks.items() if look.smeared}
    # Where a file names the classes and the mask holds nothing else, a person meant it so.
    fits = {path for path in doubtful if s.named and path not in s.unknown}
    what = "Masks that look smeared by JPEG or by resizing with interpolation"
    more = "" if s.named else " If these values are classes, name them in classes.yaml."
    kinds: list[tuple[Severity, set[Path]]] = [("error", doubtful.keys() - fits), ("warning", fits)]
    for severity, chosen in kinds:
        told = {path: f" ({len(doubtful[path].counts)} values)" for path in chosen}
        yield from _finding(s, severity, "smeared-mask", what, told, remedy + more)


def _other_size(s: Survey) -> Iterator[Finding]:
    told = {}
    for sample, mask in s.labeled(*SPLITS):
        if sample.image in s.images and mask in s.masks:
            image, size = s.images[sample.image].size, s.masks[mask].size
            if image != size:
                told[mask] = f" is {size[0]} x {size[1]}, its image {image[0]} x {image[1]}"
    what = "Masks of another size than their image"
    yield from _finding(s, "error", "size", what, told, "Export the masks at the images' sizes.")


def _named_as_masks(s: Survey) -> Iterator[Finding]:
    """Masks among the images, where the masks have a folder of their own."""
    of_training = [*s.samples["train"], *s.samples["unlabeled"]]
    labeled = {sample.image.with_suffix("") for sample in of_training if sample.mask}
    stems: defaultdict[Path, set[str]] = defaultdict(set)
    for sample in of_training:
        stems[sample.image.parent].add(sample.image.stem)
    chosen = []
    for image in (sample.image for sample in of_training):
        stem = stem_of_image(image, stems[image.parent])
        if stem and not {image.with_suffix(""), image.parent / stem} <= labeled:
            chosen.append(image)
    what = "Images that are named as masks of others, and are taken for photographs"
    remedy = "If they are masks, move them into the folder of the masks."
    yield from _finding(s, "warning", "mask-name", what, dict.fromkeys(chosen, ""), remedy)


def _missing(s: Survey) -> Iterator[Finding]:
    chosen = [x.image for split in ("val", "test") for x in s.samples[split] if x.mask is None]
    what = "Images of val or test that have no mask and are passed over"
    yield from _finding(
        s,
        "warning",
        "missing-mask",
        what,
        dict.fromkeys(chosen, ""),
        "Add the masks, or move the images to train or unlabeled.",
    )


def _too_few(s: Survey) -> Iterator[Finding]:
    if any(finding.severity == "error" for finding in s.listing):
        return  # there may be more than was found
    labeled = len(list(s.labeled("train")))
    if labeled == 0 and s.samples["train"]:
        folders = find_folders(s.root, "train")
        place = folders.masks if folders else "train/masks"
        told = [f.what for f in s.listing if "if they are the masks" in f.what]
        remedy = f"{told[0]}." if told else f"Put masks into {place}; a mask has its image's name."
        yield Finding("error", "no-masks", "No image of train has a mask", remedy=remedy)
    elif labeled > 0 and not list(s.labeled("val")):
        yield Finding(
            "error" if labeled == 1 else "note",
            "no-val",
            "There is no val with masks, so that a part of the labeled images is held out"
            + (", but there is only one" if labeled == 1 else ""),
            remedy="Label one more image." if labeled == 1 else "",
        )


# --- values and classes


def _classes(s: Survey) -> Iterator[Finding]:
    if s.classes is None and s.inferred:
        yield Finding("error", "classes", s.inferred.rstrip("."))


def _unknown(s: Survey) -> Iterator[Finding]:
    if s.classes is None:
        return
    told = {}
    for path, codes in s.unknown.items():
        if not s.masks[path].smeared:
            labels = s.masks[path].labels
            shown = [spell(code, s.classes.encoding, labels) for code in sorted(codes)[:_CODES]]
            told[path] = f" ({', '.join(shown)}{', ...' if len(codes) > _CODES else ''})"
    what = "Masks with values that belong to no class"
    remedy = "Correct the masks, or name the values in classes.yaml, as classes or under `ignore:`."
    yield from _finding(s, "error", "unknown-value", what, told, remedy)


def _foreground(s: Survey) -> Iterator[Finding]:
    if s.classes is None or len(s.classes) != 2 or s.classes.encoding != "ids":
        return
    if not s.named:
        low, high = s.classes.codes
        what = f"There are two classes: {high} is taken as the foreground, {low} as the background"
        yield Finding("note", "foreground", what)
    masks = [m for _, m in s.labeled(*SPLITS) if m in s.masks]
    codes = {mask: s.masks[mask].counts.keys() for mask in masks}
    small = [mask for mask in masks if 1 in codes[mask]]
    large = [mask for mask in masks if 255 in codes[mask]]
    if small and large and not set(small) & set(large):
        fewer, value, other = (large, 255, 1) if len(large) <= len(small) else (small, 1, 255)
        yield from _finding(
            s,
            "warning",
            "mixed-foreground",
            f"Masks in which {value} may mean the foreground, while in others it is {other}",
            dict.fromkeys(fewer, ""),
            "Save all masks with the same values; 255 is ignored where there are other ids.",
        )


def _unnamed(s: Survey) -> Iterator[Finding]:
    if s.classes is None or s.classes.encoding != "colors" or s.named:
        return
    yield Finding(
        "note",
        "unnamed-classes",
        "Tables and legends will call the classes by their colors",
        remedy="Name all of them in classes.yaml before training: below the line `classes:`, each "
        f'as a line such as `- {{name: NAME, color: "{s.classes.names[0]}"}}`.',
    )


def _occurrence(s: Survey) -> Iterator[Finding]:
    if s.classes is None:
        return
    if any(mask not in s.pixels for _, mask in s.labeled(*SPLITS)):
        return  # they may hold any class; what is wrong with them is told elsewhere
    train, val = s.occurring("train"), s.occurring("val")
    absent = set(range(len(s.classes))) - train - val
    rules: list[tuple[Severity, str, str, set[int], str]] = [
        (
            "warning",
            "unseen-class",
            "Classes that occur in val but in no mask of train, and cannot be learned",
            val - train if train else set(),
            "Label images of train that show them.",
        ),
        (
            "note",
            "unscored-class",
            "Classes that occur in train but not in val, and are not scored",
            train - val if val else set(),
            "",
        ),
        ("note", "absent-class", "Classes that occur neither in train nor in val", absent, ""),
    ]
    for severity, kind, what, chosen, remedy in rules:
        if chosen:
            names = tuple(s.classes.names[i] for i in sorted(chosen))
            yield Finding(severity, kind, what, names, remedy=remedy)


def _uniform(s: Survey) -> Iterator[Finding]:
    if s.classes is None:
        return
    single = {mask: set(s.pixels.get(mask, ())) for _, mask in s.labeled(*SPLITS)}
    ignored = [mask for mask, found in single.items() if found == {IGNORE_INDEX}]
    what = "Masks in which every pixel is ignored"
    remedy = "Nothing is learned from them; remove them, and their images are unlabeled."
    yield from _finding(s, "warning", "all-ignored", what, dict.fromkeys(ignored, ""), remedy)
    names = {
        mask: f" ({s.classes.names[min(found)]})"
        for mask, found in single.items()
        if len(found) == 1 and found != {IGNORE_INDEX}
    }
    yield from _finding(s, "note", "one-class", "Masks of one class throughout", names)


# --- the same image twice


def _shared(s: Survey) -> Iterator[Finding]:
    told: dict[Path, str] = {}
    first: dict[Path, str] = {}
    for split, samples in s.samples.items():
        for sample in samples:
            if first.setdefault(sample.image, split) != split:
                told[sample.image] = f" in {first[sample.image]} and {split}"
    what = "Images that are listed in two splits: what was trained on cannot be scored"
    remedy = "Remove them from one of the lists."
    yield from _finding(s, "error", "shared-image", what, told, remedy)


def _identical(s: Survey) -> Iterator[Finding]:
    leaked: dict[Path, str] = {}
    repeated: dict[Path, str] = {}
    for group in _same_pixels(s):
        first, *others = sorted(group, key=lambda path: group[path][1] is None)
        for path in others:
            apart = group[path][0] != group[first][0]
            crosses = apart and bool({group[path][0], group[first][0]} & {"val", "test"})
            (leaked if crosses else repeated)[path] = f" = {s.name(first)}"
    what = "Identical images in different splits, so that scores flatter"
    remedy = "Keep each image in one split."
    yield from _finding(s, "warning", "leak", what, leaked, remedy)
    held_out = not list(s.labeled("val"))  # twins may then part: one is taught, the other scored
    severity: Severity = "warning" if held_out else "note"
    what = "Images that are identical to another one, the second named"
    remedy = "One of each is enough; those named first may be deleted."
    yield from _finding(s, severity, "repeated-image", what, repeated, remedy)


def _augmented(s: Survey) -> Iterator[Finding]:
    """Roboflow's names tell which images were made from one photograph: NAME.rf.HASH."""
    splits: defaultdict[str, set[str]] = defaultdict(set)
    copies: defaultdict[str, list[Path]] = defaultdict(list)
    for split in ("train", "val", "test"):
        for sample in s.samples[split]:
            origin, mark, _ = sample.image.stem.rpartition(".rf.")
            if mark and (split == "train" or sample.mask):
                splits[origin].add(split)
                copies[origin].append(sample.image)
    held_out = not list(s.labeled("val"))  # then copies of one photograph may part
    parted = [origin for origin in copies if "train" in splits[origin]]
    chosen = [o for o in parted if len(splits[o]) > 1 or (held_out and len(copies[o]) > 1)]
    told = {copies[origin][0]: f" and {len(copies[origin]) - 1} more" for origin in chosen}
    may = "may be scored, by the part that is held out" if held_out else "are scored"
    what = f"Photographs of which some copies are trained on and others {may}: scores flatter"
    remedy = "Export without augmentation, or with a valid/ of other photographs."
    yield from _finding(s, "warning", "leak", what, told, remedy)


def _contradicting(s: Survey) -> Iterator[Finding]:
    slight: dict[Path, str] = {}
    grave: dict[Path, str] = {}
    for group in _same_pixels(s):
        masked = {path: mask for path, (_, mask) in group.items() if mask in s.masks and mask}
        for path in list(masked)[1:]:
            first = next(iter(masked))
            share = _disputed(s, masked[first], masked[path])
            told = f" = {s.name(first)}, but {100 * share:.1f} % of the mask differ"
            if share > 0:
                (grave if share > _DISPUTED else slight)[path] = told
    what = "Identical images with different masks"
    kinds: list[tuple[Severity, dict[Path, str]]] = [("error", grave), ("warning", slight)]
    for severity, chosen in kinds:
        remedy = "Keep the right mask of each."
        yield from _finding(s, severity, "contradicting-masks", what, chosen, remedy)


def _same_pixels(s: Survey) -> Iterator[dict[Path, tuple[str, Path | None]]]:
    """Groups of identical images, each with its split and its mask."""
    groups: defaultdict[str, dict[Path, tuple[str, Path | None]]] = defaultdict(dict)
    for split, samples in s.samples.items():
        for sample in samples:
            if sample.image in s.images:
                group = groups[s.images[sample.image].digest]
                group.setdefault(sample.image, (split, sample.mask))
    return (group for group in groups.values() if len(group) > 1)


def _disputed(s: Survey, one: Path, other: Path) -> float:
    """The share of pixels in which two masks differ."""
    if s.masks[one].size != s.masks[other].size:
        return 1.0
    return float(np.mean(read_codes(one).values != read_codes(other).values))


def _finding(
    s: Survey,
    severity: Severity,
    kind: str,
    what: str,
    told: Mapping[Path, str],
    remedy: str = "",
) -> Iterable[Finding]:
    """The finding on these files, in the order of their names; none if there are none."""
    if not told:
        return []
    names = sorted((s.name(path), detail) for path, detail in told.items())
    details = tuple(detail for _, detail in names) if any(told.values()) else ()
    return [Finding(severity, kind, what, tuple(name for name, _ in names), details, remedy)]


RULES: tuple[Callable[[Survey], Iterable[Finding]], ...] = (
    _unreadable,
    _smeared,
    _other_size,
    _unknown,
    _classes,
    _too_few,
    _shared,
    _identical,
    _augmented,
    _contradicting,
    _missing,
    _named_as_masks,
    _occurrence,
    _unnamed,
    _foreground,
    _uniform,
)
