"""What to label first, without a run: the choice by hand, the images, and what is written."""

from __future__ import annotations

import csv
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import semiseg
from semiseg.cli import main
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.data.reader import load_dataset
from semiseg.suggestion import coverage
from semiseg.suggestion.coverage import choose_first
from semiseg.suggestion.pool import find_pool

QUICK = {"encoder": "lcnet_035", "weights": "none", "accelerator": "cpu"}
WORDS = ["--encoder", "lcnet_035", "--weights", "none", "--accelerator", "cpu"]
SKIES = {"blue": (60, 120, 220), "red": (220, 60, 40), "green": (40, 200, 60)}


def draw_photo(path: Path, color: tuple[int, int, int], x: int = 20) -> Path:
    """A photograph of one color with a disk at a place."""
    image = Image.new("RGB", (64, 48), color)
    ImageDraw.Draw(image).ellipse((x, 12, x + 14, 26), fill=(240, 240, 200))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95)
    return path


def draw_mask(path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[12:26, 20:34] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


@pytest.fixture
def photos(tmp_path):
    """Three photographs each of three colors, in one folder."""
    for name, color in SKIES.items():
        for i in range(3):
            draw_photo(tmp_path / "photos" / f"{name}{i}.jpg", color, 10 + 14 * i)
    return tmp_path / "photos"


def choose(points, n, labeled=()):
    """The names and the numbers that the choice among vectors gives."""
    vectors = {str(i): np.array(p, np.float32) for i, p in enumerate(points)}
    others = {f"l{i}": np.array(p, np.float32) for i, p in enumerate(labeled)}
    chosen = choose_first({name: Path(name) for name in vectors}, vectors, others, n)
    return [int(one.name) for one in chosen], chosen


def random_points(count, width=6):
    return np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)


def test_one_image_of_each_group_is_chosen_the_largest_group_first():
    large = [(10 + 0.3 * i, 0.5 * i) for i in range(7)]
    middle = [(-9 + 0.3 * i, 8) for i in range(4)]
    small = [(-9, -8 - 0.5 * i) for i in range(2)]
    indices, chosen = choose([*large, *middle, *small], 3)
    assert indices[0] in range(7)
    assert set(indices[1:]) & set(range(7, 11))
    assert set(indices[1:]) & {11, 12}
    assert [one.stands_for for one in chosen] == sorted((7, 4, 2), reverse=True)


def test_the_choice_is_the_greedy_one_by_its_formula(monkeypatch):
    """Each image is the one with which the mean distance to the nearest chosen one is smallest."""
    monkeypatch.setattr(coverage, "_BLOCK", 7)
    monkeypatch.setattr(coverage, "_RECOMPUTED", 2)
    points = random_points(40)
    scaled = (points - points.mean(0)) / points.std(0)
    unit = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    nearest = np.ones(40)
    expected = []
    for _ in range(6):
        sums = [np.minimum(nearest, distance[:, i]).sum() for i in range(40)]
        expected.append(int(np.argmin(sums)))
        nearest = np.minimum(nearest, distance[:, expected[-1]])
    indices, chosen = choose(points, 6)
    assert indices == expected
    assert chosen[0].distance == 1
    own = distance[np.ix_(indices, indices)] + 9 * np.eye(6)
    for rank in range(1, 6):
        assert chosen[rank].distance == pytest.approx(min(1, own[rank, :rank].min()), abs=1e-5)


def test_labeled_images_count_as_chosen():
    points = [(10, 0), (10, 1), (10, -1), (-9, 8), (-9, 7.8)]
    assert choose(points, 1)[0][0] in (0, 1, 2)
    assert choose(points, 1, labeled=[(10, 0.5), (10, 0.2)])[0][0] in (3, 4)


def test_copies_are_never_chosen_twice():
    points = random_points(6)
    indices, chosen = choose([*points, *points], 12)
    assert sorted(i % 6 for i in indices) == list(range(6))
    assert sum(one.stands_for for one in chosen) == 12


def test_a_channel_of_large_numbers_does_not_outweigh_the_others():
    points = random_points(30)
    scaled = points * np.array([1, 1, 1000, 1, 1, 1], np.float32)
    constant = np.concatenate([scaled, np.full((30, 1), 7, np.float32)], axis=1)
    assert choose(points, 5)[0] == choose(constant, 5)[0]


def test_the_command_chooses_from_a_folder_without_masks(photos, tmp_path, capsys):
    out = tmp_path / "next"
    main(["suggest", str(photos), "-n", "3", "--out", str(out), *WORDS])
    output = capsys.readouterr().out
    listed = [Path(line) for line in (out / "suggested.txt").read_text().splitlines()]
    assert {path.stem[:-1] for path in listed} == set(SKIES)  # one of each color
    with (out / "suggested.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [str(path) for path in listed]
    assert sum(int(row["stands_for"]) for row in rows) == 9
    assert float(rows[0]["distance"]) == 1
    with Image.open(out / "suggested.png") as picture:
        assert picture.width > 700
    copies = sorted((out / "train" / "images").iterdir())
    assert [path.name for path in copies] == sorted(path.name for path in listed)
    assert "stands for" in output
    with pytest.raises(RunError, match="--overwrite"):
        semiseg.suggest(photos, out=out, n=3, **QUICK)
    again = semiseg.suggest(photos, out=out, n=3, overwrite=True, **QUICK)
    assert [one.image for one in again.images] == listed


def commands(text):
    """The lines of the advice that a shell is to run."""
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


def follow(advice, out, names):
    """Draw the masks, run the commands but the training, and read the data that it would read."""
    for name in names:
        draw_mask(out / "train" / "masks" / f"{name}.png")
    *copies, train = commands(advice)
    for command in copies:
        subprocess.run(["sh", "-c", command], check=True)
    return shlex.split(train)


@pytest.mark.parametrize("layout", ["flat", "deep", "tree", "half labeled"])
def test_the_advice_makes_a_folder_that_can_be_trained_on(photos, tmp_path, layout):
    data, out = tmp_path / "my data", tmp_path / "it's next"
    images = {"flat": ".", "deep": "day one"}.get(layout, "train/images")
    shutil.copytree(photos, data / images)
    if layout in ("tree", "half labeled"):
        (data / "unlabeled").mkdir()
        for image in sorted((data / images).glob("red*")):
            image.rename(data / "unlabeled" / image.name)
        shutil.copytree(photos, data / "val" / "images")
    if layout == "half labeled":
        draw_mask(data / "train" / "masks" / "blue0.png")
    suggestion = semiseg.suggest(data, out=out, n=3, **QUICK)
    assert not any("val" in one.image.relative_to(data).parts for one in suggestion.images)
    names = [one.name for one in suggestion.images]
    assert follow(suggestion.next_steps, out, names) == ["semiseg", "train", str(data)]
    dataset = load_dataset(data)
    labeled = {sample.image.stem for sample in dataset.train if sample.mask is not None}
    chosen = {one.image.stem for one in suggestion.images}
    assert labeled == chosen | ({"blue0"} if layout == "half labeled" else set())
    assert len(dataset.train) == 9
    assert len({sample.image.name for sample in dataset.train}) == 9


@pytest.mark.parametrize("images", [".", "train/images", "listed"])
def test_the_advice_names_a_folder_for_val(photos, tmp_path, images):
    data, out = tmp_path / "data", tmp_path / "next"
    root, source = (out, photos) if images == "listed" else (data, data)
    if images == "listed":
        source = tmp_path / "some.txt"
        source.write_text("".join(f"{path}\n" for path in sorted(photos.iterdir())))
    else:
        shutil.copytree(photos, data / images)
    suggestion = semiseg.suggest(source, out=out, n=3, **QUICK)
    val_images, val_masks = root / "val" / "images", root / "val" / "masks"
    assert f"move them to {val_images}, and save their masks in {val_masks}." in (
        suggestion.next_steps
    )
    chosen = {one.image for one in suggestion.images}
    folder = photos if images == "listed" else data / images
    drawn = sorted(set(folder.glob("*.jpg")) - chosen)[0]
    val_images.mkdir(parents=True)
    drawn.rename(val_images / drawn.name)
    draw_mask(val_masks / f"{drawn.stem}.png")
    follow(suggestion.next_steps, out, [one.name for one in suggestion.images])
    dataset = load_dataset(root)
    assert [sample.image for sample in dataset.val] == [val_images / drawn.name]
    assert sum(sample.mask is not None for sample in dataset.train) == 3
    if images != "listed":  # the folder has a val now
        again = semiseg.suggest(source, out=tmp_path / "again", n=1, **QUICK)
        assert "val" not in again.next_steps


def test_the_advice_knows_the_folder_by_a_relative_and_an_absolute_path(
    photos, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, "DATA/train/images")
    draw_mask(Path("DATA/train/masks/blue0.png"))
    advice = semiseg.suggest(tmp_path / "DATA", out="next", n=2, data="DATA", **QUICK).next_steps
    assert commands(advice) == ["cp -rn next/train/masks/. DATA/train/masks", "semiseg train DATA"]


def test_images_of_a_list_become_a_data_folder_with_the_others_unlabeled(photos, tmp_path):
    out = tmp_path / "next"
    names = tmp_path / "some.txt"
    names.write_text("".join(f"{path}\n" for path in sorted(photos.iterdir())[:5]))
    suggestion = semiseg.suggest(names, out=out, n=2, **QUICK)
    words = follow(suggestion.next_steps, out, [one.name for one in suggestion.images])
    assert words == ["semiseg", "train", str(out), "--unlabeled", str(photos)]
    assert sum(sample.mask is not None for sample in load_dataset(out).train) == 2


def test_other_names_of_masks_are_shown_by_an_example(photos, tmp_path):
    draw_mask(photos / "blue0_mask.png")
    suggestion = semiseg.suggest(photos, out=tmp_path / "next", n=2, **QUICK)
    assert not {"blue0", "blue0_mask"} & {one.image.stem for one in suggestion.images}
    assert f"{photos / 'blue0_mask.png'} is the mask of {photos / 'blue0.jpg'}" in (
        suggestion.next_steps
    )
    assert commands(suggestion.next_steps) == [shlex.join(["semiseg", "train", str(photos)])]


def test_images_with_masks_in_another_folder_count_as_labeled(photos, tmp_path, log):
    data = tmp_path / "data"
    for name, color in list(SKIES.items())[:2]:
        draw_photo(data / "train" / "images" / f"{name}.jpg", color, 24)
        draw_mask(data / "train" / "masks" / f"{name}.png")
    (first,) = semiseg.suggest(photos, out=tmp_path / "next", n=1, data=data, **QUICK).images
    assert first.image.stem[:-1] == "green"
    assert "complements the 2 labeled images" in log.text


def test_val_and_test_and_results_are_no_candidates(tiny_folder, tmp_path):
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    shutil.copytree(tiny_folder / "unlabeled", data / "test" / "images")
    (data / "train" / "masks" / "0003.png").unlink()
    pool = find_pool(data, data / "next")
    names = {path.name for path in (tiny_folder / "unlabeled").iterdir()}
    unlabeled = {data / "unlabeled" / name for name in names}
    assert set(pool.images.values()) == {data / "train" / "images" / "0003.jpg", *unlabeled}
    with pytest.raises(
        DataError, match=r"no image to choose from: there are only \d images of val"
    ):
        find_pool(data / "val" / "images", tmp_path / "out", data)


def test_unreadable_images_are_named_and_few_images_are_all_chosen(photos, tmp_path, log):
    (photos / "broken.jpg").write_bytes(b"no image")
    images = semiseg.suggest(photos, out=tmp_path / "next", **QUICK).images
    assert len(images) == 9
    assert "broken.jpg" in log.text
    assert "only 9 images to choose from" in log.text


def test_what_cannot_be_chosen_from_is_explained(photos, plain_release, tmp_path, capsys):
    def message(*words):
        with pytest.raises(SystemExit) as stop:
            main(["suggest", *map(str, words), *WORDS])
        assert stop.value.code == 2
        return capsys.readouterr().err

    (tmp_path / "empty").mkdir()
    assert "holds no images" in message(tmp_path / "empty")
    assert "does not exist" in message(tmp_path / "gone")
    assert "at least 1" in message(photos, "-n", "0")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"no image")
    assert "1 image cannot be read" in message(broken)
    assert "is the folder of the images" in message(photos, "--out", photos)
    assert f"semiseg suggest {plain_release} IMAGES" in message(plain_release)
    assert "--encoder is for a choice without a run" in message(plain_release, photos)
    with pytest.raises(ConfigError, match="There is no encoder"):
        semiseg.suggest(photos, out=tmp_path / "next", encoder="lcnet_0355")


def test_the_choice_depends_on_no_order_of_files_and_no_other_call(photos, tmp_path):
    first = semiseg.suggest(photos, out=tmp_path / "a", n=4, **QUICK).images
    names = tmp_path / "backwards.txt"
    names.write_text("".join(f"{path}\n" for path in sorted(photos.iterdir(), reverse=True)))
    np.random.default_rng(0).normal(size=3)
    second = semiseg.suggest(names, out=tmp_path / "b", n=4, **QUICK).images
    assert [one.image for one in first] == [one.image for one in second]


def test_folders_without_masks_name_the_command(photos, tmp_path):
    command = f"`semiseg suggest {photos}` chooses the images to label first"
    with pytest.raises(DataError, match=command):
        load_dataset(photos)
    shutil.copytree(photos, tmp_path / "data" / "train" / "images")
    with pytest.raises(DataError, match="chooses the images to label first"):
        load_dataset(tmp_path / "data")


def test_deep_images_are_seen_in_their_own_range(tmp_path):
    """Images of 12 bits in files of 16 bits differ from one another as those of 8 bits do."""
    for name, level in (("a0", 200), ("a1", 210), ("b0", 3800), ("b1", 3790)):
        values = np.full((48, 64), level, np.uint16)
        values[10:30, 10:30] = 4000 - level
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(values).save(path)
    images = semiseg.suggest(tmp_path / "photos", out=tmp_path / "next", n=2, **QUICK).images
    assert {one.name[0] for one in images} == {"a", "b"}
