"""300 folders as people have them: each is read as it was drawn, or the printed advice works."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_folders import VOID, Drawn, Photograph, draw_folder

import semiseg
from semiseg.commands.check import check
from semiseg.core.errors import SemisegError
from semiseg.data.dataset import Dataset
from semiseg.data.formats.masks import Classes, read_mask
from semiseg.data.reader import read_dataset

FOLDERS = 300
CHUNKS = 10
_COMMAND = re.compile(r"`semiseg check ([^`]+)`")


def compare(drawn: Drawn, data: Dataset) -> list[str]:
    """How what was read differs from what was drawn, compared by value."""
    differences = [finding.text for finding in data.errors()]
    if differences or data.class_list is None:
        return differences or ["no classes"]
    index: dict[int, int] = {}
    for split in ("train", "val", "test"):
        differences += _compare_split(split, drawn, data, data.class_list, index)
    if len(data.classes) != drawn.classes:
        differences.append(f"{len(data.classes)} classes instead of {drawn.classes}")
    if len(set(index.values())) < len(index):
        differences.append(f"two classes became one: {index}")
    if drawn.names and data.classes.names != drawn.names:
        differences.append(f"named {data.classes.names} instead of {drawn.names}")
    return differences


def _compare_split(
    split: str, drawn: Drawn, data: Dataset, classes: Classes, index: dict[int, int]
) -> list[str]:
    pictures: list[Photograph] = list(drawn.splits.get(split, ()))
    samples = list(data.train if split == "train" else data.samples[split])
    if split == "train":
        pictures += drawn.splits.get("unlabeled", [])
    want = {picture.path: picture.mask for picture in pictures}
    masks = {data.name(sample.image): sample.mask for sample in samples}
    differences = []
    if missing := sorted(want.keys() - masks.keys()):
        differences.append(f"{split} lacks {missing}")
    if extra := sorted(masks.keys() - want.keys()):
        differences.append(f"{split} has {extra} too")
    for name in sorted(want.keys() & masks.keys()):
        drawn_mask, file = want[name], masks[name]
        if (drawn_mask is None) != (file is None):
            differences.append(f"{split}: {name} has the mask {file}")
        elif drawn_mask is not None and file is not None:
            read = np.asarray(read_mask(file, classes))
            if read.shape != drawn_mask.shape:
                differences.append(f"{split}: the mask of {name} is {read.shape}")
                continue
            for value in np.unique(drawn_mask).tolist():
                indices = set(read[drawn_mask == value].tolist())
                if value == VOID:
                    expected = {VOID}
                else:
                    expected = {index.setdefault(value, min(indices))} - {VOID}
                if indices != expected:
                    differences.append(f"{split}: class {value} of {name} became {indices}")
    return differences


def advice(text: str, root: Path) -> list[list[str]]:
    """The commands that a message prints, as lists of arguments behind `semiseg check`."""
    return [shlex.split(command) for command in _COMMAND.findall(text)]


def follow(arguments: list[str]) -> Dataset:
    """Read a folder by the arguments of `semiseg check`, as the command line would."""
    keys = {"--images": "images", "--masks": "masks", "--unlabeled": "unlabeled"}
    settings: dict[str, Any] = {}
    folders = []
    words = iter(arguments)
    for word in words:
        if word in keys:
            settings[keys[word]] = next(words)
        else:
            folders.append(Path(word))
    (root,) = folders
    return read_dataset(root, **settings)


def read_as_drawn(root: Path, drawn: Drawn) -> list[str]:
    """The differences; empty if the folder, or one of the printed commands, reads it as drawn."""
    data = read_dataset(root)
    differences = compare(drawn, data)
    if not data.errors():
        return differences
    for arguments in advice(" ".join(error.text for error in data.errors()), root):
        try:
            again = compare(drawn, follow(arguments))
        except SemisegError as error:
            again = [str(error)]
        if not again:
            return []
        differences += [f"after {shlex.join(arguments)}: {text}" for text in again]
    return differences


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_folders_are_read_as_drawn_or_the_advice_works(chunk: int, tmp_path: Path) -> None:
    problems = []
    for seed in range(chunk, FOLDERS, CHUNKS):
        root = tmp_path / str(seed)
        drawn = draw_folder(root, seed)
        if differences := read_as_drawn(root, drawn):
            problems.append(f"{seed}: {drawn.scheme}\n    " + "\n    ".join(differences[:4]))
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [3, 12, *(pytest.param(n, marks=pytest.mark.variants) for n in (46, 118, 205, 271))]
)
def test_a_training_learns_the_drawn_classes(
    seed: int, tiny_settings: dict[str, object], tmp_path: Path
) -> None:
    drawn = draw_folder(tmp_path / "d", seed)
    settings = {**tiny_settings, "labels": "all", "method": "supervised", "validations": 1}
    run = semiseg.train(tmp_path / "d", out=tmp_path / "run", **settings)
    classes = semiseg.load(run.folder).classes
    data = read_dataset(tmp_path / "d")
    assert not compare(drawn, replace(data, class_list=classes))


def test_the_same_seed_draws_the_same_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw_folder(tmp_path / name, 7)
    files = [
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.*")}
        for name in ("a", "b")
    ]
    assert files[0] == files[1]


def test_a_wrong_mask_is_a_difference(tmp_path: Path) -> None:
    drawn = draw_folder(tmp_path / "d", 0)
    picture = next(p for p in drawn.splits["train"] if p.mask is not None)
    drawn.splits["train"].remove(picture)
    assert picture.mask is not None
    drawn.splits["train"].append(picture._replace(mask=np.roll(picture.mask, 3, axis=0)))
    assert read_as_drawn(tmp_path / "d", drawn)


def test_check_prints_the_same_errors(tmp_path: Path) -> None:
    draw_folder(tmp_path / "d", 1)
    report = check(tmp_path / "d")
    assert [f.text for f in report.of("error")] == [
        f.text for f in read_dataset(tmp_path / "d").errors()
    ]
