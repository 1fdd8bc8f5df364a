"""Rules on the classes: which values are none, which classes occur where, and what has no name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from semiseg.core import shell
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.class_inference import thin_ids
from semiseg.data.classes.class_names import names_and_ids
from semiseg.data.dataset import Dataset
from semiseg.data.defects import on_paths
from semiseg.data.findings import Finding, Kind, Severity
from semiseg.data.formats.codes import MaskScan, as_ids, spell
from semiseg.data.formats.masks import Classes
from semiseg.data.masks.mask_rules import without_voids
from semiseg.data.tree import SPLITS

_TOPS = (255, 65535)  # values that usually mean void
_MAX_VOID = 0.01  # of the pixels; more of them are hardly noticed as void
_MAX_SPELLED = 10  # classes that a remedy spells out
_MAX_ABSENT = 1 / 3  # of the classes of a published data set
_MIN_ISOLATED = 64  # ids from here on are no class number in a row, if the others are below


def foreground(data: Dataset) -> Iterator[Finding]:
    """Which of two classes is the foreground, and masks that say it with another value."""
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


def void_values(data: Dataset) -> Iterator[Finding]:
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


def unnamed_classes(data: Dataset) -> Iterator[Finding]:
    """Classes that have colors and no names."""
    classes = data.class_list
    if classes is None or classes.encoding != "colors" or data.has_named_classes:
        return
    message = "Tables and legends will call the classes by their colors"
    remedy = (
        "Name all of them in classes.yaml before training: below the line `classes:`, each as a "
        f'line such as `- {{name: NAME, color: "{classes.names[0]}"}}`.'
    )
    yield Finding("unnamed-classes", "note", (), message, remedy)


def occurrence(data: Dataset) -> Iterator[Finding]:
    """Classes that occur in train or val alone, or nowhere."""
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
        _absent(data, classes, set(range(len(classes))) - train - val),
    ]
    for severity, kind, message, indices, remedy in rules:
        if indices:
            names = tuple(classes.names[i] for i in sorted(indices))
            yield Finding(kind, severity, (), message, remedy, classes=names)


def _absent(
    data: Dataset, classes: Classes, absent: set[int]
) -> tuple[Severity, Kind, str, set[int], str]:
    """The rule on classes that occur nowhere; many of a recognized data set are a warning."""
    message = "Classes that occur neither in train nor in val"
    without_background = 0 in absent and classes.names[0] == "background"
    is_doubtful = without_background or len(absent) > _MAX_ABSENT * len(classes)
    if not data.recognized or not is_doubtful:
        return "note", "absent-class", message, absent, ""
    # Without --dataset folder, init would write the names of the data set.
    command = shell.join(["semiseg", "init", str(data.root), "--dataset", "folder"])
    remedy = (
        f"semiseg recognized {data.recognized} by its folders and took its {len(classes)} class "
        "names, so these names may be wrong. If the masks hold other classes, add --dataset "
        f"folder: semiseg then takes the classes from the masks. `{command}` writes this down, and "
        "classes.yaml, in which you give each id its name. If these are images of that data set, "
        "nothing has to be done; --dataset with its name says so."
    )
    return "warning", "absent-class", message, absent, remedy


def _ignored(data: Dataset) -> list[int]:
    """The ignored codes that occur in the masks of train."""
    codes = set(data.classes.ignored)
    scans = (data.masks[mask] for _, mask in data.labeled("train") if mask in data.masks)
    occurring: set[int] = set().union(*(as_ids(scan).counts for scan in scans))
    return sorted(codes & occurring)


def uniform_masks(data: Dataset) -> Iterator[Finding]:
    """Masks in which every pixel is ignored, or has the same class."""
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
