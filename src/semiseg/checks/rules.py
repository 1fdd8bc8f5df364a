"""The rules of `semiseg check`: each looks at a data folder that was read, and yields findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from semiseg.checks.alike_classes import alike_classes
from semiseg.checks.maps import neighboring_maps, unlike_resolutions
from semiseg.checks.near_duplicates import near_duplicates
from semiseg.checks.unlike_images import unlike_images
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.class_inference import thin_ids
from semiseg.data.classes.class_names import names_and_ids
from semiseg.data.dataset import Dataset
from semiseg.data.defects import on_paths
from semiseg.data.findings import Finding, Kind, Severity
from semiseg.data.formats.codes import MaskScan, as_ids, read_codes, spell
from semiseg.data.formats.mask_rule import AS_STORED
from semiseg.data.formats.masks import Classes
from semiseg.data.groups import Groups
from semiseg.data.masks.mask_rules import without_voids
from semiseg.data.pairing.beside import stem_of_image
from semiseg.data.tree import SPLITS

_TOPS = (255, 65535)  # values that usually mean void
_MAX_VOID = 0.01  # of the pixels; more of them are hardly noticed as void
_MAX_SPELLED = 10  # classes that a remedy spells out
_MIN_ISOLATED = 64  # ids from here on are no class number in a row, if the others are below
_MAX_DISPUTED = 0.1  # two people's masks of one image may differ along the edges, but not this much


# --- masks


def _named_as_masks(data: Dataset) -> Iterable[Finding]:
    """Masks among the images, where the masks have a folder of their own."""
    labeled = {sample.image.with_suffix("") for sample in data.train if sample.mask}
    stems: defaultdict[Path, set[str]] = defaultdict(set)
    for sample in data.train:
        stems[sample.image.parent].add(sample.image.stem)
    suspects = []
    for image in (sample.image for sample in data.train):
        stem = stem_of_image(image, stems[image.parent])
        if stem and not {image.with_suffix(""), image.parent / stem} <= labeled:
            suspects.append(image)
    message = "Images whose names are those of masks, but which are read as photographs"
    remedy = "If they are masks, move them into the folder of the masks."
    return on_paths(data, "mask-name", "warning", suspects, message, remedy)


def _no_val(data: Dataset) -> Iterator[Finding]:
    labeled = len(list(data.labeled("train")))
    ambiguous = any(f.kind in ("layout", "duplicate-name") for f in data.errors())
    if labeled == 0 or data.val or ambiguous:  # there may be more masks than were matched
        return
    message = "There is no val with masks, so a part of the labeled images is held out"
    if labeled > 1:
        yield Finding("no-val", "note", (), message)
    else:
        remedy = "Label one more image."
        yield Finding("no-val", "error", (), f"{message}, but there is only one", remedy)


# --- classes


def _foreground(data: Dataset) -> Iterator[Finding]:
    classes = data.class_list
    if classes is None or len(classes) != 2 or classes.encoding != "ids":
        return
    if not data.has_named_classes:
        low, high = classes.codes
        message = f"There are two classes: {high} is the foreground, {low} is the background"
        yield Finding("foreground", "note", (), message)
    codes = {m: data.masks[m].counts for _, m in data.labeled(*SPLITS) if m in data.masks}
    small = [mask for mask, counts in codes.items() if 1 in counts]
    large = [mask for mask, counts in codes.items() if 255 in counts]
    if small and large and not set(small) & set(large):
        fewer, value, other = (large, 255, 1) if len(large) <= len(small) else (small, 1, 255)
        message = f"Masks in which {value} may mean the foreground, while in others it is {other}"
        remedy = "Save all masks with the same values; 255 is ignored if there are other ids."
        yield from on_paths(data, "mixed-foreground", "warning", fewer, message, remedy)


def _void(data: Dataset) -> Iterator[Finding]:
    """Values that were inferred to be void, or to be a class, where the other is as likely."""
    classes = data.class_list
    if classes is None or classes.encoding != "ids":
        return
    files = [mask for _, mask in data.labeled(*SPLITS) if mask in data.counts]
    masks = [as_ids(without_voids(data.masks[mask])) for mask in files if mask in data.masks]
    scans = [scan for scan in masks if len(scan.counts) > 1]
    total = sum(width * height for width, height in (scan.size for scan in masks))
    if data.has_named_classes:
        yield from _void_or_last_class(classes, scans, total)
        return
    ids = [code for code in classes.codes if any(code in scan.counts for scan in masks)]
    numbers = [code for code in ids if code < _MIN_ISOLATED]
    lone = ids[-1:] if len(numbers) > 1 and numbers == [*range(len(ids) - 1)] else []
    thin = thin_ids(scans)
    for code in dict.fromkeys((*classes.ignored, *thin, *lone)):
        holders = [scan for scan in scans if code in scan.counts]
        share = sum(scan.counts[code] for scan in holders) / max(1, total)
        is_void = code in classes.ignored
        is_expected = is_void and code in _TOPS and (code in thin or share < _MAX_VOID)
        if not holders or is_expected:
            continue
        reading = "is ignored" if is_void else "is taken as a class"
        place = "lies on thin lines between others, " if code in thin else ""
        message = (
            f"The value {code} {place}covers {100 * share:.1f} % of the pixels, in "
            f"{plural(len(holders), 'mask')}, and {reading}"
        )
        yield Finding("void-value", "warning", (), message, _decide(ids, code))


def _void_or_last_class(
    classes: Classes, scans: Sequence[MaskScan], total: int
) -> Iterator[Finding]:
    """The last of a few named classes has no pixel, while 255 is ignored on many."""
    pixels = sum(scan.counts.get(IGNORE_INDEX, 0) for scan in scans)
    occurring = set().union(*(scan.counts for scan in scans))
    absent = [i for i, code in enumerate(classes.codes) if code not in occurring]
    if (
        IGNORE_INDEX not in classes.ignored
        or absent != [len(classes) - 1]
        or len(classes) > _MAX_SPELLED
        or pixels <= _MAX_VOID * total
        or IGNORE_INDEX in thin_ids(scans)
    ):
        return
    name = classes.names[-1]
    message = (
        f"The value 255 covers {100 * pixels / total:.1f} % of the pixels, in "
        f"{plural(sum(IGNORE_INDEX in scan.counts for scan in scans), 'mask')}, and is ignored, "
        f"while {name} ({classes.codes[-1]}) occurs nowhere"
    )
    names = dict(zip((*classes.codes[:-1], IGNORE_INDEX), classes.names, strict=True))
    remedy = f"If 255 is {name}, write into classes.yaml: `{names_and_ids(names)}`."
    yield Finding("void-value", "warning", (), message, remedy)


def _decide(ids: Sequence[int], code: int) -> str:
    """How a person says whether a value is a class: the lines of `classes.yaml`."""
    rest = {i: str(i) for i in ids if i != code}
    if len(rest) > _MAX_SPELLED:
        return (
            f"Name the classes with their ids in classes.yaml, with {code} among them or in the "
            f"line `ignore: [{code}]`."
        )
    with_it = {**rest, code: str(code)}
    return (
        f"If it is no class, write two lines into classes.yaml: `{names_and_ids(rest)}` and "
        f"`ignore: [{code}]`. If it is one, write one line: `{names_and_ids(with_it)}`."
    )


def _unnamed(data: Dataset) -> Iterator[Finding]:
    classes = data.class_list
    if classes is None or classes.encoding != "colors" or data.has_named_classes:
        return
    message = "Tables and legends will call the classes by their colors"
    remedy = (
        "Name all of them in classes.yaml before training: below the line `classes:`, each as a "
        f'line such as `- {{name: NAME, color: "{classes.names[0]}"}}`.'
    )
    yield Finding("unnamed-classes", "note", (), message, remedy)


def _occurrence(data: Dataset) -> Iterator[Finding]:
    classes = data.class_list
    if classes is None:
        return
    if any(mask not in data.counts for _, mask in data.labeled(*SPLITS)):
        return  # they may hold any class; another finding says what is wrong with them
    train, val = data.occurring("train"), data.occurring("val")
    if len(train) == 1 and not data.errors():
        ignored = [f"{spell(code, classes.encoding)} is ignored" for code in _ignored(data)]
        values = "; ".join([classes.names[min(train)], *ignored])
        message = f"The masks of train hold one class only ({values})"
        remedy = (
            "A segmentation needs two. Check that the masks are the right files, and that "
            "classes.yaml, if there is one, gives each class the id or color that the masks hold."
        )
        yield Finding("classes", "error", (), message, remedy)
        return
    rules: list[tuple[Severity, Kind, str, set[int], str]] = [
        (
            "warning",
            "unseen-class",
            "Classes that occur in val but in no mask of train: they cannot be learned, and count "
            "with an IoU of 0 %",
            val - train if train else set(),
            "Label images of train that contain them.",
        ),
        (
            "note" if len(val) > 1 else "warning",
            "unscored-class",
            "Classes that occur in train but not in val, and are not scored: the mean IoU leaves "
            "them out",
            train - val if val else set(),
            "" if len(val) > 1 else "Only one class is scored; add images of the others to val.",
        ),
        (
            "note",
            "absent-class",
            "Classes that occur neither in train nor in val",
            set(range(len(classes))) - train - val,
            "",
        ),
    ]
    for severity, kind, message, indices, remedy in rules:
        if indices:
            names = tuple(classes.names[i] for i in sorted(indices))
            yield Finding(kind, severity, (), message, remedy, classes=names)


def _ignored(data: Dataset) -> list[int]:
    """The ignored codes that occur in the masks of train."""
    codes = set(data.classes.ignored)
    scans = (data.masks[mask] for _, mask in data.labeled("train") if mask in data.masks)
    occurring: set[int] = set().union(*(as_ids(scan).counts for scan in scans))
    return sorted(codes & occurring)


def _uniform(data: Dataset) -> Iterator[Finding]:
    classes = data.class_list
    if classes is None:
        return
    present = {mask: set(data.counts.get(mask, ())) for _, mask in data.labeled(*SPLITS)}
    ignored = [mask for mask, indices in present.items() if indices == {IGNORE_INDEX}]
    message = "Masks in which every pixel is ignored"
    remedy = "Nothing is learned from them; remove them, and their images are unlabeled."
    yield from on_paths(data, "all-ignored", "warning", ignored, message, remedy)
    for split in ("train", "val"):
        masks = [mask for _, mask in data.labeled(split)]
        if masks and set(masks) <= set(ignored):
            message = f"Every pixel of all masks of {split} is ignored"
            remedy = "Check the masks, and what classes.yaml ignores."
            yield Finding("all-ignored", "error", (), message, remedy)
    single = {
        mask: f" ({classes.names[min(indices)]})"
        for mask, indices in present.items()
        if len(indices) == 1 and indices != {IGNORE_INDEX}
    }
    yield from on_paths(data, "one-class", "note", single, "Masks of one class throughout")


# --- the same image twice


def _identical(data: Dataset) -> Iterator[Finding]:
    leaks: dict[Path, str] = {}
    repeated: dict[Path, str] = {}
    for group in _same_pixels(data):
        first, *others = sorted(group, key=lambda path: group[path][1] is None)
        for path in others:
            apart = group[path][0] != group[first][0]
            crosses = apart and bool({group[path][0], group[first][0]} & {"val", "test"})
            (leaks if crosses else repeated)[path] = f" = {data.name(first)}"
    message = "Identical images in different splits, so that scores are too good"
    yield from on_paths(data, "leak", "warning", leaks, message, "Keep each image in one split.")
    # Without val, one of two identical images may be trained on and the other scored.
    severity: Severity = "note" if data.val else "warning"
    message = "Images that are identical to another one, which is named behind them"
    remedy = "One of each is enough; those named first may be deleted."
    yield from on_paths(data, "repeated-image", severity, repeated, message, remedy)


def _augmented(data: Dataset) -> Iterable[Finding]:
    """Roboflow's names, NAME.rf.HASH, show which images were made from one photograph."""
    splits: defaultdict[str, set[str]] = defaultdict(set)
    copies: defaultdict[str, list[Path]] = defaultdict(list)
    for split in SPLITS:
        for sample in data.samples[split]:
            origin, mark, _ = sample.image.stem.rpartition(".rf.")
            if mark and (split == "train" or sample.mask):
                splits[origin].add(split)
                copies[origin].append(sample.image)
    holds_out = not data.val  # copies of one photograph may then be trained on and held out
    origins = [
        origin
        for origin, files in copies.items()
        if "train" in splits[origin] and (len(splits[origin]) > 1 or (holds_out and len(files) > 1))
    ]
    details = {copies[origin][0]: f" and {len(copies[origin]) - 1} more" for origin in origins}
    scored = "may be held out to be scored" if holds_out else "are scored"
    message = f"Photographs of which some copies are trained on and others {scored}: scores are "
    message += "too good"
    remedy = "Export without augmentation, or with a valid/ of other photographs."
    return on_paths(data, "leak", "warning", details, message, remedy)


def _contradicting(data: Dataset) -> Iterator[Finding]:
    slight: dict[Path, str] = {}
    grave: dict[Path, str] = {}
    for group in _same_pixels(data):
        masked = {path: mask for path, (_, mask) in group.items() if mask in data.masks and mask}
        for path in list(masked)[1:]:
            first = next(iter(masked))
            share = _disputed(data, masked[first], masked[path])
            detail = f" = {data.name(first)}, but {100 * share:.1f} % of the mask differ"
            if share > 0:
                (grave if share > _MAX_DISPUTED else slight)[path] = detail
    message, remedy = "Identical images with different masks", "Keep the right mask of each."
    yield from on_paths(data, "contradicting-masks", "error", grave, message, remedy)
    yield from on_paths(data, "contradicting-masks", "warning", slight, message, remedy)


def _same_pixels(data: Dataset) -> Iterator[dict[Path, tuple[str, Path | None]]]:
    """Groups of identical images, each with its split and its mask."""
    groups: defaultdict[str, dict[Path, tuple[str, Path | None]]] = defaultdict(dict)
    for split, samples in data.samples.items():
        for sample in samples:
            if sample.image in data.images:
                group = groups[data.images[sample.image].digest]
                group.setdefault(sample.image, (split, sample.mask))
    return (group for group in groups.values() if len(group) > 1)


def _disputed(data: Dataset, one: Path, other: Path) -> float:
    """The share of pixels in which two masks differ."""
    if data.masks[one].size != data.masks[other].size:
        return 1.0
    classes = data.class_list
    rule, encoding = (AS_STORED, None) if classes is None else (classes.rule, classes.encoding)
    first, second = (read_codes(path, rule, encoding).values for path in (one, other))
    return float(np.mean(first != second))


# --- groups


def _groups(data: Dataset) -> Iterator[Finding]:
    """Groups that two splits share, and images without a group."""
    if data.group is None:
        return
    groups = Groups(data.group, corrected=data.corrected)
    scored = [*data.val, *data.test]
    for sentence in groups.notes((*data.train, *scored)):
        yield Finding("group", "note", (), sentence)
    labeled = groups.divide(sample for sample, _ in data.labeled("train"))
    if not data.val and len(labeled) == 1:
        message = f"All labeled images belong to one {next(iter(labeled))}, so none can be held "
        message += "out for validation"
        yield Finding("group", "error", (), message, f"Correct {groups}, or label other images.")
    train_groups = groups.divide(data.train)
    details = {
        samples[0].image: f" and {len(samples) - 1} more of the {name}, with "
        f"{len(train_groups[name])} in train"
        for name, samples in groups.divide(scored).items()
        if name in train_groups and groups.matches(samples[0])
    }
    message = "Groups of which some images are in val or test, and others are trained on: scores "
    message += "are too good"
    remedy = "Move all images of a group into one split, or remove val/ to have groups held out."
    yield from on_paths(data, "shared-group", "warning", details, message, remedy)


RULES: tuple[Callable[[Dataset], Iterable[Finding]], ...] = (
    _no_val,
    _identical,
    _augmented,
    _contradicting,
    _named_as_masks,
    _occurrence,
    _unnamed,
    alike_classes,
    _void,
    _foreground,
    _uniform,
    _groups,
    near_duplicates,
    unlike_images,
    neighboring_maps,
    unlike_resolutions,
)
"""All rules, in the order in which their findings are printed."""
