"""The label store: labels of unlabeled images, made once and read in each step.

A store is a folder:

```
labels/
  000000.png   one file for each image, in the order of the images. Red is the label (255: none),
               green the confidence (255 means 1), blue 255 where both spaces agree
  labels.json  the manifest, written last: what labeled the images, and the hash of each file
```

Each file is written as a whole or not at all, and says what made it. So a labeling that was killed
goes on with the files that are missing, and gives the same bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from semiseg.core.console import progress
from semiseg.core.errors import RunError
from semiseg.core.files import (
    atomic_write,
    file_sha256,
    read_json,
    sync_folder,
    text_sha256,
    write_json,
)
from semiseg.core.records import from_plain
from semiseg.core.types import IGNORE_INDEX, Sample

MANIFEST = "labels.json"
FORMAT = 1
"""The version of the store; it grows when a file or a key changes its meaning."""
_SOURCE = "semiseg:source"  # the key of the text in a file that says what made it


class ImageLabels(NamedTuple):
    """The labels of one image.

    Attributes:
        label: `(H, W)` uint8 class indices, 255 where there is none.
        confidence: `(H, W)` float32 in 0..1.
        agreement: `(H, W)` bool, whether both spaces of the model give this label; True everywhere
            for what has one space only.
    """

    label: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    agreement: NDArray[np.bool_]


Labeler: TypeAlias = Callable[[Iterable[Sample]], Iterator[ImageLabels]]
"""Labels images, and gives the labels in their order. It holds a few images at a time."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What decides about the labels of a store besides the images.

    Attributes:
        kind: `model`, `masks` or `scores`.
        sha256: the hash of the model or of the files.
        size: the short side of the labels in pixels, at most.
        views: the views over which probabilities are averaged, each a scale and whether it is
            mirrored; empty for masks.
        details: what people may want to know, such as the result of the calibration.
    """

    kind: str
    sha256: str
    size: int
    views: tuple[tuple[float, ...], ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The hash of all of it."""
        return text_sha256(f"{FORMAT} {asdict(self)}")


class Labels(Protocol):
    """Labels of unlabeled images."""

    def read(self, sample: Sample) -> ImageLabels:
        """The labels of an image."""


def no_labels() -> ImageLabels:
    """What stands for an image without any label: one pixel without one."""
    label = np.full((1, 1), IGNORE_INDEX, dtype=np.uint8)
    return ImageLabels(label, np.zeros((1, 1), np.float32), np.ones((1, 1), np.bool_))


class NoLabels:
    """Stands for a label store where steps are only measured: no pixel has a label."""

    def read(self, sample: Sample) -> ImageLabels:
        """No label for any image."""
        return no_labels()


class LabelStore:
    """The labels of some images in a folder.

    Args:
        folder: the folder; it need not exist yet.
        samples: the images.
    """

    def __init__(self, folder: Path, samples: Sequence[Sample]) -> None:
        self.folder, self.samples = folder, samples
        self._numbers = {sample.image: number for number, sample in enumerate(samples)}

    def file(self, sample: Sample) -> Path:
        """The file of an image. Names are not unique, so that the files have numbers."""
        return self.folder / f"{self._numbers[sample.image]:06d}.png"

    def read(self, sample: Sample) -> ImageLabels:
        """The labels of an image.

        Raises:
            RunError: the file is missing or damaged.
        """
        file = self.file(sample)
        try:
            return _decode(file)[0]
        except (OSError, ValueError, SyntaxError) as error:
            raise RunError(
                f"The stored labels {file} cannot be read ({error}). Restore the file, or start a "
                "new run."
            ) from error

    def is_complete(self) -> bool:
        """Whether the labeling came to its end."""
        return (self.folder / MANIFEST).is_file()

    def verify(self) -> str:
        """Compare a finished store with its manifest.

        Returns:
            The hash over all files.

        Raises:
            RunError: a file is missing or has changed, or the store belongs to other images.
        """
        manifest = self.folder / MANIFEST
        try:
            record = from_plain(_Manifest, read_json(manifest))
            if record.format != FORMAT:
                raise ValueError(f"it has format {record.format}, and this is format {FORMAT}")
        except (OSError, ValueError) as error:
            raise self._changed(f"{manifest} cannot be read ({error})") from error
        if [entry.name for entry in record.images] != [sample.name for sample in self.samples]:
            raise self._changed(f"{manifest} lists other images than those of this run")
        for sample, entry in zip(self.samples, record.images, strict=True):
            file = self.file(sample)
            if not file.is_file() or file_sha256(file) != entry.sha256:
                raise self._changed(f"{file} is not as it was written")
        if record.sha256 != _hash_all(record.source, record.images):
            raise self._changed(f"{manifest} is not as it was written")
        return record.sha256

    def _changed(self, what: str) -> RunError:
        return RunError(
            f"The stored labels have changed since they were made: {what}. Restore them, or start "
            "a new run."
        )


@dataclass(frozen=True)
class _Entry:
    """One image in the manifest: its name and the hash of its file."""

    name: str
    sha256: str


@dataclass(frozen=True)
class _Manifest:
    """The contents of `labels.json`; `sha256` is a hash over all of it."""

    source: Mapping[str, object]
    images: tuple[_Entry, ...]
    sha256: str
    format: int = FORMAT


def read_details(folder: Path) -> Mapping[str, object]:
    """What people may want to know of a store, as its source says; empty without a manifest.

    Args:
        folder: the folder of the store.

    Raises:
        OSError: the manifest cannot be read.
        ValueError: it is damaged.
    """
    if not (folder / MANIFEST).is_file():
        return {}
    record = from_plain(_Manifest, read_json(folder / MANIFEST))
    return from_plain(dict[str, object], record.source["details"])


def read_names(folder: Path) -> tuple[str, ...]:
    """The names of the images that a finished store has labels of; empty without a manifest.

    Args:
        folder: the folder of the store.

    Raises:
        OSError: the manifest cannot be read.
        ValueError: it is damaged.
    """
    if not (folder / MANIFEST).is_file():
        return ()
    record = from_plain(_Manifest, read_json(folder / MANIFEST))
    return tuple(entry.name for entry in record.images)


def label_pool(
    labeler: Labeler, samples: Sequence[Sample], folder: Path, source: Source
) -> LabelStore:
    """Label images and store the labels. What a killed call has finished is kept.

    Args:
        labeler: labels images, a few at a time.
        samples: the images.
        folder: the folder of the store, which is created.
        source: what labels them. Files that another source made are replaced.

    Returns:
        The complete store.

    Raises:
        SemisegError: an image cannot be labeled.
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = LabelStore(folder, samples)
    missing = [sample for sample in samples if not _is_finished(store.file(sample), source)]
    done = len(samples) - len(missing)
    with progress("labeling the unlabeled images", "image") as bar:
        for count, (sample, labels) in enumerate(
            zip(missing, labeler(iter(missing)), strict=True), done + 1
        ):
            with atomic_write(store.file(sample)) as file:
                file.write(_encode(labels, source))
            bar.update(count, len(samples))
    entries = tuple(_Entry(s.name, file_sha256(store.file(s))) for s in samples)
    plain_source = asdict(source)
    manifest = _Manifest(plain_source, entries, _hash_all(plain_source, entries))
    sync_folder(folder)
    write_json(folder / MANIFEST, asdict(manifest))
    return store


def _hash_all(source: Mapping[str, object], entries: Sequence[_Entry]) -> str:
    head = json.dumps(source, sort_keys=True)
    return text_sha256("\n".join([head, *(f"{entry.sha256} {entry.name}" for entry in entries)]))


def _encode(labels: ImageLabels, source: Source) -> bytes:
    """The content of a file."""
    confidence = (labels.confidence * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    agreement = np.where(labels.agreement, np.uint8(255), np.uint8(0))
    note = PngInfo()
    note.add_text(_SOURCE, source.digest)
    file = io.BytesIO()
    pixels = np.stack([labels.label, confidence, agreement], axis=-1)
    Image.fromarray(pixels).save(file, "PNG", pnginfo=note)
    return file.getvalue()


def _decode(file: Path) -> tuple[ImageLabels, str]:
    """The labels in a file, and the digest of what made it.

    Raises:
        OSError: the file cannot be read, or is no PNG.
        ValueError: it holds something else.
        SyntaxError: its header is damaged.
    """
    with Image.open(file, formats=("PNG",)) as image:
        if image.mode != "RGB" or not isinstance(image, PngImageFile):
            raise ValueError("it is not a PNG in RGB")
        pixels = np.asarray(image)
        digest = str(image.text.get(_SOURCE, ""))
    confidence = pixels[..., 1].astype(np.float32) / np.float32(255)
    return ImageLabels(pixels[..., 0], confidence, pixels[..., 2] > 0), digest


def _is_finished(file: Path, source: Source) -> bool:
    """Whether this source wrote a file to its end."""
    try:
        return _decode(file)[1] == source.digest
    except (OSError, ValueError, SyntaxError):
        return False
