"""The images that a run may suggest: without masks, and neither of `val` nor of `test`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.files import file_sha256, read_text
from semiseg.core.reading import AS_STORED
from semiseg.core.text import plural
from semiseg.core.types import Arrangement, Sample
from semiseg.data.dataset_file import DatasetFile
from semiseg.data.pairing.roles import role_of
from semiseg.data.tiles.expand import TileSettings, expand_images
from semiseg.inference.sources import find_images
from semiseg.suggestion.pool import leave_out_labeled, read_folder
from semiseg.training.run_data import arrangement_of, samples_of, samples_of_test, settings_of

logger = logging.getLogger(__name__)


class RunImages(NamedTuple):
    """The images of a run; empty if its data cannot be found.

    Attributes:
        labeled: the images that the run learned from with their masks.
        validation: the images of its `val`.
        test: the images of the `test` of its data, with masks or without.
    """

    labeled: list[Sample]
    validation: list[Sample]
    test: list[Sample]

    def files(self) -> set[Path]:
        """All images."""
        return {s.image.resolve() for s in (*self.labeled, *self.validation, *self.test)}

    def masks(self) -> set[Path]:
        """All masks."""
        samples = (*self.labeled, *self.validation, *self.test)
        return {s.mask.resolve() for s in samples if s.mask is not None}


def find_run_images(run: Path, data: Path | None) -> RunImages:
    """Find the images of a run in a data folder; None for the folder that its settings name."""
    return RunImages(*samples_of(run, data), samples_of_test(run, data))


def find_unlabeled(
    run: Path,
    places: Sequence[Path],
    out: Path,
    run_images: RunImages,
    without: Collection[Path] = (),
) -> dict[str, Path]:
    """Find the images to choose from, by the name of their files in the output folder.

    A photograph of the run is recognized in another folder, too, if the files have the same
    content. If the data of the run are gone, those with a name of its `split/val.txt` are left out.

    Args:
        run: the run folder.
        places: one, as for `find_images`; or several folders, whose names then begin the names of
            the images. Of a folder, the images that have masks there and those of its `val` and
            `test` are left out.
        out: the output folder, whose files do not count.
        run_images: the images of the run.
        without: images that a person has seen already.

    Raises:
        DataError: there are no images.
    """
    masks, flags = run_images.masks(), arrangement_of(run)
    if len(places) == 1:
        candidates = _find(places[0], out, masks, flags)
    else:
        candidates = {}
        folders = dict.fromkeys(place.resolve() for place in places)
        for folder, prefix in zip(folders, short_names(list(folders)), strict=True):
            files = set(candidates.values())  # a folder may lie in another one
            images = _find(folder, out, masks, flags).items()
            candidates |= {f"{prefix}/{name}": f for name, f in images if f not in files}
    copies = _find_copies(run_images.files(), candidates)
    if copies:
        logger.info(
            "%s had masks in %s or belong to its val or test, and are left out",
            plural(len(copies), "image"),
            run,
        )
    seen = {file.absolute() for file in without}
    candidates = {name: f for name, f in candidates.items() if name not in copies}
    decided = {name for name, file in candidates.items() if file.absolute() in seen}
    if decided:
        logger.info("left out: %s that you accepted or skipped", plural(len(decided), "image"))
    candidates = {name: f for name, f in candidates.items() if name not in decided}
    if not run_images.labeled:
        candidates = _without_names_of_val(run, candidates)
    return without_roles(candidates)


def short_names(folders: Sequence[Path]) -> list[str]:
    """The last parts of the paths of folders, as many as tell them apart.

    Example:
        >>> short_names([Path("/a/north/photos"), Path("/a/south/photos")])
        ['north/photos', 'south/photos']
    """
    parts = [folder.parts[1:] for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _find(place: Path, out: Path, masks: Collection[Path], flags: Arrangement) -> dict[str, Path]:
    """The images of a place that have no masks there; see `find_unlabeled`."""
    candidates, notes, warnings = find_images(place, out)
    for note in notes:
        logger.info("%s", note)
    for warning in warnings:
        logger.warning("%s", warning)
    # PNG masks may lie beside JPEG images.
    candidates = {name: f for name, f in candidates.items() if f.resolve() not in masks}
    if place.is_dir():
        return _without_masks_there(place, candidates, flags)
    settings = TileSettings.of(flags, DatasetFile(), AS_STORED)
    return expand_images(place.parent, candidates, settings)


def without_roles(images: Mapping[str, Path]) -> dict[str, Path]:
    """The images by names without folders such as `unlabeled`, which mean something to semiseg.

    A copy in `train/images/unlabeled` would count as unlabeled, with its mask. Where two images
    would have one name, such a folder becomes a part of the file's name.

    Example:
        >>> a, b, c = Path("a.jpg"), Path("b.jpg"), Path("c.jpg")
        >>> list(without_roles({"unlabeled/day/1": a, "unlabeled/2": b, "val/images/2": c}))
        ['day/1', 'unlabeled_2', 'val_images_2']
        >>> list(without_roles({"unlabeled/2": a, "val/2": b, "unlabeled_2": c}))
        ['unlabeled_2', 'val_2', 'unlabeled_2_']
    """
    shorter = {name: _without_role_folders(name, keep=False) for name in images}
    counts = Counter(shorter.values())
    renamed: dict[str, Path] = {}
    for name, file in images.items():
        own = shorter[name]
        if counts[own] > 1:
            own = _without_role_folders(name, keep=True)
        while own in renamed:
            own += "_"
        renamed[own] = file
    return renamed


def _without_role_folders(name: str, keep: bool) -> str:
    """A name without folders that have a role; or with their names before the next part."""
    *folders, last = name.split("/")
    parts: list[str] = []
    prefix = ""
    for folder in folders:
        role = role_of(folder)
        if role.is_neutral and not role.is_secondary:
            parts.append(prefix + folder)
            prefix = ""
        elif keep:
            prefix += f"{folder}_"
    return "/".join((*parts, prefix + last))


def _without_masks_there(
    images: Path, candidates: dict[str, Path], flags: Arrangement
) -> dict[str, Path]:
    """The images of a folder that have no masks there and are not of its `val` or `test`."""
    try:
        folder = read_folder(images, flags)
    except (ConfigError, DataError) as error:
        logger.warning("semiseg cannot tell which images of %s have masks: %s", images, error)
        return candidates
    candidates = {n: f for n, f in candidates.items() if f.resolve() not in folder.mask_files}
    tiles = expand_images(images, candidates, folder.tiles)
    unlabeled, counts = leave_out_labeled(tiles, folder)
    if counts:
        logger.info("%s are left out", " and ".join(counts))
    return unlabeled


def _without_names_of_val(run: Path, candidates: dict[str, Path]) -> dict[str, Path]:
    """The images that have no name of the run's validation images, whose files are gone."""
    logger.info(
        "semiseg cannot find the data of %s (%s), so it may suggest images that have masks. "
        "If the data moved, name their folder: --data DATA",
        run,
        settings_of(run).get("data", "an unknown folder"),
    )
    try:
        lines = read_text(run / "split" / "val.txt").split("\n")
    except (OSError, ValueError):
        return candidates
    names = {line.rsplit("/", 1)[-1] for line in lines if line}
    others = {name: f for name, f in candidates.items() if not {f.name, f.stem} & names}
    if ignored := len(candidates) - len(others):
        logger.info(
            "%s with names of validation images of %s are left out", plural(ignored, "image"), run
        )
    return others


def _find_copies(files: Iterable[Path], candidates: Mapping[str, Path]) -> set[str]:
    """The names of the candidates that are one of the files or have the content of one."""
    originals = set(files)
    sizes = {size for file in originals if (size := _size(file)) is not None}
    alike = {name: f for name, f in candidates.items() if _size(f) in sizes}
    contents = {_content(file) for file in originals} - {None} if alike else set()
    copies = {name for name, file in alike.items() if _content(file) in contents}
    return copies | {name for name, file in candidates.items() if file.resolve() in originals}


def _size(file: Path) -> int | None:
    """The size in bytes; None if the file cannot be read, which is reported where it is opened."""
    try:
        return file.stat().st_size
    except OSError:
        return None


def _content(file: Path) -> str | None:
    """The hash of the content; None if the file cannot be read."""
    try:
        return file_sha256(file)
    except OSError:
        return None
