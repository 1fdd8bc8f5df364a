"""Addresses of files in object stores: their parts, and what of them may be shown.

An address may hold a password or a signature that opens the store. semiseg keeps it in memory to
read with it, and never prints it or writes it into a file.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from semiseg.core.addresses import PROTOCOL, without_secrets
from semiseg.core.errors import DataError

PROTOCOLS = ("http", "https", "s3", "gs", "hf", "memory", "file")
"""The beginnings of addresses that semiseg reads. Each is one of fsspec's file systems."""
MAX_EXPANDED = 1_000_000
"""The addresses that a pattern with braces may stand for."""

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


@dataclass(frozen=True, repr=False)
class Address:
    """A file or folder on a disk or in an object store.

    Attributes:
        text: the path, or the URL with everything that is secret in it.

    Example:
        >>> pool = Address("https://me:secret@example.org/pool?signature=abc")
        >>> print(pool / "000000.tar")
        https://example.org/pool/000000.tar
    """

    text: str

    @cached_property
    def protocol(self) -> str:
        """The beginning of the URL in small letters; empty for a path."""
        match = PROTOCOL.match(self.text)
        return match[1].lower() if match else ""

    @cached_property
    def is_local(self) -> bool:
        """Whether this is a path, or the URL of one."""
        return self.protocol in ("", "file")

    @cached_property
    def path(self) -> Path:
        """The path of a local file."""
        return Path(self.local)

    @cached_property
    def local(self) -> str:
        """The path of a local file as a text."""
        return self.text[len("file://") :] if self.protocol else self.text

    @property
    def name(self) -> str:
        """The last part, without a query."""
        if self.is_local:
            return self.path.name
        return self._split()[0].rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> Address:
        """The folder."""
        if self.is_local:
            return Address(str(self.path.parent))
        before, query = self._split()
        return Address(before.rstrip("/").rpartition("/")[0] + query)

    def __truediv__(self, name: str) -> Address:
        """The file of that name in this folder; a query stays at the end."""
        if self.is_local:
            return Address(str(self.path / name))
        before, query = self._split()
        return Address(f"{before.rstrip('/')}/{name}{query}")

    def below(self, folder: Address) -> str | None:
        """The part of the address below a folder; None if it lies elsewhere.

        Example:
            >>> Address("s3://bucket/a/0.tar").below(Address("s3://bucket"))
            'a/0.tar'
        """
        if self.is_local != folder.is_local:
            return None
        if self.is_local:
            inside = self.path.is_relative_to(folder.path)
            return self.path.relative_to(folder.path).as_posix() if inside else None
        (before, query), (start, other) = self._split(), folder._split()
        start = start.rstrip("/") + "/"
        return before.removeprefix(start) if before.startswith(start) and query == other else None

    def __str__(self) -> str:
        """The address without what is secret."""
        return str(self.path) if self.is_local else without_secrets(self.text)

    def __repr__(self) -> str:
        """As `__str__`: a traceback shows no secret either."""
        return f"Address({str(self)!r})"

    def _split(self) -> tuple[str, str]:
        """A URL before its query, and the query with its question mark."""
        if self.protocol not in ("http", "https"):  # a key of S3 may hold a question mark
            return self.text, ""
        before, mark, query = self.text.partition("?")
        return before, mark + query


def address_of(text: str | Path) -> Address:
    """The address that a person names.

    Raises:
        DataError: semiseg reads no such URLs.
    """
    address = Address(str(text))
    if address.protocol and address.protocol not in PROTOCOLS:
        raise DataError(
            f"semiseg does not read addresses that begin with {address.protocol}://.",
            "It reads paths and " + ", ".join(f"{name}://" for name in PROTOCOLS) + ".",
        )
    return address


def expand_braces(pattern: str) -> list[str]:
    """The texts that a pattern with braces stands for, as in WebDataset and in shells.

    Raises:
        DataError: there are more than a million of them, or none.

    Example:
        >>> expand_braces("pool-{08..10}.tar")
        ['pool-08.tar', 'pool-09.tar', 'pool-10.tar']
        >>> expand_braces("{a,b}/0.tar")
        ['a/0.tar', 'b/0.tar']
    """
    parts: list[list[str]] = []
    end, count = 0, 1
    for match in _BRACES.finditer(pattern):
        parts.append([pattern[end : match.start()]])
        end = match.end()
        if match[3] is not None:
            options = match[3].split(",")
        else:
            first, last = int(match[1]), int(match[2])
            width = len(match[1]) if match[1].startswith("0") else 0
            if last - first >= MAX_EXPANDED:
                raise _too_many(pattern)
            options = [str(number).zfill(width) for number in range(first, last + 1)]
        count *= len(options)
        if not 0 < count <= MAX_EXPANDED:
            raise _too_many(pattern)
        parts.append(options)
    parts.append([pattern[end:]])
    return ["".join(choice) for choice in itertools.product(*parts)]


def _too_many(pattern: str) -> DataError:
    return DataError(
        f"The braces of {without_secrets(pattern)} stand for no file, or for more than "
        f"{MAX_EXPANDED:,}.",
        "Write the lower number first, as in shard-{000000..000012}.tar.",
    )
