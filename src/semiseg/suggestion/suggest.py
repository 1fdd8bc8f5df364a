"""`suggest`: the unlabeled images to label next, with masks to correct."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from semiseg.config.settings import AUTO, Auto
from semiseg.config.tool_formats import ToolFormat
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.core.text import plural
from semiseg.inference.device import torch_device
from semiseg.inference.formats import format_of
from semiseg.inference.torch_model import Model
from semiseg.model.release import load_release
from semiseg.suggestion.features import inspect_images
from semiseg.suggestion.mask_kinds import kind_of, refuse_other_kind, written_kinds
from semiseg.suggestion.pool import remedy_of
from semiseg.suggestion.ranking import NO_PROTOTYPES, Suggestion, choose, describe_fewer
from semiseg.suggestion.unlabeled import RunImages, find_run_images, find_unlabeled
from semiseg.suggestion.writer import write_suggestions
from semiseg.training.run_data import data_of

logger = logging.getLogger(__name__)


def suggest(
    run: Path,
    images: Path,
    *,
    more: Sequence[Path] = (),
    out: Path,
    n: int = 20,
    data: Path | None = None,
    file_format: ToolFormat | Auto = AUTO,
    min_area: int | Auto = AUTO,
    overwrite: bool = False,
    accelerator: str = AUTO,
    without: Collection[Path] = (),
) -> list[Suggestion]:
    """Choose the images whose masks would improve a trained model most.

    An image counts more, the more the model doubts, the more its two spaces disagree, and the
    farther the image is from the labeled and the chosen images. So semiseg never chooses two images
    that are alike.

    Args:
        run: the run folder of a training.
        images: an image, a folder, a pattern in quotes, or a text file with one path on each line.
            Images of the run, copies of them, and images that have masks or belong to `val` or
            `test` are ignored.
        more: further folders of images, if `images` is a folder.
        out: the folder to write: `suggested.txt` and `suggested.csv`, the list without and with
            the reasons; `suggested.png`, a picture of the images; and a data folder to correct with
            `train/images`, `train/masks` (predicted by the model) and `classes.yaml`. If the masks
            of the run are LabelMe's shapes, so are these, beside the images.
        file_format: a labeling tool whose files replace the masks. `labelme` writes shapes beside
            the images; the others write one file for all images, in `train`.
        min_area: the pixels of the smallest region in such files; `auto` is `smallest_region`.
        n: the largest number of images.
        data: the data folder, if it moved since the training.
        overwrite: replace the masks of an earlier call, corrected or not.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.
        without: further images that are not wanted.

    Returns:
        The images; begin with the first one.

    Raises:
        DataError: there is no image to suggest.
        ConfigError: `n` is too small, the model is an exported one, or `data` is not the data
            folder of the run.
        RunError: the model cannot be read, or the output folder cannot be written.
    """
    run, images, out = Path(run), Path(images), Path(out)
    folder = check_places(run, out, n, data)
    refuse_masks(out, overwrite)
    model = Model(load_release(run), torch_device(accelerator))
    kind = kind_of(file_format, model.classes)
    refuse_other_kind(out, kind)
    run_images = find_run_images(run, folder)
    places = (images, *more)
    for place in places:
        if not run_images.labeled and folder is None and place.is_dir():
            run_images = find_run_images(run, place)  # the data themselves, moved
    require_labeled(run, run_images, data)
    unlabeled = find_unlabeled(run, places, out, run_images, without)
    if not model.two_spaces:
        logger.info(NO_PROTOTYPES, run)
    candidates, errors = inspect_images(model, unlabeled)
    if not candidates:
        reason = "all have masks, or belong to val or test"
        if errors:
            reason = f"{plural(len(errors), 'image')} cannot be read, and there are no others"
        raise DataError(
            f"{' and '.join(map(str, places))} {'hold' if more else 'holds'} no image to suggest: "
            f"{reason}.",
            remedy_of(images, "Name a folder that holds images without masks, too."),
        )
    labeled = {sample.name: sample.image for sample in run_images.labeled}
    labeled_images, _ = inspect_images(model, labeled)
    suggestions = choose(candidates, [candidate.features for candidate in labeled_images], n)
    for error in errors:
        logger.info("%s", error)
    if errors and folder is not None:
        _warn_of_broken(set(unlabeled.values()) - {c.suggestion.image for c in candidates}, folder)
    if text := describe_fewer(len(suggestions), n, len(candidates)):
        logger.info("%s", text)
    write_suggestions(suggestions, model, kind, out, min_area)
    return suggestions


def check_places(run: Path, out: Path, n: int, data: Path | None) -> Path | None:
    """Check what a person names, before anything is read.

    Args:
        run: the run folder.
        out: the output folder.
        n: the largest number of images.
        data: the data folder, if it moved since the training.

    Returns:
        The data folder of the run; None if it is gone.

    Raises:
        ConfigError: `n` is too small, the model is an exported one, or `out` is the data folder.
    """
    if n < 1:
        raise ConfigError(f"--n {n} is too small. Use 1 or more.")
    if format_of(run).suffix:
        raise ConfigError(f"{run} is an exported model. suggest needs the run folder.")
    folder = data_of(run) if data is None else Path(data)
    if folder is not None and out.resolve() == folder.resolve():
        raise ConfigError(f"--out {out} is the data folder of {run}. Choose another folder.")
    return folder


def refuse_masks(out: Path, overwrite: bool) -> None:
    """Refuse a folder with the masks of an earlier call.

    Raises:
        RunError: it holds some, and they are not to be replaced.
    """
    if written_kinds(out) and not overwrite:
        raise RunError(
            f"{out / 'train'} exists and may hold masks that you corrected. Choose another --out, "
            "or replace them (--overwrite)."
        )


def require_labeled(run: Path, run_images: RunImages, data: Path | None) -> None:
    """Refuse a data folder that is not that of the run.

    Raises:
        ConfigError: it holds no image that the run learned from.
    """
    if data is not None and not run_images.labeled:
        raise ConfigError(
            f"--data {data} does not hold the images of {run}, which its split/ lists. Name the "
            "folder that holds them now."
        )


def _warn_of_broken(files: Collection[Path], data: Path) -> None:
    """Warn of files of the data folder that cannot be read, so that no training uses them."""
    inside = sorted(file for file in files if file.absolute().is_relative_to(data.absolute()))
    if inside:
        logger.warning(
            "%s of %s cannot be read (the first is %s). Trainings leave them out until you repair "
            "them",
            plural(len(inside), "image"),
            data,
            inside[0],
        )
