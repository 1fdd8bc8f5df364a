"""A model as a function of CVAT: what CVAT's package gets, by value."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from semiseg.core.types import Prediction
from semiseg.data.formats.masks import Classes, default_color
from semiseg.data.formats.regions import fill
from semiseg.data.formats.run_length import runs_to_pixels
from semiseg.inference.cvat_function import CvatFunction, create

CLASSES = Classes(
    ("background", "forêt", "Ab"), tuple(map(default_color, range(3))), "ids", (0, 1, 2)
)


def fake_api():
    """The names of `cvat_sdk.auto_annotation` that a function needs, with their signatures."""
    api = ModuleType("cvat_sdk.auto_annotation")

    def label_spec(name, id, **more):
        return SimpleNamespace(name=name, id=id, **more)

    def shape(kind):
        def build(label_id, points, **more):
            values = {"label_id": label_id, "points": points, "frame": 0, "type": kind}
            return SimpleNamespace(**values, **more)

        return build

    def specify(*, labels):
        return SimpleNamespace(labels=labels)

    api.label_spec, api.DetectionFunctionSpec = label_spec, specify
    api.mask, api.polygon = shape("mask"), shape("polygon")
    return api


IS_INSTALLED = importlib.util.find_spec("cvat_sdk") is not None


@pytest.fixture(params=["double", "real"] if IS_INSTALLED else ["double"])
def _api(request, monkeypatch):
    """A double of CVAT's package, and the package where it is installed."""
    if request.param == "double":
        monkeypatch.setitem(sys.modules, "cvat_sdk", ModuleType("cvat_sdk"))
        monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", fake_api())


def scene():
    """A ring around background, in which a thing lies, and a speck in a corner."""
    mask = np.zeros((40, 60), np.uint8)
    mask[5:35, 10:50] = 1
    mask[12:28, 20:40] = 0
    mask[16:22, 25:33] = 2
    mask[39, 59] = 2
    return mask


def function_of(mask, confidence=None):
    """The function of a model that predicts a mask."""
    sure = np.ones(mask.shape, np.float32) if confidence is None else confidence
    model = SimpleNamespace(classes=CLASSES, predict=lambda image: Prediction(mask, sure))
    return CvatFunction(model)


def ask(threshold=None, polygons=False):
    return SimpleNamespace(frame_name="a.jpg", conf_threshold=threshold, conv_mask_to_poly=polygons)


def drawn(shapes, size):
    """The shapes drawn in their order, as CVAT shows them."""
    mask = np.zeros(size, np.uint8)
    for shape in shapes:
        *runs, left, top, right, bottom = map(int, shape.points)
        inside = runs_to_pixels(runs, right - left + 1, bottom - top + 1)
        mask[top : bottom + 1, left : right + 1][inside] = shape.label_id
    return mask


IMAGE = Image.new("RGB", (60, 40))


@pytest.mark.usefixtures("_api")
def test_the_labels_are_the_classes_without_the_background():
    labels = function_of(scene()).spec.labels
    assert [(label.name, label.id, str(label.type)) for label in labels] == [
        ("forêt", 1, "mask"),
        ("Ab", 2, "mask"),
    ]


@pytest.mark.usefixtures("_api")
def test_masks_are_the_prediction_pixel_by_pixel():
    shapes = function_of(scene()).detect(ask(), IMAGE)
    assert [(shape.label_id, str(shape.type), shape.frame) for shape in shapes] == [
        (1, "mask", 0),
        (2, "mask", 0),
        (2, "mask", 0),
    ]
    np.testing.assert_array_equal(drawn(shapes, (40, 60)), scene())
    assert [*map(int, shapes[1].points)] == [0, 48, 25, 16, 32, 21]


@pytest.mark.usefixtures("_api")
def test_pixels_below_the_threshold_are_left_out():
    confidence = np.full((40, 60), 0.6, np.float32)
    confidence[:, 30:] = 0.9
    shapes = function_of(scene(), confidence).detect(ask(0.8), IMAGE)
    expected = scene()
    expected[:, :30] = 0
    np.testing.assert_array_equal(drawn(shapes, (40, 60)), expected)
    assert {shape.label_id for shape in shapes} == {1, 2}


@pytest.mark.usefixtures("_api")
def test_polygons_run_along_the_edges_of_pixels_and_have_no_holes():
    shapes = function_of(scene()).detect(ask(polygons=True), IMAGE)
    assert [(shape.label_id, str(shape.type)) for shape in shapes] == [
        (1, "polygon"),
        (2, "polygon"),
    ]
    outer = np.reshape(shapes[0].points, (-1, 2))
    np.testing.assert_allclose((outer.min(0), outer.max(0)), ((10, 5), (50, 35)))
    filled = scene()
    filled[5:35, 10:50] = 1
    np.testing.assert_array_equal(fill(outer, 60, 40), filled == 1)
    inner = np.reshape(shapes[1].points, (-1, 2))
    expected = scene() == 2
    expected[39, 59] = False
    np.testing.assert_array_equal(fill(inner, 60, 40), expected)


@pytest.mark.slow
@pytest.mark.usefixtures("_api")
def test_the_function_loads_a_run_and_predicts_as_it_does(css_release, tiny_folder):
    import semiseg

    function = create(str(css_release), accelerator="cpu")
    path = next((tiny_folder / "unlabeled").iterdir())
    with Image.open(path) as image:
        shapes = function.detect(ask(), image)
    model = semiseg.load(css_release, accelerator="cpu")
    expected = model.predict(path).mask
    np.testing.assert_array_equal(drawn(shapes, expected.shape), expected)
    assert sum(map(sum, (shape.points[:-4] for shape in shapes))) >= expected.size  # no background


@pytest.mark.skipif(not IS_INSTALLED, reason="cvat-sdk is not installed")
@pytest.mark.parametrize("polygons", [False, True])
def test_cvat_s_own_driver_accepts_the_shapes(polygons):
    from cvat_sdk import models
    from cvat_sdk.auto_annotation import driver

    function = function_of(scene())
    spec = [models.Label(name=name, type="any") for name in ("Ab", "other", "forêt")]
    for number, label in enumerate(spec, 10):
        label._data_store["id"] = number
        label._data_store["sublabels"], label._data_store["attributes"] = [], []
    mapper = driver._AnnotationMapper(
        None,
        function.spec.labels,
        spec,
        allow_unmatched_labels=False,
        conv_mask_to_poly=polygons,
    )
    shapes = function.detect(ask(polygons=polygons), IMAGE)
    tags, mapped = mapper.validate_and_remap(shapes, 7)
    assert not tags
    assert {shape.label_id for shape in mapped} == {10, 12}
    assert {shape.frame for shape in mapped} == {7}
