"""Masks that a person corrected in a folder of their own; a training adds them to its data.

`suggest`, `convert` and `correct` write such folders: `train/images`, `train/masks` and a list of
the images that the copies were made from. The data folder itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.files import read_json, read_text
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.findings import Finding, error_of, note
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.raster_windows import split_window
from semiseg.data.layout_registry import find_layout, read_split
from semiseg.data.layouts.layout import Listing
from semiseg.data.tree import Tree

DECISIONS = "correct.json"
"""The file in which `correct` keeps what a person decided about each mask."""
ORIGINALS = "suggested.txt"
"""The list of the images that were copied into such a folder, a path a line."""


class Corrected(NamedTuple):
    """The corrected masks of some folders.

    Attributes:
        samples: the images with their masks; the names begin with that of their folder.
        originals: the images that they are copies of.
        folders: the folders.
        findings: what was noticed; errors where a folder cannot be used.
    """

    samples: Sequence[Sample] = ()
    originals: frozenset[Path] = frozenset()
    folders: tuple[Path, ...] = ()
    findings: Sequence[Finding] = ()

    def join(self, listings: Mapping[str, Listing]) -> dict[str, Listing]:
        """The images by split, where the corrected ones are among `train`.

        An image that was copied and corrected counts once: its original is no unlabeled image any
        more. Files below the folders belong to these folders only.
        """
        if not self.folders:
            return dict(listings)

        def is_left(sample: Sample) -> bool:
            image = sample.image.absolute()
            if any(image.is_relative_to(folder) for folder in self.folders):
                return False
            return sample.mask is not None or image not in self.originals

        def rest(listing: Listing) -> Listing:
            others = [s.image for s in listing.samples if not is_left(s)]
            samples = [s for s in listing.samples if is_left(s)]
            return replace(listing, samples=samples, sources=[*listing.sources, *others])

        parts = {split: rest(listing) for split, listing in listings.items()}
        train = parts["train"]
        findings = [*train.findings, *self.findings, *self._mixture(train.samples)]
        parts["train"] = replace(train, samples=[*train.samples, *self.samples], findings=findings)
        return parts

    def _mixture(self, samples: Sequence[Sample]) -> list[Finding]:
        """The error on shapes of LabelMe beside masks of pixels."""
        masks = [[s.mask for s in part if s.mask] for part in (samples, self.samples)]
        kinds = [{mask.suffix.lower() == LABELME_SUFFIX for mask in part} for part in masks]
        if not kinds[0] or kinds[1] <= kinds[0]:
            return []
        message = (
            f"The corrected masks ({masks[1][0]}) are {_KINDS[True in kinds[1]]}, and those of the "
            f"data ({masks[0][0]}) are {_KINDS[True in kinds[0]]}"
        )
        remedy = "Convert the corrected ones: semiseg convert FOLDER --like RUN --out OTHER."
        return [note(message, remedy, "error")]


_KINDS = {True: "LabelMe's shapes", False: "masks of pixels"}


def read_corrected(
    folders: Sequence[Path], names: Collection[str] = (), reserved: Collection[Path] = ()
) -> Corrected:
    """Read folders of corrected masks. Nothing is raised: an error becomes a finding.

    Of masks that `correct` showed, only those that a person accepted are taken. Copies of reserved
    images are left out.

    Args:
        folders: the folders.
        names: the names of the images of the data folder, which no corrected image gets.
        reserved: the images that no training uses, as absolute paths.
    """
    samples: list[Sample] = []
    originals: set[Path] = set()
    findings: list[Finding] = []
    prefixes = {name.split("/", 1)[0] for name in names if "/" in name}
    for folder in folders:
        prefix = _unused(folder.absolute().name, prefixes)
        prefixes.add(prefix)
        try:
            found, left_out = _read_folder(folder)
        except DataError as error:
            findings.append(error_of(error))
            continue
        copied = find_originals(folder, [s.name for s in found])
        originals |= set(copied.values())
        taken = [s for s in found if copied.get(s.name) not in reserved]
        samples += [s._replace(name=f"{prefix}/{s.name}") for s in taken]
        message = f"{plural(len(taken), 'corrected mask')} of {folder} added to the data"
        if len(taken) < len(found):
            count = plural(len(found) - len(taken), "mask is", "masks are")
            message += f"; {count} of reserved images, and left out"
        if left_out:
            message += f"; {plural(left_out, 'mask is', 'masks are')} not accepted in the browser"
        findings.append(note(message))
    absolute = tuple(folder.absolute() for folder in folders)
    return Corrected(samples, frozenset(originals), absolute, findings)


def accepted_names(folder: Path) -> set[str] | None:
    """The names of the images whose masks a person accepted; None if nobody decided in a browser.

    Raises:
        DataError: the file of the decisions cannot be read.
    """
    file = folder / DECISIONS
    if not file.is_file():
        return None
    try:
        content = read_json(file)
        states = content["states"] if isinstance(content, Mapping) else None
        if not isinstance(states, Mapping):
            raise ValueError("it has no `states`")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{file} cannot be read ({error}).",
            "Restore it, or remove it: then all masks of the folder count.",
        ) from error
    return {str(name) for name, state in states.items() if state == "accepted"}


def _read_folder(folder: Path) -> tuple[list[Sample], int]:
    """The corrected images of a folder, and how many others have masks.

    Raises:
        DataError: there are none.
    """
    if not folder.is_dir():
        raise DataError(
            f"There is no folder {folder} of corrected masks.",
            "Correct --corrected. Several folders have commas between them.",
        )
    listing = read_split(find_layout(Tree(folder)), "train")
    error = next((f for f in listing.findings if f.severity == "error"), None)
    if error is not None:
        raise DataError(f"{folder}: {error.message}.", error.remedy)
    labeled = [sample for sample in listing.samples if sample.mask is not None]
    if not labeled:
        raise DataError(f"{folder} holds no image with a mask.", "Correct --corrected.")
    names = accepted_names(folder)
    if names is None:
        return labeled, 0
    accepted = [sample for sample in labeled if sample.name in names]
    if not accepted:
        raise DataError(
            f"No mask of {folder} is accepted.",
            f"Accept masks in the browser, or remove {folder / DECISIONS}: then all of them count.",
        )
    return accepted, len(labeled) - len(accepted)


def list_originals(folder: Path) -> list[Path]:
    """The images of the list of a folder, in its order; empty if the list is missing."""
    try:
        lines = read_text(folder / ORIGINALS).splitlines()
    except (OSError, ValueError):
        return []
    return [Path(line) for line in lines if line]


def find_originals(folder: Path, names: Collection[str]) -> dict[str, Path]:
    """The images that copies in a folder were made from, as far as its list says it.

    Args:
        folder: the folder.
        names: the names of the copies.

    Returns:
        The images by these names.
    """
    forms = {form: file for file in list_originals(folder) for form in _forms(file)}
    return {
        name: file
        for name in names
        for form, file in forms.items()
        if f"/{form}".endswith(f"/{name}")
    }


def _forms(original: Path) -> tuple[str, ...]:
    """The paths that may end with the name of a copy: without a suffix or, for some files, with it.

    Example:
        >>> _forms(Path("maps/field.tif/x0-y8-w16-h4"))
        ('maps/field/x0-y8-w16-h4',)
        >>> _forms(Path("photos/07.jpg"))
        ('photos/07', 'photos/07_jpg')
    """
    file, window = split_window(original)
    stem = file.with_suffix("").as_posix()
    if window is not None:
        return (f"{stem}/{original.name}",)
    return (stem, f"{stem}_{file.suffix[1:]}")


def _unused(name: str, others: Collection[str]) -> str:
    """The name, or the name with a number if it is taken."""
    number, result = 1, name
    while result in others:
        number += 1
        result = f"{name}-{number}"
    return result
