"""Byte ranges of files on a disk or in an object store, with a bounded number of retries."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import fsspec

from semiseg.core.addresses import without_secrets
from semiseg.data.pools.address import Address

T = TypeVar("T")

CHUNK = 16 << 20
"""Bytes of one request when a whole file is copied: a broken connection repeats only these."""
_EXTRAS = {"s3": "s3", "gs": "gs"}
_RETRIED_STATUS = (408, 425, 429)  # of those below 500
_RANGE_BEHIND_END = 416
_PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_KEY_ERRORS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError")
_SOCKET_SECONDS = 60
NO_KEYS = "the store needs keys, which come from the environment or ~/.aws and not from the address"
"""Why a store does not answer."""


class ReadError(Exception):
    """Bytes could not be read; the message is a clause such as "it does not exist".

    Attributes:
        is_missing: whether there is no such file.
        is_short: whether the file ended before all bytes came.
    """

    def __init__(self, message: str, *, is_missing: bool = False, is_short: bool = False) -> None:
        self.is_missing, self.is_short = is_missing, is_short
        super().__init__(message)


@dataclass(frozen=True)
class Retries:
    """How often a request is repeated, and how long semiseg waits before it.

    Attributes:
        attempts: requests in all, at least 1.
        first_wait: seconds before the second request; each further wait is twice as long.
        sleep: waits that many seconds.
    """

    attempts: int = 4
    first_wait: float = 1.0
    sleep: Callable[[float], None] = time.sleep


class RangeReader:
    """Reads ranges of files; holds nothing open, so that it may be pickled and used after a fork.

    Args:
        retries: for remote files. A disk is asked once.
    """

    def __init__(self, retries: Retries | None = None) -> None:
        self.retries = retries or Retries()
        self._ignore_ranges: set[str] = set()

    def read(self, address: Address, offset: int, length: int) -> bytes:
        """Read exactly `length` bytes.

        Raises:
            ReadError: they cannot be read, also after retries, or the file is shorter.
        """
        if address.is_local:
            return _read_local(address, offset, length)
        return self._retried(lambda: self._fetch(address, offset, length)) if length else b""

    def content(self, address: Address) -> bytes:
        """Read a whole file into memory.

        Raises:
            ReadError: as `read`.
        """
        if address.is_local:
            return _read_local(address, 0, self.size(address))
        return self._retried(lambda: _whole(address))

    def chunks(self, address: Address, size: int) -> Iterator[bytes]:
        """Read a whole file piece by piece.

        Args:
            address: the file.
            size: its size in bytes.

        Raises:
            ReadError: as `read`.
        """
        offset = 0
        while offset < size:
            if self.ignores_ranges(address):  # one answer holds everything
                data = self._retried(lambda: _whole(address))
                if len(data) != size:
                    raise ReadError(f"{len(data):,} bytes came, not {size:,}")
                yield data[offset:]
                return
            data = self.read(address, offset, min(CHUNK, size - offset))
            yield data
            offset += len(data)

    def size(self, address: Address) -> int:
        """The size of a file in bytes.

        Raises:
            ReadError: the file does not exist, or its server does not tell the size.
        """
        if address.is_local:
            try:
                return address.path.stat().st_size
            except OSError as error:
                raise _error(error) from None
        return self._retried(lambda: _remote_size(address))

    def listing(self, folder: Address) -> dict[str, str]:
        """The files in a folder of a store: their names, and their sizes in bytes as far as known.

        Raises:
            ReadError: the store does not list the folder.
        """
        system, path = self._retried(lambda: file_system(folder))
        entries = self._retried(lambda: system.ls(path, detail=True))
        sizes: dict[str, str] = {}
        for entry in entries:
            name = str(entry["name"]).partition("?")[0].rstrip("/").rpartition("/")[2]
            sizes[name] = str(entry.get("size") or "")
        return sizes

    def ignores_ranges(self, address: Address) -> bool:
        """Whether the server of a file has answered a range with the whole file."""
        return str(address.parent) in self._ignore_ranges

    def _fetch(self, address: Address, offset: int, length: int) -> bytes:
        system, path = file_system(address)
        data = system.cat_file(path, start=offset, end=offset + length)
        if len(data) > length:  # `Range` was ignored, and this is the file from its beginning
            self._ignore_ranges.add(str(address.parent))
            data = data[offset : offset + length]
        if len(data) != length:
            raise ReadError(f"only {len(data):,} of {length:,} bytes came", is_short=True)
        return data

    def _retried(self, request: Callable[[], T]) -> T:
        """The answer of a request that is repeated while it fails.

        Raises:
            ReadError: it failed each time, or for a reason that stays.
        """
        wait = self.retries.first_wait
        for attempt in range(1, self.retries.attempts + 1):
            try:
                return request()
            # Each file system has errors of its own, many of them without a base but this one.
            except Exception as error:
                last = attempt == self.retries.attempts
                if last or not _may_pass(error):
                    tries = f", {attempt} times" if attempt > 1 else ""
                    raise _error(error, tries) from None  # the error's text may hold secrets
            self.retries.sleep(wait)
            wait *= 2
        raise AssertionError("the last attempt returns or raises")


class FileSystem(Protocol):
    """What semiseg uses of the file systems of fsspec, which has no annotations."""

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """The content of a file, or a range of it."""

    def info(self, path: str) -> Mapping[str, object]:
        """Name, size and type of a file."""

    def ls(self, path: str, detail: bool = True) -> Sequence[Mapping[str, object]]:
        """The `info` of each file in a folder."""

    def find(self, path: str) -> Sequence[str]:
        """The files below a folder."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""

    def pipe_file(self, path: str, value: bytes) -> None:
        """Write a file in one request."""

    def unstrip_protocol(self, name: str) -> str:
        """A path with its protocol."""


def file_system(address: Address) -> tuple[FileSystem, str]:
    """The file system of fsspec for an address, and the path in it.

    Raises:
        ReadError: a package is missing.
    """
    options: dict[str, object] = {}
    if address.protocol in ("http", "https"):
        import aiohttp  # takes long to import, and is for this protocol alone

        # By default a request may take five minutes in all, too few for a shard on a slow line.
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_SOCKET_SECONDS, sock_read=_SOCKET_SECONDS
        )
        options["client_kwargs"] = {"timeout": timeout}
    try:
        system, path = fsspec.core.url_to_fs(address.text, **options)
    except ImportError:
        extra = _EXTRAS.get(address.protocol)
        remedy = f": pip install 'semiseg[{extra}]'" if extra else ""
        raise ReadError(f"a package for {address.protocol}:// is missing{remedy}") from None
    return system, path


def _whole(address: Address) -> bytes:
    system, path = file_system(address)
    return system.cat_file(path)


def _remote_size(address: Address) -> int:
    system, path = file_system(address)
    try:
        size = system.info(path)["size"]
    except FileNotFoundError as error:
        # Over HTTP, fsspec says so of every failure. A redirected or refused request is another.
        if isinstance(error.__cause__, Exception) and address.protocol in ("http", "https"):
            raise error.__cause__ from None
        raise
    if not isinstance(size, int):
        raise ReadError("the server does not tell the size")
    return size


def _read_local(address: Address, offset: int, length: int) -> bytes:
    """Read from a disk. Opening a file takes microseconds, and leaves nothing open for a fork."""
    try:
        with io.FileIO(address.local) as file:
            file.seek(offset)
            data = _read_fully(file, length)
    except OSError as error:
        raise _error(error) from None
    if len(data) != length:
        raise ReadError(f"it ends {length - len(data):,} bytes too early", is_short=True)
    return data


def _read_fully(file: io.FileIO, length: int) -> bytes:
    """Read that many bytes, or up to the end: one call of the system may give less."""
    data = file.read(length) or b""
    while len(data) < length and (more := file.read(length - len(data))):
        data += more
    return data


def _may_pass(error: Exception) -> bool:
    """Whether another request may succeed."""
    if lacks_keys(error):
        return False
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status in _RETRIED_STATUS
    return not isinstance(error, _PERMANENT) and "pip install" not in str(error)


def lacks_keys(error: Exception) -> bool:
    """Whether a store was asked without keys; the packages of the stores need not be there."""
    return type(error).__name__ in _KEY_ERRORS


def _error(error: Exception, tries: str = "") -> ReadError:
    is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
    is_behind_end = getattr(error, "status", None) == _RANGE_BEHIND_END
    is_short = is_behind_end or (isinstance(error, ReadError) and error.is_short)
    return ReadError(_reason(error) + tries, is_missing=is_missing, is_short=is_short)


def _reason(error: Exception) -> str:
    """An error in a few words, without a secret."""
    if lacks_keys(error):
        return NO_KEYS
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return f"the server answered {status}"
    if type(error).__name__ == "ClientPayloadError":  # of aiohttp, which few pools need
        return "the answer of the server was cut short"
    text = ""
    with contextlib.suppress(IndexError):
        text = without_secrets(str(error)).splitlines()[0]
    if isinstance(error, ReadError):
        return text
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
