"""Rasters that do not fit together: each case works, or a sentence names the file.

Every case goes through the command line: `semiseg check`, then `semiseg train`.
"""

import logging

import numpy as np
import pytest
import rasterio
from drawn_rasters import draw_field, write_classes, write_scene
from rasterio.transform import from_origin
from rasterio.warp import reproject

from semiseg.cli import main

SIDE = 192
PIXEL = 0.1  # meters
LEFT, TOP = 500_000, 5_800_000
NO_PLACE = {"crs": None, "transform": None}
TRAINING = (
    *("--steps", "2", "--size", "64", "--crop", "32", "--batch", "2", "--workers", "0"),
    *("--encoder", "lcnet_035", "--weights", "none", "--accelerator", "cpu", "--tile", "64"),
)

# Rasters without a place on earth are cases here, and GDAL warns of them.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]


@pytest.fixture
def field(tmp_path):
    """A folder with one raster, `train/images/field.tif`, and its mask."""
    data = tmp_path / "data"
    write_classes(data)
    scene = draw_field(0, (SIDE, SIDE))
    write_scene(data / "train/images/field.tif", data / "train/masks/field.tif", scene)
    return data


def add(data, name, scene=None, **profile):
    """A second raster with its mask."""
    scene = scene or draw_field(1, (SIDE, SIDE))
    folder = data / "train"
    write_scene(folder / "images" / name, folder / "masks" / name, scene, **profile)


def other_bands(data):
    scene = draw_field(1, (SIDE, SIDE))
    add(data, "second.tif", scene._replace(bands=scene.bands[:4]))


def other_system(data):
    add(data, "second.tif", crs="EPSG:32634")


def rewrite_mask(data, change):
    """Replace the mask by what `change` makes of its values and its profile."""
    path = data / "train/masks/field.tif"
    with rasterio.open(path) as file:
        values, profile = file.read(1), file.profile
    values, profile = change(values, dict(profile))
    profile |= {"height": values.shape[0], "width": values.shape[1]}
    with rasterio.open(path, "w", **profile) as file:
        file.write(values, 1)


def mask_in_degrees(data):
    def change(values, profile):
        target = np.full((300, 300), 255, np.uint8)
        corners = rasterio.warp.transform_bounds(
            *(profile["crs"], "EPSG:4326"), *(LEFT, TOP - SIDE * PIXEL, LEFT + SIDE * PIXEL, TOP)
        )
        transform = rasterio.transform.from_bounds(*corners, 300, 300)
        reproject(
            *(values, target),
            src_transform=profile["transform"],
            src_crs=profile["crs"],
            dst_transform=transform,
            dst_crs="EPSG:4326",
            src_nodata=255,
            dst_nodata=255,
        )
        return target, profile | {"crs": "EPSG:4326", "transform": transform}

    rewrite_mask(data, change)


def half_mask(data):
    rewrite_mask(data, lambda values, profile: (values[: SIDE // 2], profile))


def coarse_mask(data):
    transform = from_origin(LEFT, TOP, 2 * PIXEL, 2 * PIXEL)
    rewrite_mask(data, lambda values, p: (values[::2, ::2], p | {"transform": transform}))


def mask_elsewhere(data):
    transform = from_origin(LEFT + 5000, TOP, PIXEL, PIXEL)
    rewrite_mask(data, lambda values, profile: (values, profile | {"transform": transform}))


def mask_in_another_zone(data):
    """The numbers of the coordinates agree, but the zone is the next one."""
    rewrite_mask(data, lambda values, profile: (values, profile | {"crs": "EPSG:32634"}))


def no_place(data):
    add(data, "field.tif", **NO_PLACE)


def image_without_a_system(data):
    scene = draw_field(0, (SIDE, SIDE))
    write_scene(data / "train/images/field.tif", None, scene, crs=None)
    half_mask(data)


def mask_without_a_place(data):
    rewrite_mask(data, lambda values, profile: (values[: SIDE // 2], profile | NO_PLACE))


def empty_raster(data):
    scene = draw_field(1, (SIDE, SIDE))
    add(data, "second.tif", scene._replace(bands=scene.bands * 0, mask=scene.mask * 0 + 255))


CASES = {
    # the case: None where it works, else the file that is named and words of the sentence
    other_bands: ("second.tif", "4 bands"),
    other_system: None,
    mask_in_degrees: None,
    half_mask: None,
    coarse_mask: None,
    mask_elsewhere: ("masks/field.tif", "5 km away"),
    mask_in_another_zone: ("masks/field.tif", "km away"),
    no_place: None,
    image_without_a_system: ("images/field.tif", "no coordinate reference system"),
    mask_without_a_place: ("masks/field.tif", "no coordinates"),
    empty_raster: None,
}


def output_of(words, capsys, caplog):
    """The exit status of a command, and what it says."""
    caplog.clear()
    try:
        status = main(words)
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    return status or 0, f"{said.out}\n{said.err}\n{caplog.text}"


@pytest.mark.parametrize(
    ("change", "refusal"), CASES.items(), ids=[case.__name__ for case in CASES]
)
def test_a_case_works_or_a_sentence_names_the_file(
    change, refusal, field, tmp_path, capsys, caplog
):
    caplog.set_level(logging.INFO, logger="semiseg")
    change(field)
    commands = (
        ["check", str(field), "--tile", "64"],
        ["train", str(field), "--out", str(tmp_path / "run"), "--labels", "all", *TRAINING],
    )
    for words in commands:
        status, said = output_of(words, capsys, caplog)
        assert "Traceback" not in said
        if refusal is None:
            assert status == 0, said
            continue
        assert status != 0, said
        name, reason = refusal
        sentences = " ".join(said.split()).split(". ")
        assert any(name in sentence and reason in sentence for sentence in sentences), said
    assert (tmp_path / "run" / "model.safetensors").is_file() == (refusal is None)
