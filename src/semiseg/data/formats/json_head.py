"""The keys of a JSON file, which tell its format; of a large file only the beginning is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from semiseg.core.files import read_text

_MAX_WHOLE = 1 << 22  # bytes; semiseg does not parse larger files to recognize them
_HEAD = 1 << 16  # bytes
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(\s*:)?|[{}\[\]]', re.DOTALL)


class JsonHead(NamedTuple):
    """The keys at the top of a JSON file.

    Attributes:
        is_list: whether the file holds a list; `keys` are then those of its first object.
        keys: the keys of the object, or those that the beginning of a large file shows.
        inner: for each key with objects below it, the keys of the first of them.
        is_whole: whether the whole file was read.
    """

    is_list: bool
    keys: frozenset[str]
    inner: Mapping[str, frozenset[str]]
    is_whole: bool


def read_head(file: Path) -> JsonHead | None:
    """The keys of a JSON file; None if the file is not JSON, or cannot be read."""
    try:
        if file.stat().st_size <= _MAX_WHOLE:
            text = read_text(file)
            try:
                return _of_content(json.loads(text))
            except (ValueError, RecursionError):  # cut off, or several objects one after another
                return _of_text(text[:_HEAD])
        with file.open("rb") as stream:
            return _of_text(stream.read(_HEAD).decode("utf-8-sig", "ignore"))
    except (OSError, ValueError):
        return None


def _of_content(content: object) -> JsonHead | None:
    is_list = isinstance(content, list)
    top = _first(content)
    if not top:
        return None
    inner = {key: frozenset(first) for key, value in top.items() if (first := _first(value))}
    return JsonHead(is_list, frozenset(top), inner, is_whole=True)


def _first(value: object) -> dict[str, object]:
    """The object itself, or the first object of a list."""
    if isinstance(value, list):
        value = next((entry for entry in value if isinstance(entry, dict)), None)
    return value if isinstance(value, dict) else {}


def _of_text(text: str) -> JsonHead | None:
    """The keys that the beginning of a file shows; objects of a list count as one."""
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return None
    keys: set[str] = set()
    inner: dict[str, set[str]] = {}
    path: list[str] = []  # the key of each open object
    brackets: list[str] = []
    key = ""
    for token in _TOKEN.finditer(text):
        symbol = token[0]
        if symbol in ("{", "["):
            brackets.append(symbol)
            if symbol == "{":
                path.append(key)
        elif symbol in ("}", "]"):
            if brackets and brackets.pop() == "{":
                path.pop()
            if not brackets:
                break
        elif token[1]:
            key = symbol[1 : symbol.rindex('"')]
            if len(path) == 1:
                keys.add(key)
            elif len(path) == 2:
                inner.setdefault(path[1], set()).add(key)
    names = {key: frozenset(values) for key, values in inner.items()}
    return JsonHead(start == "[", frozenset(keys), names, is_whole=False)
