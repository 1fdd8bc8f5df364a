"""Text files of a stranger: lines, YAML and JSON. What is wrong is OSError or ValueError."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import yaml

_VALUES = 1_000_000  # in a YAML file, its aliases written out


def is_folder(path: Path) -> bool:
    """Whether there is a folder that may be looked into."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether there is such a file; False for what can be no name."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it is no UTF-8.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")  # to open a pipe is to wait for its writer
    return path.read_text(encoding="utf-8-sig")


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - whatever it holds
    """Plain values from YAML; tags that make other things are refused.

    Raises:
        OSError: as `read_text`.
        ValueError: it is no YAML, or its aliases would fill the memory once they are written out.
    """
    text = read_text(path)
    try:
        content = yaml.safe_load(text)
        size = _size(content, {})
    except ValueError:
        raise
    except Exception as error:  # beside YAMLError what int, float, bool and date raise
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if size > _VALUES:
        raise ValueError(f"its aliases stand for more than {_VALUES} values")
    return content


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever it holds
    """Plain values from JSON.

    Raises:
        OSError: as `read_text`.
        ValueError: it is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _size(value: object, known: dict[int, float]) -> float:
    """How many values there are with aliases written out; infinite where one holds itself."""
    if not isinstance(value, (list, dict, set)):
        return 1
    if id(value) not in known:
        known[id(value)] = float("inf")
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]
