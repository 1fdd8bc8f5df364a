"""Computes the features of a pool's images into files, so that a killed process goes on.

`OUT/features` holds a file of rows for each shard of the call, and the ledgers of the shards, as
those of `predict`: with the hashes of the model and of the pool, the images that cannot be read,
and a last line when the shard is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from semiseg.config.shard import Shard, describe_numbers
from semiseg.core.console import progress
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.core.text import plural
from semiseg.data.formats.image_bytes import ImageBytes
from semiseg.data.pools.pool import Pool
from semiseg.data.pools.pool_sample import are_too_many
from semiseg.data.read_ahead import read_ahead
from semiseg.inference.figures import Failures, Record
from semiseg.inference.large import large_images
from semiseg.inference.ledger import Ledger, difference, open_ledger
from semiseg.inference.ledger_file import (
    End,
    Header,
    find_ledgers,
    read_end,
    read_header,
    read_ledger,
)
from semiseg.suggestion.feature_rows import (
    COMPUTED,
    FAILED,
    MISSING,
    Description,
    FeatureFile,
    PoolRows,
    open_rows,
)

FEATURES = "features"
"""The folder of the features in the output folder."""
Pixels = TypeVar("Pixels")


@dataclass(frozen=True)
class FeatureJob:
    """The features of a pool's images, or of a part of them.

    Attributes:
        pool: the pool.
        out: the output folder of `suggest`.
        shard: which images: an equal part of their numbers, so that a process reads whole tars.
        model: a hash of what computes the features.
        call: the command without `--shard` and `--merge`, for messages.
    """

    pool: Pool
    out: Path
    shard: Shard
    model: str
    call: str = ""

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.out / FEATURES

    def numbers(self, shard: Shard) -> range:
        """The numbers of the images of a shard."""
        size = len(self.pool)
        return range(size * (shard.number - 1) // shard.count, size * shard.number // shard.count)

    def file(self, shard: Shard) -> Path:
        """The file of a shard, such as `OUT/features/03-of-64.npy`."""
        number = str(shard.number).zfill(len(str(shard.count)))
        return self.folder / f"{number}-of-{shard.count}.npy"

    def header(self, shard: Shard) -> Header:
        """The first line of the ledger of a shard."""
        return Header(
            shard.number,
            shard.count,
            self.model,
            (),
            place=str(self.pool.address),
            pool=self.pool.fingerprint,
        )


def compute_features(
    job: FeatureJob,
    width: int,
    read: Callable[[ImageBytes], Pixels],
    describe: Callable[[Pixels], Description],
) -> None:
    """Compute the features that no earlier call has computed.

    * Each image is computed alone, so that its row depends on no other image.
    * A killed process loses the image that it was working on.
    * An image that cannot be decoded gets a row that says so, and stops no others.

    Args:
        job: the images.
        width: the number of features of an image.
        read: decodes an image, or raises a DataError; in a thread.
        describe: computes its row.

    Raises:
        ConfigError: the folder holds features of another pool, of another model, or of another
            number of shards.
        DataError: the pool cannot be read, or too many of its images.
        RunError: a file cannot be written, or another process computes this shard.
    """
    _require_same(job)
    numbers = job.numbers(job.shard)

    def prepare(place: int) -> Pixels | DataError:
        image = job.pool.image(numbers[place])  # an error of the server or of a tar ends the job
        try:
            return read(image)
        except DataError as error:
            return error

    with open_ledger(job.folder, job.header(job.shard), overwrite=False) as ledger:
        rows = open_rows(job.file(job.shard), len(numbers), width)
        states = rows.states()
        for place in np.flatnonzero(states == FAILED).tolist():
            if job.pool.name(numbers[place]) not in ledger.records:  # a machine lost its power
                states[place] = MISSING
        places = np.flatnonzero(states == MISSING).tolist()
        failed = int((states == FAILED).sum())
        done = len(rows) - len(places)
        with progress("suggest", "image") as bar, large_images():
            bar.update(done, len(rows))
            for place, pixels in zip(places, read_ahead(prepare, places), strict=True):
                try:
                    if isinstance(pixels, DataError):
                        raise pixels
                    rows.write(place, describe(pixels))
                except DataError as error:
                    failed += 1
                    _fail(ledger, rows, place, job.pool.name(numbers[place]), error)
                    _stop_if_too_many(job, failed, done + 1, error)
                done += 1
                bar.update(done)
        rows.flush()
        names = [job.pool.name(numbers[i]) for i in np.flatnonzero(rows.states() == FAILED)]
        ledger.finish(names, End(len(job.pool), job.pool.fingerprint))


def read_features(job: FeatureJob) -> tuple[PoolRows, Failures]:
    """The features of all images, when all shards are finished.

    Args:
        job: of any shard.

    Returns:
        The rows, and why images cannot be read.

    Raises:
        DataError: a shard is missing or not finished; the message gives the commands for them. Or
            no image can be read.
        ConfigError: the folder holds features of another pool or of another model.
        RunError: a file cannot be read.
    """
    _require_same(job)
    ledgers = find_ledgers(job.folder)
    counts = sorted({shard.count for shard in ledgers})
    if not counts:
        raise DataError(
            f"There are no features in {job.folder}.",
            f"Compute them: {job.call} --shard 1/2, then 2/2; or leave --merge out.",
        )
    if len(counts) > 1:
        raise DataError(
            f"{job.folder} holds the features of {' and of '.join(map(str, counts))} shards.",
            f"Delete it, and compute them again: {job.call} --shard 1/2, then 2/2.",
        )
    shards = [Shard(number, counts[0]) for number in range(1, counts[0] + 1)]
    unfinished = [s for s in shards if s not in ledgers or read_end(ledgers[s]) is None]
    if unfinished:
        numbers = describe_numbers([shard.number for shard in unfinished])
        raise DataError(
            f"{job.folder} does not have all {len(shards)} shards yet. Not finished: {numbers}.",
            f"Run each of these: {job.call} --shard {unfinished[0]}",
        )
    rows = PoolRows([job.file(shard) for shard in shards])
    if len(rows) != len(job.pool):
        raise RunError(
            f"{job.folder} holds {len(rows):,} rows, and the pool has {len(job.pool):,} images. "
            "Delete the folder, and compute them again."
        )
    failures = Failures()
    for file in ledgers.values():
        for record in read_ledger(file).records.values():
            if record.state == "failed":
                failures.add(record.reason)
    if not any((block["state"] == COMPUTED).any() for _, block in rows.blocks()):
        raise DataError(failures.describe(len(rows)))
    return rows, failures


def _fail(ledger: Ledger, rows: FeatureFile, place: int, name: str, error: DataError) -> None:
    """Note that an image cannot be read: the reason first, so that no row lacks it."""
    ledger.add(Record(name, "failed", reason=str(error)))
    rows.fail(place)


def _stop_if_too_many(job: FeatureJob, failed: int, seen: int, error: DataError) -> None:
    """End a job whose images are mostly no images.

    Raises:
        DataError: they are too many.
    """
    if are_too_many(failed, seen):
        raise DataError(
            f"{failed:,} of the first {plural(seen, 'image')} of the pool {job.pool.address} "
            f"cannot be read. The last one: {error}",
            "Pack the pool again without such images.",
        )


def _require_same(job: FeatureJob) -> None:
    """Refuse features of another pool or of another model.

    Raises:
        ConfigError: the folder holds some.
        RunError: a ledger cannot be read.
    """
    ledgers: Sequence[Path] = list(find_ledgers(job.folder).values())
    for file in ledgers:
        header = read_header(file)
        if header is not None and (clause := difference(job.header(job.shard), header)):
            raise ConfigError(
                f"{job.folder} holds features of {clause}. Use the same ones, "
                f"another --out, or delete {job.folder}."
            )
