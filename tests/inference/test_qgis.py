"""ONNX files for QGIS: the programs that run them give the labels of `predict`."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from drawn_rasters import COLORS, NAMES, draw_field, write_scene
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter, median_filter

import semiseg
from semiseg.cli import main
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.data.formats.ground import GroundResolution
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import Classes
from semiseg.inference.qgis import tile_of, tiling_of, write_qgis
from semiseg.model.metadata import ModelMetadata
from semiseg.model.network import Network
from semiseg.model.release import Release, save_release

SIZE, CROP = 64, 64  # pixels of the training; a window has two crops
RANGE = (200.0, 3000.0)  # of the deep rasters
LOW, SPAN = np.array([0, 100, -1]), np.array([1, 2, 2 / 255])  # of three bands, for 0 and for 1
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def scene():
    return draw_field(0, (300, 260))


@pytest.fixture(scope="module")
def pixels(scene):
    """A picture `(H, W, 3)` in which the colors tell the classes apart."""
    colors = scene.bands[[4, 2, 1]].astype(np.float32) / np.array([4000, 1800, 1800])[:, None, None]
    smooth = gaussian_filter(colors, (0, 2, 2))
    return (255 * smooth).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


class Blocks(torch.nn.Module):
    """The mean color of each cell of 4 x 4 pixels, in the place of a decoder."""

    def forward(self, maps):
        return torch.nn.functional.avg_pool2d(maps[0], 4)


class Colors(torch.nn.Module):
    """The image itself, in the place of an encoder."""

    def forward(self, image):
        return [image]


def nearest_color(pixels, mask):
    """A network that gives a cell of 4 x 4 pixels `(H, W, N)` the class of the nearest color."""
    channels = pixels.shape[2]
    network = Network(len(NAMES), "lcnet_035", "fpn", "none", channels=channels).eval()
    network.set_crop(CROP)
    network.encoder, network.decoder = Colors(), Blocks()
    network.logit_head = torch.nn.Conv2d(channels, len(NAMES), 1)
    with torch.no_grad():
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
        colors = ((image - network.mean) / network.std)[0]
        means = torch.stack([colors[:, mask == i].mean(dim=1) for i in range(len(NAMES))])
        network.logit_head.weight.copy_(10 * means[..., None, None])
        network.logit_head.bias.copy_(-5 * means.square().sum(dim=1))
    return network


@pytest.fixture(scope="module")
def network(scene, pixels):
    return nearest_color(pixels, scene.mask)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a network of random weights."""
    network = Network(len(NAMES), "lcnet_035", "auto", "none").eval()
    network.set_crop(CROP)
    folder = tmp_path_factory.mktemp("qgis") / "run"
    return write_run(folder, release_of(network, 1.5 * SIZE))


def release_of(network, side=SIZE, reading=AS_STORED):
    classes = Classes(NAMES, COLORS, "ids", tuple(range(len(NAMES))))
    metadata = ModelMetadata(
        network=network.spec,
        classes=classes,
        size=SIZE,
        side=side,
        reading=reading,
        ground_resolution=GroundResolution(0.1, "meter"),
    )
    return Release(network, {}, metadata)


def write_run(folder, release):
    folder.mkdir(exist_ok=True)
    save_release(folder, release)
    return folder


def write_tiff(path, pixels):
    height, width, count = pixels.shape
    with rasterio.open(
        *(path, "w"),
        driver="GTiff",
        width=width,
        height=height,
        count=count,
        dtype=pixels.dtype,
        crs="EPSG:32633",
        transform=from_origin(500_000, 5_800_000, 0.1, 0.1),
        photometric="RGB",
    ) as file:
        file.write(np.moveaxis(pixels, 2, 0))
    return path


def deep(pixels):
    """The pixels of a raster of 16 bits that is read as this one of 8 bits."""
    low, high = RANGE
    return (low + pixels * ((high - low) / 255)).round().astype(np.uint16)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "step", "is_deep"), [(SIZE, 1, True), (1.5 * SIZE, 1, False), (2.5 * SIZE, 2, False)]
)
def test_geodeep_gives_the_labels_of_predict(side, step, is_deep, network, pixels, tmp_path):
    """The raster has the scale of the training, which the network sees at 1, 1/1.5, 1/2.5."""
    geodeep = pytest.importorskip("geodeep")
    release = release_of(network, side, Reading(RANGE) if is_deep else AS_STORED)
    raster = write_tiff(tmp_path / "field.tif", deep(pixels) if is_deep else pixels)
    write_qgis(release, tmp_path / "model.onnx")
    labels = geodeep.segment(str(raster), str(tmp_path / "model.onnx"), output_type="raw")
    expected = semiseg.Model(release).predict(raster).mask
    assert np.bincount(expected.ravel()).max() < 0.7 * expected.size
    # GeoDeep smooths the labels, and keeps one pixel for `step` ones.
    expected = median_filter(expected[step // 2 :: step, step // 2 :: step], 5)
    assert labels.shape == expected.shape
    inside = slice(8, -8)
    agreement = (labels == expected)[inside, inside].mean()
    assert agreement >= 0.98, agreement


@pytest.mark.exports
def test_the_file_says_what_the_programs_ask_for(run, pixels, tmp_path, log):
    path = semiseg.export(run, out=tmp_path / "a.onnx", file_format="qgis").path
    assert [file.name for file in tmp_path.iterdir()] == ["a.onnx"]
    assert "a tile has 192 x 192 pixels of 10 cm" in log.text
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (image.type, image.shape) == ("tensor(float)", [1, 3, 192, 192])
    assert probabilities.shape == [1, len(NAMES), 192, 192]
    about = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert about == {
        "model_type": "Segmentor",
        "class_names": {str(i): name for i, name in enumerate(NAMES)},
        "resolution": 10,
        "tiles_size": 192,
        "tile_size": 192,
        "tiles_overlap": 25,
        "seg_thresh": 0,
        "seg_small_segment": 0,
    }
    # Deepness runs onnxruntime 1.17 at most, which reads these versions.
    model = onnx.load(path)
    assert model.ir_version <= 9
    assert max(o.version for o in model.opset_import) <= 20
    tile = pixels[:192, :192].transpose(2, 0, 1)[None] / np.float32(255)
    (result,) = session.run(None, {image.name: tile})
    np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-5)
    with pytest.raises(RunError, match=r"is for QGIS.*--format onnx"):
        semiseg.load(path)


def labels_of(tile, values):
    """What Deepness makes of the values `(side, side, N)` of a raster of any type."""
    with torch.no_grad():
        scores = tile(torch.from_numpy(values.astype(np.float32) / 255).permute(2, 0, 1)[None])
    return scores[0].argmax(dim=0).numpy()


@pytest.mark.parametrize(
    ("reading", "values"),
    [
        (AS_STORED, lambda pixels: pixels),
        (AS_STORED, lambda pixels: pixels.astype(np.uint16) * 257),
        (Reading(RANGE), deep),
        (Reading((0.0, 1.0)), lambda pixels: pixels / 255),
        (Reading(ranges=((0, 255), (100, 610), (-1, 1))), lambda pixels: pixels * SPAN + LOW),
    ],
)
def test_deepness_divides_all_values_by_255(reading, values, network, pixels):
    tile = tile_of(release_of(network, reading=reading))
    part = pixels[: tile.tiling.side, : tile.tiling.side]
    expected = semiseg.Model(release_of(network)).predict(part, scale=1.0).mask
    assert (labels_of(tile, values(part)) == expected).mean() > 0.998


def test_a_tile_is_read_as_the_file(network, pixels, tmp_path):
    """No-data and not-a-number are black, as values below the range are."""
    reading = Reading((0.0, 1.0), (1, 2, 3))
    release = release_of(network, reading=reading)
    tile = tile_of(release)
    raster = pixels[: tile.tiling.side, : tile.tiling.side].astype(np.float32) / 255
    raster[:40], raster[:, :30] = np.nan, -9999
    image = read_image(write_tiff(tmp_path / "a.tif", raster), reading)
    expected = semiseg.Model(release).predict(image, scale=1.0).mask
    assert (labels_of(tile, raster) == expected).mean() > 0.998


@pytest.mark.slow
def test_six_bands_of_16_bits_are_read_by_the_range_of_each(scene, tmp_path):
    """GeoDeep takes three bands only, so Deepness alone runs such a file."""
    reading = Reading(
        bands=tuple(range(1, 7)), ranges=tuple((100.0, 500.0 * band) for band in range(3, 9))
    )
    scene = scene._replace(bands=gaussian_filter(scene.bands, (0, 2, 2)))
    write_scene(tmp_path / "field.tif", None, scene)
    read = np.array(read_image(tmp_path / "field.tif", reading))
    assert read.shape == (300, 260, 6)
    release = release_of(nearest_color(read, scene.mask), 1.5 * SIZE, reading)
    write_qgis(release, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].shape == [1, 6, 192, 192]
    tile = scene.bands[None, :, :192, :192] / np.float32(255)  # as Deepness gives it
    labels = session.run(None, {"image": tile})[0][0].argmax(axis=0)
    expected = semiseg.Model(release).predict(tmp_path / "field.tif").mask[:192, :192]
    assert np.bincount(expected.ravel()).max() < 0.7 * expected.size
    agreement = (labels == expected)[4:-4, 4:-4].mean()
    assert agreement >= 0.98, agreement


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        (64, 64.0, (128, 10.0)),  # the network sees the raster as it is
        (64, 96.0, (192, 10.0)),  # the graph shrinks the tile
        (64, 128.0, (128, 20.0)),  # the program shrinks the raster
        (64, 160.0, (160, 20.0)),  # both do
        (64, 32.0, (64, 10.0)),  # the graph enlarges the tile
    ],
)
def test_programs_shrink_by_whole_numbers_and_the_graph_does_the_rest(
    size, side, expected, network
):
    metadata = replace(release_of(network, side).metadata, size=size)
    tiling = tiling_of(metadata, 128)
    assert (tiling.side, tiling.resolution) == expected
    # What the network sees of a meter on the ground is what it saw in the training.
    ours = tiling.inner / (tiling.side * tiling.resolution / 100)
    assert ours == pytest.approx(size / side / 0.1)


def test_a_model_without_a_ground_resolution_is_refused(network, tmp_path):
    release = release_of(network)
    for ground in (None, GroundResolution(1e-5, "degree"), GroundResolution(1, "unknown")):
        metadata = replace(release.metadata, ground_resolution=ground)
        with pytest.raises(ConfigError, match=r"--ground-resolution 0\.1"):
            tile_of(release._replace(metadata=metadata))
    with pytest.raises(ConfigError, match="earlier version"):
        tile_of(release._replace(metadata=replace(release.metadata, side=None)))
    bare = release._replace(metadata=replace(release.metadata, ground_resolution=None))
    with pytest.raises(ConfigError, match="ground resolution"):
        write_qgis(bare, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.exports
def test_the_flag_replaces_the_ground_resolution(run, tmp_path):
    words = ["--format", "qgis", "--out", str(tmp_path), "--ground-resolution"]
    main(["export", str(run), *words, "0.03"])
    about = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert about["resolution"] == "3.0"
    with pytest.raises(ConfigError, match="--ground-resolution"):
        semiseg.export(run, out=tmp_path, file_format="qgis", ground_resolution=-1)
