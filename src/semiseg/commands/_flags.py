"""Settings as flags: each field becomes a parameter of cyclopts, with its help text and range."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Group, Parameter, Token

from semiseg.config.settings import (
    AUTO,
    Mismatch,
    PlaceName,
    convert,
    describe,
    flag,
    help_texts,
    hints,
    options,
    plain,
)
from semiseg.core.errors import SettingError

_NOT_GIVEN = {bool: False}
"""The default of a parameter by its type; None for other types.

cyclopts passes on only what was given, so the default itself does not matter. Its type does: where
a program has imported pydantic, cyclopts checks the default too.
"""


@dataclasses.dataclass(frozen=True)
class Section:
    """The fields of a class of settings, below one title of the help.

    Attributes:
        title: the title.
        settings: the class, or an object whose values are the defaults.
        shown: the fields that the help shows, or None for all. The others may be given, too.
        omitted: fields that the command does not have.
        method: in a comparison, the method whose settings these are. It is part of the flags.
    """

    title: str
    settings: object
    shown: Collection[str] | None = None
    omitted: Collection[str] = ()
    method: str = ""

    @property
    def kind(self) -> type:
        """The class of the settings."""
        return self.settings if isinstance(self.settings, type) else type(self.settings)

    def parameters(self, order: int) -> Iterable[inspect.Parameter]:
        """A parameter for each field.

        Args:
            order: the place of the section in the help.
        """
        group = Group(self.title, sort_key=order)
        texts, types = help_texts(self.kind), hints(self.kind)
        for field in dataclasses.fields(self.kind):
            if field.name in self.omitted:
                continue
            default = getattr(self.settings, field.name, dataclasses.MISSING)
            required = default is dataclasses.MISSING
            hint: Any = types[field.name]
            yield inspect.Parameter(
                identifier(field.name, self.method),
                inspect.Parameter.KEYWORD_ONLY
                if field.kw_only
                else inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if required else _NOT_GIVEN.get(hint),
                annotation=Annotated[
                    hint if required or hint in _NOT_GIVEN else hint | None,
                    Parameter(
                        name=names(field.name, self.method),
                        help=_sentence(texts[field.name], hint),
                        show_default=default_text(default),
                        show=self.shown is None or field.name in self.shown,
                        group=group,
                    ),
                    _reading(field.name, hint, default, is_positional=not field.kw_only),
                ],
            )


def identifier(field: str, method: str = "") -> str:
    """The name of a parameter: the field's, below that of the method in a comparison."""
    return f"{method.replace('-', '_')}__{field}" if method else field


def names(field: str, method: str = "") -> tuple[str, ...]:
    """The flags of a field, such as `--css.anchors`; `-n` beside `--n`."""
    name = flag(field)
    if method:
        name = f"--{method}.{name.removeprefix('--')}"
    return (name, name[1:]) if len(field) == 1 else (name,)


def signature(sections: Sequence[Section]) -> inspect.Signature:
    """The signature of a command; where sections share a name, the first of them counts."""
    parameters: dict[str, inspect.Parameter] = {}
    titles = list(dict.fromkeys(section.title for section in sections))
    for section in sections:
        for parameter in section.parameters(titles.index(section.title)):
            parameters.setdefault(parameter.name, parameter)
    return inspect.Signature(sorted(parameters.values(), key=lambda p: p.kind))


def _reading(field: str, hint: object, default: object, is_positional: bool = False) -> Parameter:
    """How cyclopts reads the words of a flag. Of a flag that is repeated, the last value counts.

    A list without a flag in front of it takes all words that are left.
    """
    if hint is bool:
        return Parameter(allow_repeating=True, negative=None if default is True else ())

    is_list = any(get_origin(option) is tuple for option in options(hint))

    def converter(_type: object, tokens: Sequence[Token]) -> object:
        token = tokens[-1]
        words = tuple(one.value for one in tokens)
        try:
            return convert(words if is_list and token.keyword is None else token.value, hint)
        except Mismatch as error:
            name = token.keyword or field.upper()
            raise SettingError(field, token.value, allowed=str(error), flag=name) from None

    return Parameter(
        converter=converter,
        n_tokens=-1 if is_list and is_positional else 1,
        allow_repeating=True,
        allow_leading_hyphen=is_list and not is_positional,  # -1000,1000
        negative=(),
        show_choices=False,
        metavar=metavar(hint),
    )


def metavar(hint: object) -> str:
    """What stands for the value in the help, such as `PATH`."""
    option = next(o for o in options(hint) if o is not type(None))
    if option == PlaceName:
        return "PATH"
    if get_origin(option) is Annotated:
        option = get_args(option)[0]
    if get_origin(option) is tuple:
        parts = get_args(option)
        if parts[-1] is Ellipsis:
            return f"{metavar(parts[0])},..."
        return ",".join(letter for _, letter in zip(parts, "ABCD", strict=False))
    metavars: dict[object, str] = {int: "N", float: "X", Path: "PATH"}
    return metavars.get(option, "NAME")


def _sentence(text: str, hint: object) -> str:
    """The help text of a field in one line, with the range of its values."""
    ranges = [
        describe(option)
        for option in options(hint)
        if get_origin(option) in (Annotated, Literal)
        and get_args(option) != (AUTO,)
        and option != PlaceName
    ]
    return " ".join((*text.split(), *(f"[{values}]" for values in ranges)))


def default_text(value: object) -> str | bool:
    """A default as the help shows it; False where there is nothing to show."""
    if value is dataclasses.MISSING or value is None or value is False or value == ():
        return False
    if value is True:
        return "on"
    values = plain(value)
    return ",".join(map(str, values)) if isinstance(values, list) else str(values)
