"""What all settings share: types, ranges, conversion of plain values, and one kind of error.

A group of settings is a frozen dataclass that derives from `Settings`. The type of a field says
which values are allowed; the string below a field is its help text. The same object serves Python,
the command line, YAML files, the recipes and the record in the run folder, so this module must not
import torch.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import math
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Annotated,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from semiseg.core.addresses import is_url
from semiseg.core.errors import SettingError, closest

Value: TypeAlias = "str | int | float | bool | list[Value] | None"
"""A setting as YAML and JSON hold it."""

Auto: TypeAlias = Literal["auto"]
"""The type of a setting that the plan may decide."""

AUTO: Auto = "auto"
"""Decide for me."""


T = TypeVar("T")


def unless_auto(value: T | Auto, default: T) -> T:
    """The value of a setting, or another one where the setting is `auto`."""
    return default if value == AUTO else value


def decided(value: T | Auto) -> T:
    """The value of a setting that the plan has decided.

    Raises:
        ValueError: it is still `auto`.
    """
    if value == AUTO:
        raise ValueError("a setting is still 'auto'; make a plan first")
    return value


@dataclass(frozen=True)
class Choices:
    """The allowed values of a text that names an entry of a registry."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Bounds:
    """The range of a number, with at least a lower end.

    Attributes:
        low: the smallest value.
        high: the largest value.
        low_open: the value must be larger than `low`.
        high_open: the value must be smaller than `high`.
    """

    low: float
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, number: float) -> bool:
        """Whether the number lies in the range; NaN does not."""
        above = number > self.low if self.low_open else number >= self.low
        below = number < self.high if self.high_open else number <= self.high
        return above and below

    def __str__(self) -> str:
        """The range in words, such as `from 0 to 1` or `above 0`."""
        if math.isinf(self.high):
            return f"above {self.low:g}" if self.low_open else f"of at least {self.low:g}"
        low = f"{'above' if self.low_open else 'from'} {self.low:g}"
        return f"{low} to {'below ' if self.high_open else ''}{self.high:g}"


@dataclass(frozen=True)
class AnyPlace:
    """The allowed texts of a setting that names a path or an address, such as `s3://bucket/pool`."""

    def __contains__(self, text: str) -> bool:
        """Whether there is a text."""
        return bool(text)

    def __str__(self) -> str:
        """The allowed texts in words."""
        return "a path or an address"


PositiveInt: TypeAlias = Annotated[int, Bounds(1)]
Count: TypeAlias = Annotated[int, Bounds(0)]
Share: TypeAlias = Annotated[float, Bounds(0, 1)]
NonNegative: TypeAlias = Annotated[float, Bounds(0)]
Positive: TypeAlias = Annotated[float, Bounds(0, low_open=True)]
PlaceName: TypeAlias = Annotated[str, AnyPlace()]
"""A path or an address. A path object would lose a slash of `s3://`."""

_NO_ADDRESS = (
    "a path on this machine, not an address: copy from or to a store with its own program, such as "
    "`aws s3 cp --recursive`"
)

FLAGS = {"value_range": "range", "file_format": "format"}
"""Settings whose flag has another name than the setting, since Python uses that name itself."""


def flag(setting: str) -> str:
    """The flag of a setting, such as `--encoder-lr` for `encoder_lr`."""
    return "--" + FLAGS.get(setting, setting).replace("_", "-")


class Mismatch(ValueError):
    """A value has another type than its setting, or lies outside its range."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A group of settings: a frozen dataclass whose values are checked when it is made.

    Raises:
        SettingError: a value has the wrong type or lies outside its range.
    """

    def __post_init__(self) -> None:
        """Convert plain values (lists, strings of paths) and refuse what is not allowed."""
        group: type = type(self)
        for name, hint in hints(group).items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, convert(value, hint))
            except Mismatch as error:
                raise SettingError(name, value, allowed=str(error), flag=flag(name)) from None
        self.check()

    def check(self) -> None:
        """Compare settings with one another; a group that needs it overrides this method."""

    def values(self) -> dict[str, Value]:
        """All settings as plain values, by name."""
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def changes(self, other: Settings) -> dict[str, Value]:
        """The settings that differ from those of another object of the same class."""
        values, others = self.values(), other.values()
        return {name: value for name, value in values.items() if value != others[name]}


@functools.cache
def hints(group: type) -> dict[str, object]:
    """The type of each field of a group, by name."""
    resolved = get_type_hints(group, include_extras=True)
    return {field.name: resolved[field.name] for field in dataclasses.fields(group)}


@functools.cache
def help_texts(group: type) -> Mapping[str, str]:
    """The help text of each field of a group: the string below it in the class.

    A text that lists the entries of a registry is in the metadata of its field, under `help`.
    """
    texts: dict[str, str] = {}
    for base in reversed(group.__mro__):
        texts |= _texts_below(base.__module__).get(base.__name__, {})
    texts |= {f.name: f.metadata["help"] for f in dataclasses.fields(group) if "help" in f.metadata}
    return {name: texts[name] for name in hints(group)}


@functools.cache
def _texts_below(module: str) -> dict[str, dict[str, str]]:
    """The strings below the fields of the classes of a module; its source is parsed only once."""
    if module == "builtins":
        return {}
    classes: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if not isinstance(node, ast.ClassDef):
            continue
        texts = classes.setdefault(node.name, {})
        for field, text in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                texts[field.target.id] = inspect.cleandoc(str(text.value.value))
    return classes


def plain(value: object) -> Value:
    """A setting as YAML and JSON hold it: tuples become lists, paths become strings."""
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{value!r} is no plain value")


def convert(value: object, hint: object) -> object:
    """A value of a file, of the command line or of Python as the type of its setting.

    Text is read as the command line has it: `0.5`, `0,4095`, `none`.

    Args:
        value: the value, such as `[0, 4095]` or `0,4095`.
        hint: the type, such as `tuple[float, float] | Literal["auto"]`.

    Raises:
        Mismatch: it cannot be; the message describes the allowed values.
    """
    # Names such as "auto" and "none" first: any text would do as a path.
    for option in sorted(options(hint), key=lambda option: not _is_named(option)):
        try:
            return _convert_to(value, option)
        except Mismatch:
            continue
    if isinstance(value, str) and is_url(value) and Path in options(hint):
        raise Mismatch(_NO_ADDRESS)
    allowed = describe(hint)
    choices = [str(c) for option in options(hint) for c in _choices(option)]
    close = closest(value, choices, likeness=0.6) if isinstance(value, str) else None
    raise Mismatch(allowed + ("" if close is None else f". Did you mean '{close}'?"))


def options(hint: object) -> tuple[object, ...]:
    """The alternatives of a union; a type that is no union is its only alternative."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(option for part in get_args(hint) for option in options(part))
    return (hint,)


def describe(hint: object) -> str:
    """The allowed values of a type in words."""
    words = [word for option in options(hint) if (word := _describe_one(option))]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


_COUNTS = {2: "two", 3: "three"}
_NOUNS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _describe_one(hint: object) -> str:
    if choices := _choices(hint):
        return (
            ", ".join(str(c) for c in choices[:-1]) + " or " * (len(choices) > 1) + str(choices[-1])
        )
    if get_origin(hint) is Annotated:
        kind, bounds = get_args(hint)[:2]
        return str(bounds) if isinstance(bounds, AnyPlace) else f"{_NOUNS[kind]} {bounds}"
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        if parts[-1] is Ellipsis:
            return f"a list of values, each {describe(parts[0])}"
        return f"{_COUNTS[len(parts)]} numbers with a comma between them, such as " + ",".join(
            str(10 * i) for i in range(1, len(parts) + 1)
        )
    if hint is type(None):
        return "none"
    return "a path" if hint is Path else _NOUNS.get(hint, str(hint))  # type: ignore[call-overload]


def _is_named(hint: object) -> bool:
    return hint is type(None) or bool(_choices(hint))


def _choices(hint: object) -> tuple[object, ...]:
    if get_origin(hint) is Annotated and isinstance(choices := get_args(hint)[1], Choices):
        return choices.names
    return get_args(hint) if get_origin(hint) is Literal else ()


def _convert_to(value: object, hint: object) -> object:
    """The value as one type that is no union.

    Raises:
        Mismatch: it cannot be.
    """
    if choices := _choices(hint):
        for choice in choices:
            if (value == choice and type(value) is type(choice)) or value == str(choice):
                return choice
        raise Mismatch
    if get_origin(hint) is Annotated:
        kind, bounds = get_args(hint)[:2]
        number = _convert_to(value, kind)
        if number in bounds:
            return number
        raise Mismatch
    if get_origin(hint) is tuple:
        return _convert_sequence(value, get_args(hint))
    if hint is type(None):
        if value is None or value == "none":
            return None
        raise Mismatch
    if hint is bool or isinstance(value, bool):
        if hint is bool and isinstance(value, bool):
            return value
        raise Mismatch
    if isinstance(value, str) and hint in (int, float):
        value = _number(value)
    if hint is int and (
        isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    ):
        return int(value)
    if hint is float and isinstance(value, (int, float)) and math.isfinite(value):
        return value
    if hint is str and isinstance(value, (str, int, float, Path)):
        return str(value)
    if hint is Path and isinstance(value, (str, Path)) and str(value) and not is_url(value):
        return Path(value)
    raise Mismatch


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise Mismatch from None


def _convert_sequence(value: object, parts: tuple[object, ...]) -> tuple[object, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.strip("[]()").split(",")]
    if isinstance(value, Path):  # the only one
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise Mismatch
    if parts[-1] is Ellipsis:
        return tuple(convert(item, parts[0]) for item in value)
    if len(value) != len(parts):
        raise Mismatch
    return tuple(_convert_to(item, part) for item, part in zip(value, parts, strict=True))
