"""How the masks of a data set are read, decided from all of them at once.

A single file cannot say whether its gray levels are a third class or the edges of a soft mask,
whether the ids of a palette recur in the next file, or whether its ids number objects. The decision
is a `MaskRule`, which travels with the classes: whoever reads a mask later gets the codes that were
counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from semiseg.core.text import percent, plural
from semiseg.data.classes.classes_file import pack
from semiseg.data.findings import Finding, Severity, on_files
from semiseg.data.formats.codes import Color, MaskScan, as_ids, read_codes, spell
from semiseg.data.formats.drawn_codes import DRAWN_SUFFIX
from semiseg.data.formats.mask_rule import (
    AS_STORED,
    DOUBTFUL,
    NO_DATA,
    TRANSPARENT,
    VOID_CODES,
    WHITE,
    Encoding,
    MaskRule,
)
from semiseg.data.formats.masks import Classes
from semiseg.data.masks.instances import are_instances, has_void_outlines
from semiseg.data.masks.palettes import (
    find_conflict,
    fits_names,
    goes_by_color,
    has_colors,
    with_colors,
)
from semiseg.data.masks.soft_masks import (
    MAX_DOUBTFUL_IN_FILE,
    MAX_FLAT,
    find_levels,
    of_encoding,
)

Masks = Mapping[Path, MaskScan]
Rescan = Callable[[Sequence[Path], MaskRule, Encoding], Masks]
"""Scans masks again in another rule; those that cannot be read are left out."""
Name = Callable[[Path], str]
_CLEAR = frozenset({0, TRANSPARENT})  # the codes of black shapes
_MAX_COLORS = 8  # colors that a message lists


@dataclass(frozen=True)
class SettledMasks:
    """How masks are read, and what they then hold.

    Attributes:
        scans: all masks, as they are counted in this rule.
        rule: the rule.
        findings: what a person should know about it.
    """

    scans: Masks
    rule: MaskRule = AS_STORED
    findings: tuple[Finding, ...] = ()


def settle_masks(masks: Masks, names: Classes | None, rescan: Rescan, name: Name) -> SettledMasks:
    """Decide how masks are read.

    Args:
        masks: all masks, as they are stored.
        names: the classes that a file or a published data set names; None without names.
        rescan: scans masks again.
        name: gives the name of a file in findings.
    """
    result = _no_data(SettledMasks(masks), name)
    for step in (_palettes, _transparency, _instances):
        result = step(result, names, name)
    return _soft(result, names, rescan, name)


def without_voids(scan: MaskScan) -> MaskScan:
    """A scan without the pixels that are ignored in every data set."""
    if scan.encoding == "labels" or not any(code in scan.counts for code in VOID_CODES):
        return scan
    counts = {code: count for code, count in scan.counts.items() if code not in VOID_CODES}
    return scan._replace(counts=counts)


def translate(scan: MaskScan, rule: MaskRule) -> MaskScan:
    """The scan of a mask in another rule, from its counts alone."""
    codes = np.array(list(scan.counts), dtype=np.int32)
    counts: Counter[int] = Counter()
    new = rule.apply(codes, scan.encoding, scan.lossy)
    for code, count in zip(new.tolist(), scan.counts.values(), strict=True):
        counts[code] += count
    return scan._replace(counts=dict(sorted(counts.items())))


def _transparency(result: SettledMasks, names: Classes | None, name: Name) -> SettledMasks:
    masks = result.scans
    clear = {p: _share(scan, TRANSPARENT) for p, scan in masks.items() if _has(scan, TRANSPARENT)}
    if not clear:
        return result
    # Other files may be opaque throughout, such as those that semiseg suggests.
    opaque = set[int]().union(*(masks[path].counts for path in clear))
    is_background = 0 not in opaque and (names is None or 0 in names.codes)
    details = {name(path): f" ({_percent(share)} %)" for path, share in clear.items()}
    if _are_black_shapes(masks.values(), names):
        rule = replace(result.rule, transparent="around black")
        new = {path: translate(scan, rule) for path, scan in masks.items()}
        message = (
            "Masks that are black wherever they are opaque. semiseg reads the black pixels as the "
            "object (white), and the transparent ones as the background (black)"
        )
        remedy = "If the objects are transparent, save the masks as white objects on black."
        findings = on_files("mask-transparency", "warning", details, message, remedy)
        return SettledMasks(new, rule, (*result.findings, *findings))
    if is_background:
        rule = replace(result.rule, transparent="background")
        new = {path: translate(scan, rule) for path, scan in masks.items()}
        message = "Masks with transparent pixels, which count as background (0)"
        remedy = (
            "Hidden colors beneath them are no classes. If nobody labeled these pixels, save them "
            "with a color of their own, and ignore it in classes.yaml."
        )
        findings = on_files("mask-transparency", "note", details, message, remedy)
        return SettledMasks(new, rule, (*result.findings, *findings))
    message = "Masks with transparent pixels, which are ignored, since the background (0) is opaque"
    remedy = "Save them without transparency if these pixels belong to a class."
    findings = on_files("mask-transparency", "warning", details, message, remedy)
    return SettledMasks(masks, result.rule, (*result.findings, *findings))


def _are_black_shapes(scans: Iterable[MaskScan], names: Classes | None) -> bool:
    """Whether only the transparency of masks separates objects from background."""
    scans = list(scans)
    encoding = scans[0].encoding
    return (
        encoding != "labels"
        and all(scan.encoding == encoding and scan.counts.keys() <= _CLEAR for scan in scans)
        and any(scan.counts.keys() == _CLEAR for scan in scans)
        and (names is None or {0, WHITE[encoding]} <= set(names.codes))
    )


def _palettes(result: SettledMasks, names: Classes | None, name: Name) -> SettledMasks:
    scans = list(result.scans.values())
    palettes = [scan for scan in scans if has_colors(scan)]
    conflict = find_conflict(palettes)
    others = any(scan.encoding == "colors" for scan in scans)
    if not palettes or (conflict is None and not others):
        return result
    by_color = goes_by_color(scans, conflict)
    if names is not None:
        by_color = names.encoding == "colors" or (by_color and fits_names(palettes, names.colors))
    details = {name(scan.path): "" for scan in palettes}
    if conflict is None:
        if not by_color:
            return result  # ids beside colors are refused
        colors = _spell_colors(palettes)
        message = f"Palette masks beside masks of the same colors ({colors}), which are the classes"
        remedy = "semiseg goes by the colors, not by the ids of the palette."
        severity: Severity = "note"
    else:
        (one, color), (other, other_color) = conflict.one, conflict.other
        message = (
            f"Palette masks that show the same id in different colors: {conflict.id} is "
            f"{_spell_color(color)} in {name(one.path)} and {_spell_color(other_color)} in "
            f"{name(other.path)}"
        )
        colors = _spell_colors(palettes)
        remedy = (
            f"semiseg goes by the colors ({colors}), not by the ids. If the ids are the classes, "
            "name them in classes.yaml."
            if by_color
            else "semiseg goes by the ids. If the colors are the classes, save the masks in RGB."
        )
        severity = "warning"
    masks, rule = result.scans, replace(result.rule, by_color=by_color)
    if by_color:
        masks = {path: with_colors(scan) for path, scan in masks.items()}
    findings = on_files("palette", severity, details, message, remedy)
    return SettledMasks(masks, rule, (*result.findings, *findings))


def _no_data(result: SettledMasks, name: Name) -> SettledMasks:
    details = {
        name(path): f" ({_percent(_share(scan, NO_DATA))} %)"
        for path, scan in result.scans.items()
        if _has(scan, NO_DATA) and path.suffix != DRAWN_SUFFIX  # whose files say it themselves
    }
    message = "Masks with pixels without a value (NaN), which are ignored"
    remedy = "Nothing is learned from these pixels, and they are not scored."
    findings = on_files("mask-no-data", "warning", details, message, remedy)
    return replace(result, findings=(*result.findings, *findings))


def _instances(result: SettledMasks, names: Classes | None, name: Name) -> SettledMasks:
    scans = [scan for scan in result.scans.values() if scan.encoding != "labels"]
    if names is not None and (len(names) != 2 or names.codes != (0, 1)):
        return result
    if not scans or not are_instances(scans, lambda path: read_codes(path).values):
        return result
    rule = replace(result.rule, instances=True, has_void_instances=has_void_outlines(scans))
    masks = {
        path: translate(scan, rule)._replace(
            encoding="ids", smeared=False, coarse=False, palette={}, lines=()
        )
        for path, scan in result.scans.items()
    }
    most = max(scans, key=lambda scan: len(scan.counts))
    files = tuple(name(scan.path) for scan in scans)
    message = (
        f"The masks number objects (instance masks, {plural(len(most.counts) - 1, 'object')} in "
        f"{name(most.path)}). semiseg reads them as two classes: 0 is the background, every other "
        "value is an object"
    )
    remedy = "If the numbers are classes, name them in classes.yaml."
    finding = Finding("instances", "warning", files, message, remedy)
    return SettledMasks(masks, rule, (*result.findings, finding))


def _soft(result: SettledMasks, names: Classes | None, rescan: Rescan, name: Name) -> SettledMasks:
    masks = result.scans
    if result.rule.instances or not any(scan.is_soft for scan in masks.values()):
        return result
    if names is not None and all(_fits(scan, names) for scan in masks.values() if scan.is_soft):
        return result  # a person meant these values
    levels = find_levels(list(masks.values()), names.codes if names else None)
    if levels is None:
        return result
    rule = replace(result.rule, levels=levels.rule.levels, halves=levels.rule.halves)
    if levels.encoding == "ids":
        masks = {path: as_ids(scan) for path, scan in masks.items()}
    alike = {p: scan for p, scan in masks.items() if of_encoding(scan, levels.encoding)}
    split = [p for p, scan in alike.items() if _is_split(scan, rule)]
    halved = rescan(split, rule, levels.encoding)
    if _hold_third_class(list(halved.values())):
        return result
    clear = {p: s for p, s in halved.items() if _share(s, DOUBTFUL) <= MAX_DOUBTFUL_IN_FILE}
    details = {
        name(path): f" ({_percent(_share(scan, DOUBTFUL))} %)" for path, scan in clear.items()
    }
    low, high = (spell(code, levels.encoding) for code in rule.levels)
    pixels = sum(sum(scan.counts.values()) for scan in clear.values())
    doubtful = sum(scan.counts.get(DOUBTFUL, 0) for scan in clear.values())
    message = (
        f"Masks with values between {low} and {high}, from JPEG or soft edges. semiseg splits them "
        f"at the middle; {_percent(doubtful / max(1, pixels))} % of their pixels are doubtful and "
        "ignored"
    )
    remedy = (
        "Save the original masks as PNG, without antialiasing, to learn from these pixels too. If "
        "the values are classes, name them in classes.yaml."
    )
    findings = on_files("soft-mask", "warning", details, message, remedy)
    return SettledMasks({**masks, **clear}, rule, (*result.findings, *findings))


def _is_split(scan: MaskScan, rule: MaskRule) -> bool:
    """Whether a rule that splits soft masks may change this one."""
    return scan.is_soft or translate(scan, rule).counts != scan.counts


def _hold_third_class(scans: Sequence[MaskScan]) -> bool:
    """Whether pixels between the two levels lie in areas, as those of a class do."""
    doubtful = sum(scan.counts.get(DOUBTFUL, 0) for scan in scans)
    return sum(scan.flat for scan in scans) > MAX_FLAT * doubtful


def _fits(scan: MaskScan, names: Classes) -> bool:
    """Whether a mask holds nothing but the codes that a file names."""
    if scan.lossy or scan.coarse:
        return False
    gray = scan.encoding == "colors" and names.encoding == "ids"
    return all((code & 0xFF if gray else code) in names.indices for code in scan.counts)


def _has(scan: MaskScan, code: int) -> bool:
    return scan.encoding != "labels" and code in scan.counts


def _share(scan: MaskScan, code: int) -> float:
    return scan.counts.get(code, 0) / max(1, sum(scan.counts.values()))


def _percent(share: float) -> str:
    """A share in percent; a small one is not said to be nothing."""
    return "<0.1" if 0 < share < 0.0005 else percent(100 * share)


def _spell_colors(scans: Sequence[MaskScan]) -> str:
    """The colors of palettes, most frequent first."""
    files = Counter(color for scan in scans for color in set(scan.palette.values()))
    names = ", ".join(_spell_color(color) for color, _ in files.most_common(_MAX_COLORS))
    return f"{names}, ..." if len(files) > _MAX_COLORS else names


def _spell_color(color: Color) -> str:
    return spell(pack(color), "colors")
