"""`dataset.yaml`: a file in which a person says what lies where in a data folder.

```yaml
images: photos              # or {train: photos/day1, val: photos/day2, test: ...}
masks: annotated            # likewise
unlabeled: pool             # or a list of folders
classes: classes.yaml       # or the classes themselves, as in classes.yaml; then also ignore:
group: "^(.*?)_"            # images in which this finds the same text stay in one split
value_range: [0, 4095]      # black and white in images of more than 8 bits; or two for each band
bands: [4, 3, 2]            # the bands of a TIFF that are read, by number or name; all without it
rgb: [3, 2, 1]              # which of many bands are red, green and blue
nodata: [-9999]             # values that mark pixels without data
axes: ZCYX                  # what the axes of a stack of pages are, where the file does not say it
exif: ignore                # masks show the stored pixels of turned photographs; or: apply
tile: 512                   # the side of the tiles of large rasters; 0 for none
class_attribute: crop       # of polygons: which attribute holds the classes
outside: ignore             # pixels that no polygon covers; or: background
dataset: folder             # or the name of a published data set in its official tree
```

Every key is optional; without it, semiseg finds out by itself. Paths are relative to the folder of
the file. `semiseg init` writes such a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import yaml

from semiseg.config.axes import check_axes
from semiseg.config.bands import check_bands, check_range, names_of, reading_of
from semiseg.config.settings import AUTO
from semiseg.core.errors import DataError, SettingError, nearest
from semiseg.core.files import read_text, read_yaml
from semiseg.core.reading import Reading
from semiseg.core.records import from_plain
from semiseg.core.types import NOTHING_SAID, Arrangement, NamedBands
from semiseg.data.classes.classes_file import DATASET_FILES
from semiseg.data.findings import Finding, error_of
from semiseg.data.tree import SPLITS, Tree

FILE = DATASET_FILES[0]
_OTHERS = {"path", "train", "val", "test", "nc", "names", "download"}  # the keys of Ultralytics
_PURE = {
    "images",
    "masks",
    "unlabeled",
    "classes",
    "group",
    "value_range",
    "bands",
    "rgb",
    "nodata",
    "axes",
    "exif",
    "tile",
    "class_attribute",
    "outside",
}
"""Keys that the file of Ultralytics does not have."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """The values of a `dataset.yaml`, by its keys."""

    images: str | Mapping[str, str] | None = None
    masks: str | Mapping[str, str] | None = None
    unlabeled: str | list[str] | None = None
    classes: str | list[object] | None = None
    ignore: object = None
    group: str | None = None
    value_range: list[float] | None = None
    bands: list[int | str] | None = None
    rgb: list[int | str] | None = None
    nodata: list[float] | float | None = None
    axes: str | None = None
    exif: Literal["apply", "ignore"] | None = None
    tile: int | None = None
    class_attribute: str | None = None
    outside: Literal["background", "ignore"] | None = None
    dataset: str | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetFile:
    """What a `dataset.yaml` says; without the file, nothing.

    Attributes:
        path: the file; None without one.
        content: its values.
        lines: the number of the line of each key.
        findings: the error that says why it cannot be read, or a note on a file of another program.
    """

    path: Path | None = None
    content: Content = field(default_factory=Content)
    lines: Mapping[str, int] = field(default_factory=dict)
    findings: Sequence[Finding] = ()

    @property
    def names_images(self) -> bool:
        """Whether the file says where the images or their masks lie."""
        return self.content.images is not None or self.content.masks is not None

    @property
    def classes_files(self) -> list[Path]:
        """The file that names the classes: this one, or the one that it names; none without."""
        classes = self.content.classes
        if self.path is None or classes is None:
            return []
        return [self.path.parent / classes if isinstance(classes, str) else self.path]

    def complete(self, reading: Reading, flags: Arrangement = NOTHING_SAID) -> Reading:
        """How images are read: what flags leave open, as the file says.

        Args:
            reading: what flags say.
            flags: may name bands, so that those of the file do not count.
        """
        content = self.content
        marks = content.nodata
        values = None if marks is None else tuple(marks if isinstance(marks, list) else [marks])
        bands = None if flags.bands or content.bands is None else tuple(content.bands)
        rgb = None if flags.rgb else self._colors(flags.bands or reading.bands)
        span = tuple(content.value_range or ()) or AUTO
        own = reading_of(span, bands, rgb, AUTO, content.axes)
        has_range = reading.value_range is not None or reading.ranges is not None
        return replace(
            reading,
            value_range=reading.value_range if has_range else own.value_range,
            bands=own.bands if reading.bands is None else reading.bands,
            nodata=values if reading.nodata is None else reading.nodata,
            ranges=reading.ranges if has_range else own.ranges,
            rgb=own.rgb if reading.rgb is None else reading.rgb,
            axes=own.axes if reading.axes is None else reading.axes,
        )

    def named(self, flags: Arrangement, reading: Reading) -> NamedBands:
        """The bands that flags or the file name, as far as their numbers are not known.

        Args:
            flags: what flags name.
            reading: how images are read, see `complete`.
        """
        own = self.content.bands
        bands = names_of(None if own is None or reading.bands is not None else tuple(own))
        rgb = self._colors(flags.bands or reading.bands) if reading.rgb is None else None
        return NamedBands(flags.bands or bands, flags.rgb or names_of(rgb))

    def _colors(self, bands: Sequence[int | str] | None) -> tuple[int | str, ...] | None:
        """The colors that the file names, unless flags read other bands."""
        rgb = self.content.rgb
        is_open = bands is None or list(bands) == self.content.bands
        return None if rgb is None or not (is_open or set(rgb) <= set(bands or ())) else tuple(rgb)

    def where(self, key: str) -> str:
        """The place of a key, for messages, such as `DATA/dataset.yaml, line 3`."""
        line = self.lines.get(key)
        return f"{self.path}, line {line}" if line else str(self.path)

    def error(self, key: str, message: str, remedy: str = "") -> DataError:
        """The error on the value of a key."""
        return DataError(f"{self.where(key)}: `{key}`: {message}.", remedy)

    def merged(self, flags: Arrangement) -> list[str]:
        """The keys whose values do not count, since flags say something else."""
        return [
            name
            for name, value in flags._asdict().items()
            if value is not None
            and (own := getattr(self.content, name, None)) is not None
            and str(value) != str(own)
        ]


def read_dataset_file(tree: Tree) -> DatasetFile:
    """Read the `dataset.yaml` of a data folder; an error in it becomes a finding."""
    paths = [tree.root / name for name in DATASET_FILES]
    path = next((path for path in paths if tree.is_file(path)), None)
    if path is None:
        return DatasetFile()
    try:
        return _read(path)
    except DataError as error:
        return DatasetFile(path=path, findings=[error_of(error)])


def _read(path: Path) -> DatasetFile:
    try:
        content = read_yaml(path)
        lines = _lines(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as YAML ({error}).", "Correct it, or remove it."
        ) from error
    if content is None:
        return DatasetFile(path=path)  # comments only
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no keys.", "Write one on each line, such as images: photos.")
    keys = {str(key) for key in content}
    if keys & _OTHERS and not keys & _PURE:
        return DatasetFile()  # the file that Ultralytics' programs read
    names = [f.name for f in fields(Content)]
    for key in content:
        if key not in names:
            raise DataError(
                f"{path}, line {lines.get(str(key), 1)}: unknown key '{key}'.",
                nearest(str(key), names),
            )
    file = DatasetFile(path=path, lines=lines)
    values = {key: value for key, value in content.items() if value is not None}
    for key, value in values.items():
        try:
            from_plain(Content, {key: value})
        except ValueError as error:
            raise file.error(key, f"{value!r} cannot be used", _EXPECTED[key]) from error
    file = DatasetFile(path=path, lines=lines, content=from_plain(Content, values))
    _check(file)
    return file


_FOLDERS = "Write a folder, or one for each split: {train: photos/a, val: photos/b}."
_EXPECTED = {
    "images": _FOLDERS,
    "masks": _FOLDERS,
    "unlabeled": "Write a folder, or a list of folders: [pool, more].",
    "classes": "Write a file, or a list of the classes as in classes.yaml.",
    "group": 'Write a regular expression in quotation marks, such as "^(.*?)_".',
    "value_range": "Write two numbers, the smaller one first: [0, 4095]. For several bands, two "
    "numbers for each band may follow one another.",
    "bands": "Write numbers, counted from 1, or names of bands: [4, 3, 2] or [red, nir].",
    "rgb": "Write three numbers, counted from 1, or names of bands: [3, 2, 1].",
    "nodata": "Write a number, or a list of numbers: [-9999].",
    "axes": "Write the letters of the axes in the order of the file, such as CYX or XYZC.",
    "exif": "Write apply or ignore.",
    "tile": "Write a number of pixels such as 512, or 0 to read each raster as one image.",
    "class_attribute": "Write the name of an attribute.",
    "outside": "Write background or ignore.",
    "dataset": "Write the name of a published data set, or folder.",
}
"""What each key may hold."""


def _check(file: DatasetFile) -> None:
    """Check what the types do not express.

    Raises:
        DataError: a value cannot be used.
    """
    content = file.content
    for key in ("images", "masks"):
        value = getattr(content, key)
        if isinstance(value, Mapping):
            unknown = next((split for split in value if split not in SPLITS), None)
            if unknown is not None:
                raise file.error(key, f"there is no split '{unknown}'", nearest(unknown, SPLITS))
            if key == "images" and "train" not in value:
                raise file.error(key, "there is no folder for train", _FOLDERS)
    for path in file.classes_files:
        if not path.is_file():
            raise file.error("classes", f"there is no file {path}", "Correct the path.")
    bands, rgb = (None if v is None else tuple(v) for v in (content.bands, content.rgb))
    try:
        check_axes(content.axes)
        check_bands(bands, rgb)
        check_range(AUTO if content.value_range is None else tuple(content.value_range), bands)
    except SettingError as error:
        key = error.setting
        message = f"{getattr(content, key)} cannot be used"
        raise file.error(key, message, _EXPECTED[key]) from error
    if content.tile is not None and content.tile < 0:
        raise file.error("tile", f"{content.tile} cannot be used", _EXPECTED["tile"])
    if content.ignore is not None and not isinstance(content.classes, list):
        raise file.error("ignore", "it belongs to a list of classes", "Move it into classes.yaml.")
    if content.group is not None:
        try:
            re.compile(content.group)
        except re.error as error:
            raise file.error("group", f"{error}", _EXPECTED["group"]) from error


def _lines(text: str) -> dict[str, int]:
    """The number of the line of each key at the top of a YAML file."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return {str(key.value): key.start_mark.line + 1 for key, _ in pairs}
