"""Results that are made in a folder of their own and then brought to where they belong.

Several processes may segment the same image for a moment: one that an engine gave up, and the one
that it started instead. So each works in its own folder, and a finished file gets its place at
once; see `Output.deliver`. The mask comes last. Where a mask lies, the image is finished, so the
results themselves are the ledger.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from semiseg.core.reading import Reading
from semiseg.inference.figures import Record
from semiseg.inference.image_job import predict_images
from semiseg.inference.image_request import ImageOptions, ImageSource
from semiseg.inference.outputs import Output
from semiseg.inference.predictor import Predictor
from semiseg.inference.raster_files import MASK
from semiseg.inference.targets import is_finished, variants
from semiseg.inference.voxels import VOXELS_SUFFIX

_BATCH = 64  # images whose files are looked up at once
_THREADS = 8  # requests to an object store at a time


class PredictionJob(NamedTuple):
    """Images to be segmented by other processes.

    Attributes:
        run: the model.
        sources: the images.
        output: where the results go.
        options: see `predict_images`.
        reading: how the images are read.
    """

    run: Path
    sources: Sequence[ImageSource]
    output: Output
    options: ImageOptions
    reading: Reading


def predict_into(
    model: Predictor,
    sources: Sequence[ImageSource],
    output: Output,
    options: ImageOptions,
    report: Callable[[Record], None],
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Segment some images, and bring their files to an output.

    An image that has all its files is not read. Files that exist are kept, as by `predict_images`.

    Args:
        model: see `predict_images`.
        sources: some images. What exists of their files is looked up for all of them at first.
        output: where their files go.
        options: see `predict_images`.
        report: takes the record of each image when its mask has its place, or cannot be made.
        progress: see `predict_images`.

    Raises:
        RunError: a file cannot be written.
    """
    with (
        ThreadPoolExecutor(_THREADS) as threads,
        tempfile.TemporaryDirectory(prefix="results-", dir=output.scratch()) as folder,
    ):
        scratch = Path(folder)
        finished: list[Record] = []
        new = []
        look = partial(_existing, output, options)
        for source, existing in zip(sources, threads.map(look, sources), strict=True):
            name = source.name
            if is_finished(name, options.kinds, existing.__contains__):
                mask = next(file for file in variants(name, MASK) if file in existing)
                report(Record(name, "existed", mask))
                continue
            for file in existing:  # `predict_images` keeps files that exist
                (scratch / file).parent.mkdir(parents=True, exist_ok=True)
                (scratch / file).touch()
            new.append(source)
        empty = {file for file in scratch.rglob("*") if file.is_file()}

        def deliver() -> None:
            """Bring the files of all images whose masks have their names to the output."""
            while finished:
                record = finished.pop(0)
                for file in _files(record.name, options.kinds):
                    if (scratch / file).is_file() and scratch / file not in empty:
                        output.deliver(scratch / file, file)
                report(record)

        def segmented(record: Record) -> None:
            deliver()  # those before it: its own mask gets its name after this call
            finished.append(record)

        predict_images(model, new, scratch, options, segmented, progress)
        deliver()


def predict_all_into(
    model: Predictor,
    sources: Sequence[ImageSource],
    output: Output,
    options: ImageOptions,
    report: Callable[[Record], None],
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Segment any number of images in this process; see `predict_into`."""
    with output.prepared():
        for first in range(0, len(sources), _BATCH):
            batch = sources[first : first + _BATCH]
            predict_into(model, batch, output, options, report, progress)


def _existing(output: Output, options: ImageOptions, source: ImageSource) -> set[str]:
    """The files of an image that are to be kept."""
    if options.overwrite:
        return set()
    own_masks = variants(source.name, MASK)
    masks = {file for file in own_masks if output.exists(file)}
    if not masks:  # it comes last, so what else exists is of an image that was not finished
        return masks
    others = [file for file in _files(source.name, options.kinds) if file not in own_masks]
    return masks | {file for file in others if output.exists(file)}


def _files(name: str, kinds: Sequence[str]) -> list[str]:
    """All files that an image may have; the masks come last."""
    others = [file for kind in kinds if kind != MASK for file in variants(name, kind)]
    return [*others, f"{name}{VOXELS_SUFFIX}", *variants(name, MASK)]
