"""Lists that name images, one per line, and the hash that identifies a list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.files import read_text, text_sha256
from semiseg.core.types import Sample

_SUFFIX = re.compile(r"\.[^./]+$")
_CITYSCAPES_KIND = re.compile(r"_(leftImg8bit|gtFine_\w+)$")  # at the end of names in its lists


def read_list(
    path: Path,
    samples: Sequence[Sample],
    refused: Mapping[str, Sequence[Sample]] = MappingProxyType({}),
) -> list[Sample]:
    """Read a list that names samples, one per line, with or without folder and suffix.

    If a line has several columns (image and mask, as in published lists), the first one counts.

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
    try:
        lines = read_text(path).split("\n")
    except OSError as error:
        raise ConfigError(
            f"--labels {path}: no such file can be read, and it is neither a number, a share "
            "(0.1, 10%, 1/8) nor 'all'."
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not a text file ({error}).") from error
    index = _NameIndex(samples)
    refused_indices = {message: _NameIndex(others) for message, others in refused.items()}
    entries: dict[str, Sample] = {}
    for number, line in enumerate(lines, 1):
        words = line.strip()
        where = f"{path}, line {number}: "
        sample = index.by_name.get(line)  # semiseg writes such names, even if one starts with "#"
        if sample is None and (not words or words.startswith("#")):
            continue
        sample = sample or index.find(words, where)
        if sample is None:
            messages = [m for m, names in refused_indices.items() if names.find(words, where)]
            reason = f"{words} {messages[0]}" if messages else f"there is no labeled image {words}"
            raise DataError(f"{where}{reason}.")
        entries[sample.name] = sample
    if not entries:
        raise DataError(f"{path} names no image.")
    return sorted(entries.values())


def list_hash(samples: Iterable[Sample]) -> str:
    """The first 16 hex digits of the SHA-256 of the sorted names, one per line."""
    return text_sha256("".join(f"{name}\n" for name in sorted(s.name for s in samples)))[:16]


class _NameIndex:
    """Finds samples by the names in lists.

    Attributes:
        by_name: the samples by their full name.
        by_stem: the samples by their name without folders.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.by_name = {sample.name: sample for sample in samples}
        self.by_stem: dict[str, list[Sample]] = {}
        for sample in samples:
            self.by_stem.setdefault(sample.name.rsplit("/", 1)[-1], []).append(sample)

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
        first = words.split()[0]
        names = [name for text in (words, first) for name in (text, _SUFFIX.sub("", text))]
        for name in names:
            if name in self.by_name:
                return self.by_name[name]
        # A name may contain spaces, but columns are more likely.
        for name in (*names[2:], *names[:2], _CITYSCAPES_KIND.sub("", names[3])):
            samples = self.by_stem.get(name.rsplit("/", 1)[-1], [])
            if len(samples) == 1:
                return samples[0]
            if samples:
                raise DataError(
                    f"{where}{words} may be {samples[0].name} or {samples[1].name}.",
                    "Write the path below images/.",
                )
        return None
