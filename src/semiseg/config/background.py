"""Which class is the background."""

from __future__ import annotations

from collections.abc import Sequence

from semiseg.config.settings import AUTO
from semiseg.core.errors import ConfigError, nearest

_NAMES = ("background", "bg", "backgrd")


def find_background(names: Sequence[str]) -> int | None:
    """The index of the background, or None.

    It is the class with the name `background`, `bg` or `backgrd`, in upper or lower case and with
    underscores around it or not. Of two classes that are named by their ids, it is the lower one:
    masks of 0 and 255 are a foreground on a background.

    Args:
        names: the class names.

    Example:
        >>> find_background(["_background_", "nucleus"]), find_background(["0", "255"])
        (0, 0)
        >>> find_background(["road", "sky"])
    """
    index = next((i for i, name in enumerate(names) if name.strip("_").lower() in _NAMES), None)
    if index is None and len(names) == 2 and all(name.isdecimal() for name in names):
        return min((0, 1), key=lambda i: int(names[i]))
    return index


def foreground(names: Sequence[str], background: str | None = AUTO) -> list[int]:
    """The indices of the classes that are not the background; all of them where there is none.

    A background that is the only class counts as foreground.

    Args:
        names: the class names.
        background: the name of the background, None for none, or `auto` to find it.

    Raises:
        ConfigError: there is no class of that name.
    """
    if background is None:
        index = None
    elif background == AUTO:
        index = find_background(names)
    elif background in names:
        index = names.index(background)
    else:
        raise ConfigError(
            f"There is no class '{background}' to be the background. {nearest(background, names)}"
        )
    others = [i for i in range(len(names)) if i != index]
    return others or list(range(len(names)))
