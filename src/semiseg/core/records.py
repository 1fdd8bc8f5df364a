"""Records from the plain values of a JSON or YAML file, checked field by field."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import TypeVar

T = TypeVar("T")


def from_plain(kind: type[T], content: object, name: str = "") -> T:
    """Build a record from plain values, as `dataclasses.asdict` writes them.

    Its values may be numbers, strings, `Literal`s, dataclasses, TypedDicts, lists and tuples of one
    type, mappings from strings, and unions of these; `object` stands for any value. Unknown keys of
    a dataclass are ignored.

    Args:
        kind: the type of the record.
        content: the plain values.
        name: the name of the value in the file, for messages; empty for the whole file.

    Raises:
        ValueError: a value is missing or has another type; the message names it.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Size:
        ...     width: int
        ...     height: int | None
        >>> from_plain(Size, {"width": 3, "height": None})
        Size(width=3, height=None)
        >>> from_plain(Size, {"width": "3", "height": None})
        Traceback (most recent call last):
            ...
        ValueError: `width` is '3', not an integer
    """
    return typing.cast(T, _convert(kind, content, name))


def _convert(kind: object, content: object, name: str) -> object:
    """A value of the type `kind`; see `from_plain`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, content, name)
    if origin is typing.Literal:
        if content in arguments:
            return content
        raise _refuse(name, content, "one of " + ", ".join(map(repr, arguments)))
    if origin in (list, tuple) and isinstance(content, (list, tuple)):
        return origin(
            _convert(arguments[0], part, f"{name}[{i}]") for i, part in enumerate(content)
        )
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(content, Mapping):
        return {
            str(key): _convert(arguments[1], part, _join(name, key))
            for key, part in content.items()
        }
    if isinstance(kind, type) and is_dataclass(kind):
        return _convert_record(kind, content, name)
    if typing.is_typeddict(kind) and isinstance(content, Mapping):
        return _convert_typed_dict(typing.cast(type, kind), content, name)
    if kind is float and isinstance(content, (int, float)) and not isinstance(content, bool):
        return content
    if kind is object or (kind in (int, str, bool, types.NoneType) and type(content) is kind):
        return content
    raise _refuse(name, content, _describe(kind))


def _convert_union(kinds: tuple[object, ...], content: object, name: str) -> object:
    """The first type of a union that fits; the message of the last one that does not."""
    if content is None and types.NoneType in kinds:
        return None
    *others, last = (kind for kind in kinds if kind is not types.NoneType)
    for kind in others:
        try:
            return _convert(kind, content, name)
        except ValueError:
            continue
    return _convert(last, content, name)


def _convert_record(kind: type, content: object, name: str) -> object:
    if not isinstance(content, Mapping):
        raise _refuse(name, content, "a mapping")
    hints = _hints(kind)
    values = {}
    for field in fields(kind):
        if field.name in content:
            inner = _join(name, field.name)
            values[field.name] = _convert(hints[field.name], content[field.name], inner)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"`{_join(name, field.name)}` is missing")
    return kind(**values)


def _convert_typed_dict(kind: type, content: Mapping[str, object], name: str) -> object:
    hints = _hints(kind)
    if missing := kind.__required_keys__ - content.keys():  # type: ignore[attr-defined]
        raise ValueError(f"`{_join(name, min(missing))}` is missing")
    return {
        key: _convert(hint, content[key], _join(name, key))
        for key, hint in hints.items()
        if key in content
    }


@cache
def _hints(kind: type) -> dict[str, object]:
    return typing.get_type_hints(kind)


def _join(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)


def _describe(kind: object) -> str:
    names = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    if isinstance(kind, type) and kind in names:
        return names[kind]
    return "a list" if typing.get_origin(kind) in (list, tuple) else "a mapping"


def _refuse(name: str, content: object, expected: str) -> ValueError:
    subject = f"`{name}`" if name else "the content"
    return ValueError(f"{subject} is {content!r}, not {expected}")
