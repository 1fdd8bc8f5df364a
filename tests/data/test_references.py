"""How unlike the images of a training an image is."""

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from semiseg.core.reading import Reading
from semiseg.core.records import from_plain
from semiseg.core.types import UNLIKE_LIMIT
from semiseg.data.references import (
    MAX_REFERENCES,
    References,
    describe_image,
    read_references,
    references_of,
    unlike,
)
from semiseg.scenes.draw import write_scenes

CHANGES = {
    "gray": lambda image: image.convert("L").convert("RGB"),
    "dark": lambda image: image.point(lambda value: value * 0.2),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(4)),
    "black": lambda image: Image.new("RGB", image.size),
}


def remember(images):
    return references_of(np.stack([describe_image(image) for image in images]))


def gray(number):
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(60, 190, (12, 16), dtype=np.uint8))
    return small.resize((160, 120), Image.Resampling.BICUBIC).convert("RGB")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_scenes(root, labeled=12, unlabeled=1, val=10, size=(96, 128))
    return {
        name: [Image.open(file) for file in sorted((root / name / "images").iterdir())]
        for name in ("train", "val")
    }


@pytest.mark.parametrize("change", CHANGES)
def test_a_dozen_images_say_what_is_unlike_them(scenes, change):
    references = remember(scenes["train"])
    held_out = [unlike(image, references) for image in scenes["val"]]
    changed = [unlike(CHANGES[change](image), references) for image in scenes["val"]]
    assert np.mean(np.array(held_out) > UNLIKE_LIMIT) <= 0.1
    assert np.mean(np.array(changed) > UNLIKE_LIMIT) >= 0.8


def test_where_all_images_are_gray_a_color_one_is_unlike_them(scenes):
    references = remember([gray(number) for number in range(12)])
    assert all(unlike(gray(number), references) < UNLIKE_LIMIT for number in range(20, 30))
    assert all(unlike(image, references) > UNLIKE_LIMIT for image in scenes["val"])
    image = np.asarray(gray(40)).copy()
    image[..., 0] += 40
    assert unlike(Image.fromarray(image), references) > UNLIKE_LIMIT


def test_equal_images_have_a_limit_too(scenes):
    image = scenes["train"][0]
    references = remember([image] * 5)
    assert unlike(image, references) == 0
    assert unlike(image.resize((200, 150)), references) < UNLIKE_LIMIT
    assert unlike(ImageOps.invert(image), references) > UNLIKE_LIMIT


def test_three_images_say_nothing(scenes):
    assert remember(scenes["train"][:3]) is None
    assert references_of(np.zeros((0, 10))) is None


def test_both_kinds_of_images_count_and_their_number_has_a_bound(tmp_path):
    files = []
    for number in range(300):
        files.append(tmp_path / f"{number}.png")
        Image.new("RGB", (4, 4), (number // 2, 0, 0)).save(files[-1])
    files.append(tmp_path / "broken.png")
    files[-1].write_bytes(b"no image")

    def first(*parts):  # the first feature of each image: its brightness
        references = read_references(*parts)
        return references.rows[:, 0] * references.scale[0] * 255 * 3

    assert len(read_references(files[:4], []).images) == 4
    assert len(read_references(files[:200], files[200:230]).images) == 230
    assert (
        len(read_references(files[:290], files[290:]).images) == MAX_REFERENCES - 1
    )  # a broken one
    half = first(files[:200], files[:300])
    assert len(half) == MAX_REFERENCES
    assert np.allclose(half[:128], [i * 200 // 128 // 2 for i in range(128)], atol=0.5)
    assert np.allclose(half[128:], [i * 300 // 128 // 2 for i in range(128)], atol=0.5)


def test_images_of_16_bits_are_compared_as_the_model_sees_them(tmp_path):
    files = []
    for number in range(8):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(np.asarray(gray(number))[..., 0].astype(np.uint16) * 10).save(files[-1])
    seen = read_references(files[:6], [], Reading(value_range=(0, 2550)))
    assert unlike(gray(7), seen) < UNLIKE_LIMIT
    assert unlike(gray(7).point(lambda value: value // 8), seen) > UNLIKE_LIMIT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": [1.0]}, "scale"),
        ({"scale": [0.0] * 10}, "scale"),
        ({"limit": 0.0}, "limit"),
        ({"limit": "1"}, "limit"),
        ({"images": []}, "0 images"),
        ({"images": ["1 2"]}, "10 finite numbers"),
        ({"images": ["nan " * 10]}, "10 finite numbers"),
        ({"images": ["a b"]}, "could not convert"),
        ({"images": ["1 " * 10, "1"]}, "inhomogeneous"),
        ({"images": ["1 " * 10] * 300}, "300 images"),
    ],
)
def test_a_stranger_s_references_are_checked(change, message):
    good = {"scale": [1.0] * 10, "limit": 1.0, "images": ["1 " * 10]}
    assert from_plain(References, good).rows.shape == (1, 10)
    with pytest.raises(ValueError, match=message):
        from_plain(References, good | change)
