"""Copies of another size, quality or brightness are found; other images are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

import semiseg
from semiseg.data.findings import Finding
from semiseg.data.near_duplicates import MAX_QUERIES, Thumbnail, find_near_duplicates, thumbnail

SIZE = (160, 120)


def scene(seed: int) -> Image.Image:
    """Random shapes with fine texture, another one for each seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", SIZE, tuple(int(v) for v in rng.integers(60, 200, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = rng.integers(0, SIZE[0]), rng.integers(0, SIZE[1])
        w, h = rng.integers(4, 50, 2)
        draw.ellipse((x, y, x + w, y + h), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return grain(image.filter(ImageFilter.GaussianBlur(1)), rng, 6)


def grain(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    values: NDArray[np.float64] = np.asarray(image, float)
    noisy = values + rng.normal(0, strength, values.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((int(image.width * factor), int(image.height * factor)))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "poor JPEG": lambda image: jpeg(image, 35),
    "half the size": lambda image: scaled(image, 0.5),
    "larger": lambda image: scaled(image, 1.7),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "all at once": lambda image: jpeg(ImageEnhance.Brightness(scaled(image, 0.6)).enhance(0.9), 50),
}


def write(folder: Path, **images: Image.Image) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, image in images.items():
        paths[name] = folder / f"{name}.png"
        image.save(paths[name])
    return paths


def small(path: Path) -> Thumbnail:
    image = Image.open(path).convert("RGB")
    return Thumbnail(thumbnail(image), image.size)


def pairs(images: dict[str, Path], others: dict[str, Path]) -> dict[str, str]:
    """The names of the images that have copies, with those of the copies."""
    files = {*images.values(), *others.values()}
    thumbnails = {path: small(path) for path in files}
    result = find_near_duplicates(
        list(images.values()), list(others.values()), thumbnails, lambda one, two: one != two
    )
    return {pair.image.stem: pair.other.stem for pair in result}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_strangers_are_not(tmp_path: Path, kind: str) -> None:
    others = write(tmp_path / "train", **{f"t{i}": scene(i) for i in range(12)})
    images = write(
        tmp_path / "val",
        v0=COPIES[kind](scene(3)),
        v1=scene(100),
        v2=COPIES[kind](scene(7)),
        v3=scene(101),
    )
    assert pairs(images, others) == {"v0": "t3", "v2": "t7"}


def test_a_pair_alone_is_found(tmp_path: Path) -> None:
    others = write(tmp_path / "train", t=scene(0), u=scene(1))
    assert pairs(write(tmp_path / "val", v=jpeg(scene(0), 40)), others) == {"v": "t"}


def test_flat_and_dark_images_are_no_copies(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    flat = [grain(Image.new("RGB", SIZE, (90, 90, 90)), rng, 8) for _ in range(12)]
    dark = [grain(Image.new("RGB", SIZE), rng, 2) for _ in range(12)]
    others = write(tmp_path / "train", **{f"t{i}": image for i, image in enumerate(flat[2:])})
    others |= write(tmp_path / "more", **{f"d{i}": image for i, image in enumerate(dark[2:])})
    images = write(tmp_path / "val", v0=flat[0], v1=flat[1], v2=dark[0], v3=dark[1])
    assert pairs(images, others) == {}


def eye(seed: int) -> Image.Image:
    """A round picture on black, as of a fundus camera: the rim is the same in all of them."""
    inside, rim = scene(seed), Image.new("L", SIZE)
    ImageDraw.Draw(rim).ellipse((25, 5, 135, 115), fill=255)
    soft = Image.blend(Image.new("RGB", SIZE, (180, 90, 40)), inside, 0.3)
    return Image.composite(soft, Image.new("RGB", SIZE), rim)


def test_what_all_images_have_in_common_is_no_evidence(tmp_path: Path) -> None:
    others = write(tmp_path / "train", **{f"t{i}": eye(i) for i in range(20)})
    images = write(tmp_path / "val", v0=eye(100), v1=jpeg(eye(4), 60), v2=eye(101))
    assert pairs(images, others) == {"v1": "t4"}


def test_the_number_of_detailed_comparisons_is_bounded(tmp_path: Path) -> None:
    path = write(tmp_path, a=scene(0), b=scene(1))
    images = [tmp_path / f"none{i}.png" for i in range(2 * MAX_QUERIES)]
    thumbnails = dict.fromkeys(images, small(path["a"])) | {p: small(p) for p in path.values()}
    asked: list[Path] = []

    def may_pair(one: Path, other: Path) -> bool:
        asked.append(one)
        return other == path["a"]

    assert find_near_duplicates(images, list(path.values()), thumbnails, may_pair) == []
    assert set(asked) == set(images)


def test_large_images_are_not_all_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = write(tmp_path / "train", **{f"t{i}": scene(i) for i in range(6)})
    images = write(tmp_path / "val", **{f"v{i}": jpeg(scene(i), 60) for i in range(6)})
    assert len(pairs(images, others)) == 6
    area = SIZE[0] * SIZE[1]
    monkeypatch.setattr("semiseg.data.near_duplicates.MAX_PIXELS", 6 * area)
    assert len(pairs(images, others)) == 3


# --- the rule


def findings(root: Path, **settings: object) -> list[Finding]:
    report = semiseg.check(root, **settings)
    assert report.ok
    return [f for f in report.findings if f.kind == "near-duplicate"]


def folder(root: Path, split: str, **images: Image.Image) -> None:
    """Images with masks of two classes."""
    write(root / split / "images", **images)
    for name, image in images.items():
        values = np.zeros((image.height, image.width), np.uint8)
        values[:, image.width // 2 :] = 1
        path = root / split / "masks" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)


def test_check_warns_of_copies_in_train_and_in_the_pool(tmp_path: Path) -> None:
    folder(tmp_path, "train", **{f"t{i}": scene(i) for i in range(6)})
    folder(tmp_path, "val", v0=jpeg(scene(2), 50), v1=scaled(scene(50), 0.5), v2=scene(60))
    folder(tmp_path, "test", w=ImageEnhance.Brightness(scene(3)).enhance(1.1))
    write(tmp_path / "unlabeled", u=scene(50), x=scene(70))
    (finding,) = findings(tmp_path)
    assert finding.severity == "warning"
    assert dict(zip(finding.files, finding.details, strict=True)) == {
        "val/images/v0.png": " like train/images/t2.png",
        "val/images/v1.png": " like unlabeled/u.png",
        "test/images/w.png": " like train/images/t3.png",
    }
    assert "(1 of these is unlabeled)" in finding.message


def test_identical_images_are_left_to_their_own_rule(tmp_path: Path) -> None:
    folder(tmp_path, "train", **{f"t{i}": scene(i) for i in range(6)})
    folder(tmp_path, "val", v0=scene(2), v1=scene(60))
    assert findings(tmp_path) == []
    assert [f.kind for f in semiseg.check(tmp_path).findings if f.severity == "warning"] == ["leak"]


def frames(drive: str, seed: int) -> dict[str, Image.Image]:
    """Three frames of one still scene."""
    rng = np.random.default_rng(seed)
    return {f"{drive}_{i:04d}": grain(scene(seed), rng, 5) for i in range(3)}


def test_frames_of_a_video_are_kept_together_by_the_group_that_is_named(tmp_path: Path) -> None:
    for number in range(4):
        folder(tmp_path, ".", **frames(f"drive{number}", number))
    (finding,) = findings(tmp_path)
    assert len(finding.files) == 12
    assert finding.message.startswith("Labeled images, which may be held out,")
    assert "--group '^(.*)_'" in finding.remedy
    assert findings(tmp_path, group="^(.*)_") == []
