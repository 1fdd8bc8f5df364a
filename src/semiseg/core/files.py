"""Files: text, YAML and JSON from strangers, atomic writes, hashes, and the cache folder."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import stat
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import platformdirs
import yaml

MAX_YAML_VALUES = 1_000_000
"""The values that a YAML file may hold once its aliases are written out."""

HUB_PREFIX = "hf-hub:"
"""What stands before `OWNER/NAME` in the name of something on the Hugging Face hub."""

_MAX_STEM = 230  # bytes of a name before `.part` and the letters that `mkstemp` adds
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def is_on_hub(path: Path) -> bool:
    """Whether the path is none, but names a model on the Hugging Face hub.

    Example:
        >>> is_on_hub(Path("hf-hub:OWNER/NAME")), is_on_hub(Path("runs/css"))
        (True, False)
    """
    return path.as_posix().startswith(HUB_PREFIX)


def is_folder(path: Path) -> bool:
    """Whether the path is a folder that this process may look up."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether the path is a regular file; False for a text that cannot be a file name."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name is too long, or holds a zero byte
        return False


def relative_folder(folder: Path, root: Path) -> Path:
    """How a folder that a person names is written down: below `root` as a path relative to it.

    Args:
        folder: absolute, relative to `root`, or, where `root` has no such folder, relative to the
            working folder.
        root: the folder that relative paths start from.

    Returns:
        The path relative to `root`; an absolute one for a folder elsewhere. A folder that does not
        exist stays as it is written.
    """
    if not folder.is_absolute():
        below = Path(os.path.normpath(root / folder))
        if not is_folder(below) and is_folder(folder):
            below = Path(os.path.normpath(folder.absolute()))
        elif not is_folder(below):
            return folder
        folder = below
    absolute, base = (Path(os.path.normpath(path.absolute())) for path in (folder, root))
    return absolute.relative_to(base) if absolute.is_relative_to(base) else absolute


def resolved(files: Iterable[Path]) -> Iterator[Path]:
    """Files as absolute paths without links, as `Path.resolve` gives them one by one.

    Each folder is looked up once, so that a million files take seconds.
    """
    folders: dict[Path, Path] = {}
    for file in files:
        if file.is_symlink() or file.name == "..":
            yield file.resolve()
            continue
        if file.parent not in folders:
            folders[file.parent] = file.parent.resolve()
        yield folders[file.parent] / file.name


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 with a byte order mark, as Windows' shell writes it.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
        ValueError: the content is in another encoding.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")  # opening a pipe would wait for its writer
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        place = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {place} is not in UTF-8: save the file in UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_yaml(path: Path) -> object:
    """Read plain values from YAML; tags that create other objects are refused.

    Raises:
        OSError: as `read_text`.
        ValueError: the content is not YAML, or its aliases would fill the memory once they are
            written out.
    """
    text = read_text(path)
    try:
        content: object = yaml.safe_load(text)
        count = _count_values(content, {})
    except ValueError:
        raise
    except Exception as error:  # besides YAMLError, those of int, float, bool and date
        reason = " ".join(str(error).split()).replace('in "<unicode string>", line', "in line")
        raise ValueError(reason or type(error).__name__) from error
    if count > MAX_YAML_VALUES:
        raise ValueError(f"its aliases stand for more than {MAX_YAML_VALUES} values")
    return content


def read_json(path: Path) -> object:
    """Read plain values from JSON.

    Raises:
        OSError: as `read_text`.
        ValueError: the content is not JSON.
    """
    try:
        content: object = json.loads(read_text(path))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return content


def _count_values(value: object, counts: dict[int, float]) -> float:
    """Count the values with aliases written out; infinite where a list holds itself."""
    if not isinstance(value, (list, dict, set)):
        return 1
    if id(value) not in counts:
        counts[id(value)] = float("inf")
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        counts[id(value)] = 1 + sum(_count_values(part, counts) for part in parts)
    return counts[id(value)]


@contextmanager
def atomic_write(
    path: Path, *, sync: bool = True, shared: bool = False, private: bool = True
) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name as a whole or not at all.

    The content goes to `NAME.part` in the same folder, is synced to the disk and renamed. So a
    killed process or a power failure leaves either the old file or the new one.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_write(folder / "note.txt") as file:
        ...     _ = file.write(b"done")
        >>> [entry.name for entry in folder.iterdir()]
        ['note.txt']

    Args:
        path: the file; an existing one is replaced.
        sync: wait until the content is on the disk. Without this, writing many small files is
            faster, and a power failure may leave an empty one.
        shared: several processes may write the file at once, as in a cache. Each of them then gets
            a temporary file of its own.
        private: only the owner may read a `shared` file. Other files get the usual rights.

    Raises:
        OSError: the file cannot be written; nothing is left behind.
    """
    if shared and private:
        stem = part_name(path.name).removesuffix("part")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=stem, suffix=".part")
        temporary, stream = Path(name), os.fdopen(handle, "wb")
    else:
        own = f".{uuid.uuid4().hex[:8]}" if shared else ""
        temporary = path.with_name(part_name(f"{path.name}{own}"))
        stream = temporary.open("xb" if shared else "wb")
    try:
        with stream:
            yield stream
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        _rename(temporary, path, shared and private)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def part_name(name: str) -> str:
    """The name of a file that is not complete; a long one is cut, since disks allow 255 bytes."""
    if len(os.fsencode(name)) > _MAX_STEM:
        name = short_hash(name)
    return f"{name}.part"


def _rename(temporary: Path, path: Path, cached: bool) -> None:
    """Rename a file, also over an existing one.

    Windows refuses to replace a file that another process has open. In a cache, that file holds the
    same as the new one, so it stays.
    """
    try:
        temporary.replace(path)
    except PermissionError:
        if not (cached and path.exists()):
            raise
        temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes to a file as a whole or not at all; see `atomic_write`.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write(content)


def write_text(path: Path, text: str, *, shared: bool = False) -> None:
    """Write a text in UTF-8 as a whole or not at all; see `atomic_write`.

    Args:
        path: the file.
        text: its content.
        shared: several processes may write the file at once; the last one wins.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_write(path, shared=shared, private=False) as file:
        file.write(text.encode())


def write_json(path: Path, content: object) -> None:
    """Write plain values as indented JSON, as a whole or not at all; see `atomic_write`.

    Raises:
        OSError: the file cannot be written.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def sync_file(path: Path) -> None:
    """Wait until the disk has the content of a file.

    Raises:
        OSError: the disk reports an error.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the renamings in a folder durable; systems that cannot open a folder need no such call.

    Raises:
        OSError: the disk reports an error.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content: 64 hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_sha256(text: str) -> str:
    """The SHA-256 of a text in UTF-8: 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def short_hash(*parts: str | bytes, size: int = 16) -> str:
    """A hash that names a cache entry: `2 * size` hex digits, the same on every machine.

    Args:
        parts: the texts or bytes, which are hashed one after another.
        size: the length in bytes, 64 at most.
    """
    state = hashlib.blake2b(digest_size=size)
    for part in parts:
        state.update(os.fsencode(part) if isinstance(part, str) else part)
    return state.hexdigest()


def cache_folder(outside: Path | None = None) -> Path | None:
    """The folder for what semiseg can compute again; it may not exist yet.

    The environment variable `SEMISEG_CACHE` names it. Without the variable it is the system's
    folder for caches, on Linux `~/.cache/semiseg`.

    Args:
        outside: a data folder that must not hold the cache.

    Returns:
        The folder; None where it would lie in `outside`, or where the user has no home.
    """
    try:
        variable = os.environ.get("SEMISEG_CACHE")
        folder = Path(variable) if variable else platformdirs.user_cache_path("semiseg", False)
        homeless = not variable and not folder.is_absolute()
        inside = outside is not None and folder.resolve().is_relative_to(outside.resolve())
    except (OSError, RuntimeError):  # a loop of links, or no home
        return None
    return None if homeless or inside else folder


def features_folder() -> Path | None:
    """The folder of cached features in the cache; None where there is no place for it."""
    cache = cache_folder()
    return None if cache is None else cache / "features"
