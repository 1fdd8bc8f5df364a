"""The names of members: those of WebDataset, those that may be shown, and those that are safe.

In a tar of WebDataset, the part of a file's name before its first dot is the key, and all files of
one key are one sample. So a key has no dot: in the names that semiseg packs, `%2E` stands for a dot
of a stem, and `%25` for a percent sign.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from semiseg.data.formats.image_formats import IMAGE_FORMATS, format_of


def encoded_key(stem: str) -> str:
    """A file's name without suffix as the key of a member.

    Example:
        >>> encoded_key("IMG.2020 50%")
        'IMG%2E2020 50%25'
    """
    return stem.replace("%", "%25").replace(".", "%2E")


def decoded_key(key: str) -> str:
    """The name that `encoded_key` was given.

    Example:
        >>> decoded_key(encoded_key("IMG.2020 50%"))
        'IMG.2020 50%'
    """
    return key.replace("%2E", ".").replace("%25", "%")


def is_safe(name: str) -> bool:
    """Whether a member's name, joined to a folder, stays in it, on every system.

    Example:
        >>> (
        ...     is_safe("./a/b.jpg"),
        ...     is_safe("a/../../b.jpg"),
        ...     is_safe("/etc/b.jpg"),
        ...     is_safe("C:b.jpg"),
        ... )
        (True, False, False, False)
    """
    controls = any(ord(c) < 32 or ord(c) == 127 for c in name)
    windows = PureWindowsPath(name)
    outside = bool(windows.drive or windows.root) or ".." in windows.parts
    return bool(name) and not controls and not outside and "\\" not in name


def clean(name: str) -> str:
    """A safe name without `./` at its beginning and without empty parts."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def split_suffix(name: str) -> tuple[str, str]:
    """A file's name before its suffix, and the suffix with its dot.

    Example:
        >>> split_suffix("a.b/c.d.jpg"), split_suffix("c.nii.gz")
        (('a.b/c.d', '.jpg'), ('c', '.nii.gz'))
    """
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.rpartition(".")
    if suffix.lower() == "gz" and "." in stem:
        stem, _, before = stem.rpartition(".")
        suffix = f"{before}.{suffix}"
    return (folder + slash + stem, dot + suffix) if dot and stem else (name, "")


def choose_images(names: Iterable[str]) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Choose the images among the members of one shard that others made.

    A sample has one image: where a key has `cat.jpg` and `cat.seg.png`, the one with a single
    suffix counts; of `cat.jpg` and `cat.png`, the format that is listed first in
    `IMAGE_FORMATS`. Of two members with the same name the last one counts, as for `tar -x`.

    Args:
        names: those of the regular files, in their order.

    Returns:
        The number of each chosen member by its name, in their order; and the names of images that
        are left out, by the reason.
    """
    left_out: dict[str, list[str]] = {}
    numbers: dict[str, int] = {}
    for number, name in enumerate(names):
        base = name.rpartition("/")[2]
        if base.startswith(".") or format_of_name(name) is None or "__MACOSX" in name.split("/"):
            continue
        if not is_safe(name):
            left_out.setdefault("a name that no file below a folder can have", []).append(name)
            continue
        if name in numbers:
            left_out.setdefault("the name of a later member", []).append(name)
            del numbers[name]
        numbers[name] = number
    best: dict[str, str] = {}
    for name in numbers:
        stem = clean(split_suffix(name)[0])
        other = best.get(stem)
        if other is None or _rank(name) < _rank(other):
            best[stem] = name
    chosen: dict[str, int] = {}
    for name, number in numbers.items():
        stem = clean(split_suffix(name)[0])
        folder, slash, base = stem.rpartition("/")
        key = folder + slash + base.partition(".")[0]
        if best[stem] != name or (key != stem and key in best):
            left_out.setdefault("another image with the same key", []).append(name)
        else:
            chosen[name] = number
    return chosen, left_out


def format_of_name(name: str) -> int | None:
    """The place of a name's image format in `IMAGE_FORMATS`; None if it is no image."""
    form = format_of(Path(name))
    return None if form is None else IMAGE_FORMATS.index(form)


def _rank(name: str) -> int:
    place = format_of_name(name)
    return len(IMAGE_FORMATS) if place is None else place
