"""Folders of corrected masks, which a training adds to its data."""

import json
import shutil
from pathlib import Path

import pytest

import semiseg
from semiseg.config.train import TrainConfig
from semiseg.core.errors import DataError
from semiseg.core.types import NOTHING_SAID
from semiseg.data.reader import load_dataset, read_samples
from semiseg.data.splits import make_split
from semiseg.training.run_data import samples_of


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """Four images with masks, of which a person accepted two and skipped one."""
    out = tmp_path / "next"
    shutil.copytree(tiny_folder / "train", out / "train")
    states = {"0000": "accepted", "0001": "skipped", "0003": "accepted"}
    (out / "correct.json").write_text(json.dumps({"format": 1, "states": states}))
    (out / "suggested.csv").touch()  # as suggest marks its folders
    return out


def flags_of(*folders):
    return NOTHING_SAID._replace(corrected=folders)


def test_only_accepted_masks_join_the_others(tiny_folder, folder):
    data = load_dataset(tiny_folder, flags=flags_of(folder))
    assert [s.name for s in data.train if s.mask][-2:] == ["next/0000", "next/0003"]
    assert len([s for s in data.train if s.mask]) == 4 + 2
    assert data.val == load_dataset(tiny_folder).val
    listed = read_samples(tiny_folder, "train", flags=flags_of(folder))
    assert [s.name for s in listed] == [s.name for s in data.samples["train"]]
    assert any("2 masks are not accepted" in finding.text for finding in data.findings)
    (folder / "correct.json").unlink()  # another program was used
    assert len([s for s in load_dataset(tiny_folder, flags=flags_of(folder)).train if s.mask]) == 8


def test_an_image_that_was_copied_and_corrected_counts_once(tiny_folder, folder):
    copied = sorted((tiny_folder / "unlabeled").iterdir())[0]
    shutil.copy(copied, folder / "train" / "images" / "0000.jpg")
    (folder / "suggested.txt").write_text(f"{copied}\n")
    data = load_dataset(tiny_folder, flags=flags_of(folder))
    assert "next/0000" in {sample.name for sample in data.train if sample.mask}
    assert copied not in {s.image for s in data.samples["unlabeled"]}
    assert len(data.samples["unlabeled"]) == 3
    assert "not-read" not in {finding.kind for finding in data.findings}


def test_two_folders_of_one_name_get_two_names(tiny_folder, folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "more" / "next")
    data = load_dataset(tiny_folder, flags=flags_of(folder, other))
    names = [s.name for s in data.train if s.mask][4:]
    assert names == ["next/0000", "next/0003", "next-2/0000", "next-2/0003"]


def test_a_folder_within_the_data_is_read_once(tiny_folder, folder, tmp_path):
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    inside = Path(shutil.move(folder, data / "next"))
    contents = load_dataset(data, flags=flags_of(inside))
    assert len([s for s in contents.train if s.mask]) == 4 + 2


def test_they_are_never_held_out_and_labels_do_not_count_them(tiny_folder, folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(tiny_folder / "train", data / "train")
    contents = load_dataset(data, flags=flags_of(folder))
    alone = make_split(load_dataset(data), "2", 0)
    split = make_split(contents, "2", 0)
    assert [s.name for s in split.val] == [s.name for s in alone.val]
    assert {s.name for s in split.labeled} - {s.name for s in alone.labeled} == {
        "next/0000",
        "next/0003",
    }
    assert len(split.labeled) == 2 + 2


def test_they_keep_out_of_the_groups_that_are_held_out(tiny_folder, tmp_path):
    data, out = tmp_path / "data", tmp_path / "next"
    names = ["a_1", "a_2", "b_1", "b_2"]
    for folder, kind in ((folder, kind) for folder in (data, out) for kind in ("images", "masks")):
        target = folder / "train" / kind
        target.mkdir(parents=True)
        for name, file in zip(names, sorted((tiny_folder / "train" / kind).iterdir()), strict=True):
            shutil.copy(file, target / f"{name}{file.suffix}")
    flags = NOTHING_SAID._replace(corrected=(out,), group="^(.*?)_")
    split = make_split(load_dataset(data, flags=flags), "all", 0)
    (held_out,) = {sample.name[0] for sample in split.val}
    (other,) = {"a", "b"} - {held_out}
    expected = [f"{other}_1", f"{other}_2"]
    assert [s.name for s in split.labeled] == [*expected, *(f"next/{name}" for name in expected)]
    assert split.unlabeled == ()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "There is no folder .*next"),
        (lambda folder: shutil.rmtree(folder / "train" / "masks"), "holds no image with a mask"),
        (lambda folder: (folder / "correct.json").write_text("{"), "correct.json cannot be read"),
        (
            lambda folder: (folder / "correct.json").write_text('{"states": {}}'),
            "No mask of .*next is accepted",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(tiny_folder, folder, damage, message):
    damage(folder)
    with pytest.raises(DataError, match=message):
        load_dataset(tiny_folder, flags=flags_of(folder))


@pytest.mark.slow
def test_a_run_remembers_its_corrected_masks(
    tiny_folder, tiny_run, tiny_settings, folder, tmp_path
):
    out, before = tmp_path / "second", tiny_run("css")
    settings = {**tiny_settings, "method": "css", "start_from": before, "corrected": folder}
    run = semiseg.train(tiny_folder, out=out, **settings).folder
    labeled, val = samples_of(run)
    assert {"next/0000", "next/0003"} <= {sample.name for sample in labeled}
    assert {sample.name for sample in val} == {sample.name for sample in samples_of(before)[1]}
    moved = shutil.copytree(tiny_folder, tmp_path / "moved")
    assert {"next/0000", "next/0003"} <= {sample.name for sample in samples_of(run, moved)[0]}


def test_the_setting_takes_several_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = TrainConfig.from_values({"data": "DATA", "corrected": "next,other/../next,last"})
    assert config.data.corrected == (tmp_path / "next", tmp_path / "last")
