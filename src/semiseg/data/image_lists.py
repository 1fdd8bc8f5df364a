"""Lists that name images, one per line, and the hash that identifies a list."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.files import read_text, text_sha256
from semiseg.core.types import Sample
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.layouts.image_index import path_parts
from semiseg.data.layouts.list_files import names_image_column, read_table

_COLUMN = re.compile("[\t;,]")
_SUFFIX = re.compile(r"\.[^./]+$")
_CITYSCAPES_KIND = re.compile(r"_(leftImg8bit|gtFine_\w+)$")  # at the end of names in its lists


def read_list(
    path: Path,
    samples: Sequence[Sample],
    refused: Mapping[str, Sequence[Sample]] = MappingProxyType({}),
) -> list[Sample]:
    """Read a list that names samples, one per line, with or without folder and suffix.

    Paths may be those of another system or begin above the data folder. If a line has several
    columns (image and mask, as in published lists), the first one counts. Of a table with a header
    that names a column of images, this column counts.

    Args:
        path: the list.
        samples: the samples that the list may name.
        refused: the samples that it may not name, by the end of the error message.

    Returns:
        The samples, sorted by name.

    Raises:
        ConfigError: there is no such file.
        DataError: the file cannot be read or is empty, or a line names an image that does not
            exist, that is refused, or whose name is ambiguous.
    """
    index = NameIndex(samples)
    try:
        lines = list(list_lines(path, index))
    except OSError as error:
        raise ConfigError(
            f"--labels {path}: no such file can be read, and it is neither a number, a share "
            "(0.1, 10%, 1/8) nor 'all'."
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not a text file ({error}).") from error
    refused_indices = {message: NameIndex(others) for message, others in refused.items()}
    entries: dict[str, Sample] = {}
    for line in lines:
        where = f"{path}, line {line.number}: "
        sample = index.by_name.get(line.words) or index.find(line.words, where)
        if sample is None:
            messages = [m for m, names in refused_indices.items() if names.find(line.words, where)]
            image = _columns(line.words)[0]
            reason = f"{image} {messages[0]}" if messages else f"there is no labeled image {image}"
            raise DataError(f"{where}{reason}.")
        entries[sample.name] = sample
    if not entries:
        raise DataError(f"{path} names no image.")
    return sorted(entries.values())


def foreign_masks(path: Path, samples: Sequence[Sample]) -> str:
    """The folder of masks that a list names in its second column, if semiseg reads others.

    Args:
        path: the list, with an image and a mask on each line, as UniMatch writes it.
        samples: the labeled images.

    Returns:
        The name of the folder; empty if the list names no masks, those of the samples, or files
        that do not exist above the images.
    """
    own = {sample.mask.parent.name for sample in samples if sample.mask is not None}
    places = samples[0].image.parents if samples else ()
    for line in read_text(path).splitlines():
        columns = _columns(line.strip())
        parts = path_parts(columns[1]) if len(columns) > 1 else ()
        if len(parts) < 2 or parts[-2] in own:
            continue
        if any(place.joinpath(*parts).is_file() for place in places):
            return parts[-2]
    return ""


def _columns(line: str) -> list[str]:
    """The columns of a line: parted by tab, semicolon or comma, or by a space between two paths.

    Spaces within a name part nothing.
    """
    columns = [column.strip().strip('"') for column in _COLUMN.split(line)]
    words = line.split()
    is_pair = len(columns) == 1 and len(words) == 2 and all(map(_is_path, words))
    return words if is_pair else columns


def list_hash(samples: Iterable[Sample]) -> str:
    """The first 16 hex digits of the SHA-256 of the sorted names, one per line."""
    return text_sha256("".join(f"{name}\n" for name in sorted(s.name for s in samples)))[:16]


class ListLine(NamedTuple):
    """A line of a list that names an image.

    Attributes:
        number: of the line, from 1.
        words: the line, or the cell of the image in a table.
        mask: the path of a mask that the line names; empty if it names none.
    """

    number: int
    words: str
    mask: str


def list_lines(path: Path, index: NameIndex) -> Iterator[ListLine]:
    """The lines of a list that are neither empty nor comments.

    Args:
        path: the list, or a table with a header that names a column of images.
        index: finds the images that it may name.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text.
        DataError: no column of a table names images.
    """
    lines = read_text(path).split("\n")
    if lines and names_image_column(path, lines[0]):
        for row in read_table(path, index.has).rows:
            if row.image:
                yield ListLine(row.number, row.image, row.mask if _is_path(row.mask) else "")
        return
    for number, line in enumerate(lines, 1):
        words = line.strip()
        if line in index.by_name:  # semiseg writes such names, even if one starts with "#"
            yield ListLine(number, line, "")
        elif words and not words.startswith("#"):
            columns = _columns(words)
            mask = columns[1] if len(columns) > 1 and _is_path(columns[1]) else ""
            yield ListLine(number, words, mask)


def _is_path(text: str) -> bool:
    """Whether a text looks like the path of an image, and not like the number of a class."""
    return any(sign in text for sign in "/\\") or text.lower().endswith(IMAGE_SUFFIXES)


class NameIndex:
    """Finds samples by the names in lists.

    Attributes:
        by_name: the samples by their full name.
        by_stem: the samples by their name without folders.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.by_name = {sample.name: sample for sample in samples}
        self.by_stem: dict[str, list[Sample]] = {}
        for sample in samples:
            stem = unicodedata.normalize("NFC", sample.name.rsplit("/", 1)[-1])
            self.by_stem.setdefault(stem, []).append(sample)

    def has(self, words: str) -> bool:
        """Whether a text is the name of one sample."""
        return self.lookup(words) is not None

    def lookup(self, words: str) -> Sample | None:
        """The sample that a line names; None if there is none, or several."""
        try:
            return self.by_name.get(words) or self.find(words, "")
        except DataError:
            return None

    def find(self, words: str, where: str) -> Sample | None:
        """Find the sample that a line names.

        Args:
            words: the line.
            where: the list and the line's number, for the error.

        Returns:
            The sample, or None.

        Raises:
            DataError: two samples have such a name.
        """
        columns = [_COLUMN.split(words)[0].strip().strip('"'), words.split()[0]]
        texts = list(dict.fromkeys((words, *columns)))
        forms = [(text, _SUFFIX.sub("", text)) for text in texts]
        for name in (name for form in forms for name in form):
            if name in self.by_name:
                return self.by_name[name]
        # A name may contain spaces, but columns are more likely.
        ordered = [name for form in (*forms[1:], forms[0]) for name in form]
        for name in (*ordered, _CITYSCAPES_KIND.sub("", forms[-1][1])):
            parts = path_parts(unicodedata.normalize("NFC", name))
            samples = self.by_stem.get(parts[-1], []) if parts else []
            if len(samples) > 1:
                samples = _nearest(samples, parts[:-1])
            if len(samples) == 1:
                return samples[0]
            if samples:
                raise DataError(
                    f"{where}{words} may be {samples[0].name} or {samples[1].name}.",
                    "Write the path below images/.",
                )
        return None


def _nearest(samples: Sequence[Sample], folders: Sequence[str]) -> list[Sample]:
    """The samples whose folders are most like those of a line, compared from the file on."""

    def common(sample: Sample) -> int:
        counts = []
        for parts in (sample.image.parts, PurePosixPath(sample.name).parts):
            pairs = zip(parts[-2::-1], reversed(folders), strict=False)
            counts.append(len(list(takewhile(lambda pair: pair[0] == pair[1], pairs))))
        return max(counts)

    best = max(map(common, samples))
    return [sample for sample in samples if common(sample) == best]
