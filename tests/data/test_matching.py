"""Masks are matched with images by their names; a wrong pair is worse than none."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semiseg.data.pairing.match_state import Match
from semiseg.data.pairing.matching import match_names

NUMBERS = [f"{i:03d}" for i in range(8)]


def single(match: Match) -> dict[str, str]:
    """The mask of each image, where each has one."""
    assert all(len(masks) == 1 for masks in match.pairs.values())
    return {image: masks[0] for image, masks in match.pairs.items()}


@pytest.mark.parametrize(
    "affix",
    [
        *("_mask", "-mask", " mask", " (mask)", "_gt", "_GT", "_lbl", "_label", "_labels_01"),
        *("_mask_0", "_labelIds", "_segmentation", "_groundtruth", "_1stHO", "_anno", "_manual1"),
        *(".mask", "mask", "_xyz", "_bin2", ""),
    ],
)
@pytest.mark.parametrize("labeled", [1, 5, 8])
def test_masks_with_anything_behind_their_images_names(affix: str, labeled: int) -> None:
    images = [f"{name}.jpg" for name in NUMBERS]
    masks = [f"{name}{affix}.png" for name in NUMBERS[:labeled]]
    match = match_names(images, masks)
    assert single(match) == dict(zip(images, masks, strict=False))
    assert not match.unmatched
    assert not match.rivals
    assert not affix or f"`{affix}`" in match.rule


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}.jpg", "mask_{}.png"),
        ("image_{}.jpg", "mask_{}.png"),
        ("{}_training.tif", "{}_manual1.gif"),
        ("{}_sat.jpg", "{}_mask.png"),
        ("x_{}_0000.png", "x_{}.png"),
        ("aachen_{}_leftImg8bit.png", "aachen_{}_gtFine_labelIds.png"),
        ("top_mosaic_09cm_area{}.tif", "gts_area{}.png"),
        ("{}.jpg", "{}.jpg.png"),
        ("{}.tiff", "{}.tiff_mask.png"),
        ("ISIC_{}.jpg", "ISIC_{}_segmentation.png"),
        ("field ({}).jpg", "field ({})_mask.png"),
        ("IMG_{}.JPG", "img_{}.png"),
        ("IMG_{}.jpg", "img-{}-MASK.png"),
        ("cam1/{}.jpg", "cam1/{}.png"),
        ("cam1/{}.jpg", "cam1_{}.png"),
        ("cam1/{}.jpg", "{}_mask.png"),
        ("{}.jpg", "batch/{}.png"),
        ("a/images/{}.jpg", "a/masks/{}.png"),
        ("rgb/{}/view.jpg", "labels/{}/view.png"),
    ],
)
@pytest.mark.parametrize("labeled", [2, 8])
def test_schemes_of_names(image: str, mask: str, labeled: int) -> None:
    images = [image.format(name) for name in NUMBERS]
    masks = [mask.format(name) for name in NUMBERS[:labeled]]
    match = match_names(images, masks[::-1])
    assert single(match) == dict(zip(images, masks, strict=False))
    assert match.rules[0].mask in masks
    assert match.rule


@pytest.mark.parametrize("mask", ["img_{:03d}", "mask_{:03d}", "{:05d}_gt"])
def test_numbers_may_have_other_zeros_before_them(mask: str) -> None:
    images = [f"img_{i}.jpg" for i in range(1, 12)]
    masks = [f"{mask.format(i)}.png" for i in (1, 2, 11)]
    assert single(match_names(images, masks)) == dict(
        zip(["img_1.jpg", "img_2.jpg", "img_11.jpg"], masks, strict=True)
    )


def test_names_are_compared_in_one_unicode_form() -> None:
    image, mask = "Grünfläche.jpg", unicodedata.normalize("NFD", "Grünfläche_Maske.png")
    assert match_names([image], [mask]).pairs == {image: (mask,)}


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["img_1.jpg", "img_2.jpg"], ["mask_11.png", "mask_12.png"]),
        (["img_1.jpg"], ["img_11.png"]),
        (["img_11.jpg"], ["img_1.png"]),
        ([f"cam1_{n}.jpg" for n in NUMBERS], [f"cam2_{n}.png" for n in NUMBERS]),
        (["day1/1.jpg", "day2/2.jpg"], ["day2/1.png", "day1/2.png"]),
        ([f"photo{i}.jpg" for i in range(6)], [f"task-{i}-annotation-9.png" for i in range(1, 7)]),
        (["austin1.jpg", "vienna2.jpg"], ["paris1_gt.png", "rome2_gt.png"]),
        (["f0.jpg", "f1_seg.jpg", "f2.jpg"], ["g0.png", "g1.png"]),
    ],
)
def test_other_numbers_and_words_are_no_pairs(images: list[str], masks: list[str]) -> None:
    assert not match_names(images, masks).pairs


def test_the_order_of_files_decides_nothing() -> None:
    assert not match_names(["a.jpg", "b.jpg"], ["x.png", "y.png"]).pairs


def test_a_rule_of_a_few_masks_is_no_rule() -> None:
    images = [f"{n}.jpg" for n in NUMBERS]
    masks = ["000_v.png", *(f"{chr(97 + i)}{i}{i}.png" for i in range(6))]
    assert not match_names(images, masks).pairs


def test_a_mask_that_may_belong_to_two_images_is_a_rival() -> None:
    images = [f"cam{c}/{n}.jpg" for c in (1, 2) for n in NUMBERS]
    match = match_names(images, ["000.png", "001.png"])
    assert not match.pairs
    assert match.rivals[0] == ("000.png", ("cam1/000.jpg", "cam2/000.jpg"))


def test_two_images_of_one_name_are_rivals() -> None:
    match = match_names(["3.jpg", "3.png", "4.jpg"], ["3.png", "4.png"])
    assert match.pairs == {"4.jpg": ("4.png",)}
    assert match.rivals == (("3.png", ("3.jpg", "3.png")),)


def test_affixes_that_are_parts_of_names_decide_nothing() -> None:
    images = [f"f{i}{end}.jpg" for i in range(6) for end in ("", "_seg")]
    masks = [name.replace(".jpg", ".png") for name in images if name not in ("f2.jpg",)]
    match = match_names(images, masks)
    assert single(match) == {name.replace(".png", ".jpg"): name for name in masks}
    images.remove("f2_seg.jpg")  # its mask does not become that of f2
    assert match_names(images, masks).unmatched == ("f2_seg.png",)
    behind = [name.replace(".png", "_mask.png") for name in masks]
    match = match_names([*images, "f2_seg.jpg"], behind)
    assert single(match) == {name.replace("_mask.png", ".jpg"): name for name in behind}


def test_several_masks_of_an_image() -> None:
    images = ["benign (1).png", "benign (2).png", "benign (3).png"]
    masks = ["benign (1)_mask.png", "benign (2)_mask.png", "benign (2)_mask_1.png"]
    match = match_names(images, masks)
    assert match.pairs == {images[0]: (masks[0],), images[1]: (masks[1], masks[2])}
    assert [match.variants[mask] for mask in masks] == ["mask", "mask", "mask 1"]


def test_one_mask_for_each_class() -> None:
    masks = [f"{n}_{word}.png" for n in NUMBERS[:3] for word in ("crop", "soil", "weed")]
    match = match_names([f"{n}.jpg" for n in NUMBERS], masks)
    assert match.pairs == {
        f"{n}.jpg": tuple(masks[3 * i : 3 * i + 3]) for i, n in enumerate(NUMBERS[:3])
    }
    assert [match.variants[mask] for mask in masks[:3]] == ["crop", "soil", "weed"]


def test_a_folder_of_one_image_holds_its_masks() -> None:
    images = [f"n{i}/images/n{i}.png" for i in range(3)]
    masks = [f"n{i}/masks/{i}{j}abc.png" for i in range(3) for j in range(2)]
    match = match_names(images, masks)
    assert match.pairs == {images[i]: tuple(masks[2 * i : 2 * i + 2]) for i in range(3)}


def test_a_looser_rule_takes_what_the_stricter_one_leaves() -> None:
    images = [f"IMG_{n}.jpg" for n in NUMBERS]
    match = match_names(images, ["IMG_000.png", "IMG_001.png", "IMG-005.png"])
    assert match.pairs["IMG_005.jpg"] == ("IMG-005.png",)
    assert [rule.pairs for rule in match.rules] == [2, 1]


def loose(name: str) -> str:
    """A name without zeros before its numbers and without its kind of separators."""
    return re.sub("[-_ ]", "_", re.sub(r"(?<![0-9])0+(?=[0-9])", "", name)).casefold()


WORDS = st.sampled_from(["img", "field", "a", "DSC", "plot7", "cam", "mask", "seg"])
NAMES = st.one_of(
    st.integers(0, 120).map(str),
    st.integers(0, 120).map(lambda i: f"{i:04d}"),
    st.tuples(WORDS, st.sampled_from("_- "), st.integers(0, 30)).map(
        lambda t: "".join(map(str, t))
    ),
    st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda t: f"{t[0]}_{t[1]}"),
    st.tuples(WORDS, WORDS).map("_".join),
)
STARTS = st.sampled_from(["", "", "", "mask_", "gt-", "label ", "img_", "x1_"])
ENDS = st.sampled_from(["", "", "_mask", "_seg", "_gt", "-label", "_sat", "_0000", "_mask_0", "_1"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(NAMES, min_size=1, max_size=14, unique_by=loose),
    st.tuples(STARTS, ENDS, STARTS, ENDS),
    st.data(),
)
def test_no_pair_is_wrong(
    names: list[str], scheme: tuple[str, str, str, str], data: st.DataObject
) -> None:
    """Images and masks are named by one scheme; some have no image, some no mask."""
    image_start, image_end, mask_start, mask_end = scheme
    has = data.draw(
        st.lists(
            st.sampled_from(["both", "both", "image", "mask"]),
            min_size=len(names),
            max_size=len(names),
        )
    )
    images = {
        f"{image_start}{n}{image_end}.jpg": n
        for n, h in zip(names, has, strict=True)
        if h != "mask"
    }
    masks = {
        f"{mask_start}{n}{mask_end}.png": n for n, h in zip(names, has, strict=True) if h != "image"
    }
    match = match_names(list(images), list(masks))
    wrong = {
        image: mask
        for image, theirs in match.pairs.items()
        for mask in theirs
        # An image and a mask of one name belong together, whatever a scheme meant by chance; so do
        # `img_0000` and `img_0`.
        if images[image] != masks[mask] and loose(image[:-4]) != loose(mask[:-4])
    }
    assert not wrong, (wrong, match.rule)
    paired = [mask for theirs in match.pairs.values() for mask in theirs]
    settled = [*paired, *match.unmatched, *(rival.mask for rival in match.rivals)]
    assert sorted(settled) == sorted(masks)


@pytest.mark.parametrize(
    ("image", "mask"), [("{}", "{}"), ("{}", "{}_mask"), ("a_{}_sat", "{}_m"), ("a_{}", "b{}{}")]
)
def test_ten_thousand_names_take_no_time(image: str, mask: str) -> None:
    images = [f"{image.format(f'{i:05d}')}.jpg" for i in range(10_000)]
    masks = [f"{mask.format(f'{i:05d}', i % 7)}.png" for i in range(10_000)]
    start = time.process_time()
    match_names(images, masks)
    assert (
        time.process_time() - start < 5
    )  # an idle core takes 0.1 to 0.6 s; squares would take minutes


def test_a_number_in_a_folder_of_masks_is_no_image() -> None:
    images = ["0.jpg", "1.jpg", "2.jpg"]
    masks = [f"v{version}/{i}.png" for version in (1, 2) for i in range(3)]
    match = match_names(images, masks)
    assert match.pairs == {f"{i}.jpg": (f"v1/{i}.png", f"v2/{i}.png") for i in range(3)}
    objects = [f"{image}/{i}.png" for image in (1, 2) for i in (1, 2)]
    assert match_names(images, objects).pairs == {
        f"{image}.jpg": (f"{image}/1.png", f"{image}/2.png") for image in (1, 2)
    }
