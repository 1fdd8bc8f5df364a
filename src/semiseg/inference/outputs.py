"""Where the results of a prediction go: a folder of this machine, or one of an object store.

A finished file gets its place at once: by a rename in a folder of this machine, by a single PUT in
an object store.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

from filelock import Timeout

from semiseg.core.addresses import without_secrets
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.files import is_file
from semiseg.core.locks import acquire_lock
from semiseg.data.pools.address import Address
from semiseg.data.pools.ranges import NO_KEYS, FileSystem, ReadError, file_system, lacks_keys

_HIDDEN, _LOCK = ".semiseg", "lock"  # below the folder of the results


class Output(Protocol):
    """Where results go. It can be pickled; `str(output)` names it for people."""

    def exists(self, file: str) -> bool:
        """Whether there is a result of that path below the output."""

    def scratch(self) -> str | None:
        """The folder that holds folders for unfinished results; None for that of the system.

        Raises:
            RunError: this machine does not see the output.
        """

    def prepared(self) -> AbstractContextManager[None]:
        """Make the output ready for `predict_into` while the block runs.

        Raises:
            RunError: another process writes into it, or it cannot be written.
        """

    def deliver(self, content: Path, file: str) -> None:
        """Give a finished file its place; what lies there is replaced.

        Raises:
            RunError: it cannot be written.
        """


class FolderOutput(NamedTuple):
    """A folder of this machine.

    Attributes:
        folder: the folder.
    """

    folder: Path

    def exists(self, file: str) -> bool:
        """See `Output`."""
        return is_file(self.folder / file)

    def scratch(self) -> str | None:
        """A hidden folder on the same disk, since only there a rename is one step."""
        if not (self.folder / _HIDDEN / _LOCK).exists():
            raise RunError(
                f"A machine of the cluster does not see {self.folder}. Name a folder that all "
                "machines share, or an address such as --out s3://bucket/masks."
            )
        return str(self.folder / _HIDDEN)

    def deliver(self, content: Path, file: str) -> None:
        """See `Output`."""
        target = self.folder / file
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            content.replace(target)
        except OSError as error:
            raise RunError(f"{target} cannot be written ({error}). Choose another --out.") from None

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Keep other engines out of the folder, and remove what a killed one left behind.

        Raises:
            RunError: another one works there, or the folder cannot be written.
        """
        hidden = self.folder / _HIDDEN
        try:
            hidden.mkdir(parents=True, exist_ok=True)
            (hidden / _LOCK).touch()  # shows the folder to the machines of a cluster
            lock = acquire_lock(hidden / _LOCK)
        except Timeout:
            raise RunError(
                f"Another process predicts into {self.folder}. Wait until it ends, or choose "
                "another --out."
            ) from None
        except OSError as error:
            raise RunError(
                f"{self.folder} cannot be written ({error}). Choose another --out."
            ) from None
        try:
            for entry in hidden.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
            yield
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
            if lock is not None:
                lock.release()

    def __str__(self) -> str:
        return str(self.folder)


class StoreOutput(NamedTuple):
    """A folder of an object store, or of another file system that fsspec knows.

    Attributes:
        address: the folder.
    """

    address: Address

    def exists(self, file: str) -> bool:
        """See `Output`."""
        system, path = _open(self.address / file)
        try:
            return bool(system.exists(path))
        except Exception as error:  # each file system has errors of its own
            raise _cannot("read", self.address / file, error) from None

    def prepared(self) -> AbstractContextManager[None]:
        """A store needs nothing, and two processes at once only do the same work twice."""
        return nullcontext()

    def scratch(self) -> str | None:
        """The system's folder for temporary files."""
        return None

    def deliver(self, content: Path, file: str) -> None:
        """One request writes the file, which has its name only when all of it has arrived."""
        system, path = _open(self.address / file)
        try:
            system.pipe_file(path, content.read_bytes())
        except Exception as error:  # each file system has errors of its own
            raise _cannot("written", self.address / file, error) from None
        content.unlink()

    def __str__(self) -> str:
        return str(self.address)


def output_of(text: str) -> Output:
    """The output that a person names: a folder, or the address of one.

    Raises:
        ConfigError: nothing can be written to such an address.
    """
    address = Address(text)
    if address.is_local:
        return FolderOutput(address.path)
    if address.protocol in ("http", "https", "memory"):
        reason = {"memory": "ends with this process"}.get(address.protocol, "takes no files")
        raise ConfigError(
            f"--out {address} cannot be written: what begins with {address.protocol}:// {reason}. "
            "Use a folder, or an address such as s3://bucket/masks."
        )
    _open(address)
    return StoreOutput(address)


def _open(address: Address) -> tuple[FileSystem, str]:
    """The file system of an address, and the path in it.

    Raises:
        ConfigError: there is none.
    """
    try:
        return file_system(address)
    except (ReadError, ValueError) as error:
        raise ConfigError(f"{address} cannot be written: {without_secrets(str(error))}.") from None


def _cannot(verb: str, address: Address, error: Exception) -> RunError:
    if lacks_keys(error):
        return RunError(f"{address} cannot be written ({NO_KEYS}).")
    reason = without_secrets(str(error)).partition("\n")[0] or type(error).__name__
    return RunError(
        f"{address} cannot be {verb} ({reason}). Run the command again: finished masks are kept."
    )
