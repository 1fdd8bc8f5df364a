"""What `predict` takes and what it writes."""

import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.cli import main
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.types import Prediction
from semiseg.data.formats.masks import Classes


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    sizes = {"a.jpg": (64, 48), "b.png": (33, 101), "deep/c.jpg": (60, 200)}
    for name, (width, height) in sizes.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def files_of(out):
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())


def values(path):
    with Image.open(path) as file:
        return np.array(file)


@pytest.mark.slow
def test_all_that_can_be_asked_for_is_written(css_release, photos, tmp_path):
    every = dict.fromkeys(["colors", "overlay", "probabilities", "confidence", "reliability"], True)
    out = tmp_path / "out"
    masks = semiseg.predict(css_release, photos, out=out, accelerator="cpu", **every).files
    assert [m.relative_to(out).as_posix() for m in masks] == ["a.png", "b.png", "deep/c.png"]
    kinds = {
        "colors": "png",
        "overlays": "jpg",
        "probabilities": "npz",
        "confidence": "png",
        "reliability": "png",
    }
    stems = ["a", "b", "deep/c"]
    assert files_of(out) == sorted(
        [f"{k}/{s}.{x}" for k, x in kinds.items() for s in stems] + [f"{s}.png" for s in stems]
    )
    model = semiseg.load(css_release, accelerator="cpu")
    prediction = model.predict(photos / "b.png", probabilities=True)
    mask = values(out / "b.png")
    np.testing.assert_array_equal(mask, prediction.mask)
    np.testing.assert_array_equal(
        values(out / "colors" / "b.png"), np.array(model.classes.colors, np.uint8)[mask]
    )
    confidence = values(out / "confidence" / "b.png")
    np.testing.assert_allclose(confidence / 255, prediction.confidence, atol=2e-3)
    red, green, blue = values(out / "reliability" / "b.png").transpose(2, 0, 1)
    np.testing.assert_array_equal(red, confidence)
    np.testing.assert_allclose(green / 255, prediction.similarity, atol=2e-3)
    np.testing.assert_array_equal(blue == 255, prediction.mask == prediction.nearest)
    with np.load(out / "probabilities" / "b.npz") as arrays:
        assert arrays["probabilities"].dtype == np.float16
        np.testing.assert_array_equal(arrays["probabilities"], prediction.probabilities)
        assert tuple(arrays["classes"]) == model.classes.names


@pytest.mark.parametrize("prior", [True, False])
def test_the_nearest_prototype_is_what_the_formula_says(css_release, tmp_path, prior):
    """Eq. 4 and 5 with the prior of the classes, at the picture's size, from the network's maps."""
    import torch

    from semiseg.model.prototypes import similarity
    from semiseg.model.release import load_release, save_release

    release = load_release(css_release)
    if not prior:  # an older model, or one of `--class-prior uniform`
        del release.tensors["similarity_prior"]
        save_release(tmp_path, release)
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        image = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
        output = release.network(image)
    near = similarity(output.representation, *(release.tensors[k] for k in ("prototypes", "seen")))
    if prior:
        near = near + release.tensors["similarity_prior"].view(1, -1, 1, 1)
    near = torch.nn.functional.interpolate(near, scale_factor=4, mode="bilinear")[0]
    folder = css_release if prior else tmp_path
    prediction = semiseg.load(folder, accelerator="cpu").predict(picture)
    assert (near.argmax(dim=0).numpy() == prediction.nearest).mean() > 0.999
    expected = (near / 0.1).softmax(dim=0).amax(dim=0).numpy()
    np.testing.assert_allclose(prediction.similarity, expected, atol=1e-3)
    assert 5 not in prediction.nearest


@pytest.mark.parametrize("way", ["file", "pattern", "deep pattern", "list"])
def test_images_are_named_in_several_ways(plain_release, photos, tmp_path, way, monkeypatch):
    out = tmp_path / "out"
    if way == "list":
        text = f"# chosen\na.jpg\n\n{os.path.relpath(photos / 'deep' / 'c.jpg', tmp_path)}\n"
        (photos / "list.txt").write_text(text)
        monkeypatch.chdir(tmp_path)
    images, expected = {
        "file": (photos / "deep" / "c.jpg", ["c.png"]),
        "pattern": (photos / "*.jpg", ["a.png"]),
        "deep pattern": (photos / "**" / "*.jpg", ["a.png", "deep/c.png"]),
        "list": (photos / "list.txt", ["a.png", "deep/c.png"]),
    }[way]
    semiseg.predict(plain_release, images, out=out, accelerator="cpu")
    assert files_of(out) == expected


@pytest.mark.parametrize("layout", ["tree", "flat", "voc"])
def test_masks_of_a_data_folder_are_no_images(plain_release, tiny_folder, tmp_path, log, layout):
    data = tmp_path / "data"
    if layout == "tree":
        shutil.copytree(tiny_folder, data)
    else:
        shutil.copytree(tiny_folder / "train", data)
    if layout == "voc":
        (data / "images").rename(data / "JPEGImages")
        (data / "masks").rename(data / "SegmentationClass")
        shutil.copytree(data / "SegmentationClass", data / "SegmentationObject")
    masks = next(p for p in data.rglob("*") if p.name in ("masks", "SegmentationClass"))
    (masks / "deep").mkdir()
    shutil.copy(next(masks.glob("*.png")), masks / "deep" / "of-no-image.png")
    (data / "costumes" / "masks").mkdir(parents=True)  # beside no images: photographs
    shutil.copy(next((tiny_folder / "unlabeled").iterdir()), data / "costumes" / "masks" / "a.png")
    (data / "more").mkdir()
    shutil.copy(next((tiny_folder / "unlabeled").iterdir()), data / "more" / "photo.png")
    shutil.copy(next(masks.glob("*.png")), data / "more" / "photo_mask.png")
    semiseg.predict(plain_release, data, out=tmp_path / "out", accelerator="cpu")
    files = files_of(tmp_path / "out")
    assert files
    assert not [name for name in files if "photo_mask" in name]
    assert {"more/photo.png", "costumes/masks/a.png"} <= set(files)
    files.remove("costumes/masks/a.png")
    assert not [name for name in files if "masks" in name or "Segmentation" in name]
    assert re.search(r"\d+ masks are ignored", log.text)
    semiseg.predict(plain_release, masks, out=tmp_path / "asked", accelerator="cpu")
    assert "deep/of-no-image.png" in files_of(tmp_path / "asked")  # who names them means them


def test_masks_beside_images_are_no_images(plain_release, tiny_folder, tmp_path, monkeypatch, log):
    photo = next((tiny_folder / "unlabeled").iterdir())
    apart, beside = tmp_path / "in" / "images", tmp_path / "in" / "flat"
    for folder in (apart, tmp_path / "in" / "masks", beside / "masks"):
        folder.mkdir(parents=True)
    for path in (
        *(apart / name for name in ("face.png", "face_mask.png")),  # the masks have a folder
        *(beside / name for name in ("e.png", "e_label.jpg")),  # no mask is a JPEG
        *(beside / name for name in ("a.png", "a_mask.png", "b_mask.png", "c.png", "c_gt.png")),
        *(beside / "masks" / name for name in ("c.png", "d.png")),
    ):
        shutil.copy(photo, path)
    (beside / "c_gt.json").write_text("{}")
    for name in ("run/split/x.png", "run/diagnostics/plane.png", "next/train/images/f.png"):
        (beside / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, beside / name)
    (beside / "run" / "config.yaml").touch()
    (beside / "next" / "suggested.csv").touch()
    semiseg.predict(plain_release, tmp_path / "in", out=tmp_path / "out", accelerator="cpu")
    expected = [f"flat/{name}.png" for name in ("a", "c", "c_gt", "e", "e_label", "masks/d")]
    assert files_of(tmp_path / "out") == [*expected, "images/face.png", "images/face_mask.png"]
    assert "3 pictures of runs and of suggest are ignored" in log.text
    monkeypatch.chdir(apart)
    semiseg.predict(plain_release, ".", out=tmp_path / "here", accelerator="cpu")
    assert files_of(tmp_path / "here") == ["face.png", "face_mask.png"]


def test_results_never_leave_the_output_folder(plain_release, photos, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "list.txt").write_text("../photos/a.jpg\n../photos/deep/../b.png\n")
    semiseg.predict(plain_release, lists / "list.txt", out=tmp_path / "out", accelerator="cpu")
    assert files_of(tmp_path / "out") == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("a.jpg\nnowhere.jpg\n", "line 2"), ("# nothing\n", "names no image")],
)
def test_a_list_that_does_not_fit_is_reported(plain_release, photos, tmp_path, content, message):
    (photos / "list.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        semiseg.predict(plain_release, photos / "list.txt", out=tmp_path / "out")


def test_images_that_differ_in_their_suffix_keep_it(plain_release, tmp_path):
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (64, 48)).save(tmp_path / name)
    semiseg.predict(plain_release, tmp_path, out=tmp_path / "out", accelerator="cpu")
    assert files_of(tmp_path / "out") == ["a.jpg.png", "a.png.png"]


def test_results_of_two_images_never_share_a_file(plain_release, tmp_path):
    for name in ("x.jpg", "colors/x.jpg"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (64, 48)).save(tmp_path / "in" / name)
    with pytest.raises(DataError, match="would have the same name"):
        semiseg.predict(plain_release, tmp_path / "in", out=tmp_path / "out", colors=True)


@pytest.mark.slow
def test_what_is_there_is_passed_over_unless_more_is_asked_for(
    plain_release, photos, tmp_path, log
):
    def predict(**more):
        masks = semiseg.predict(plain_release, photos, out=out, accelerator="cpu", **more)
        return [m.name for m in masks.files]

    out = tmp_path / "out"
    assert len(predict()) == 3
    assert predict() == []
    (out / "b.png").unlink()
    assert predict() == ["b.png"]
    (out / "a.png").write_bytes(b"corrected by hand")
    assert predict(confidence=True) == []
    assert "3 images lacked some files" in log.text
    assert (out / "a.png").read_bytes() == b"corrected by hand"
    assert len(list((out / "confidence").iterdir())) == 3
    assert predict(confidence=True) == []
    (out / "a.png").write_bytes(b"old")
    assert len(predict(overwrite=True)) == 3
    assert values(out / "a.png").shape == (48, 64)


def test_broken_images_stop_no_others_and_are_reported_at_the_end(
    plain_release, photos, tmp_path, capsys
):
    (photos / "a0.png").write_bytes(b"no image")
    (photos / "z.jpg").write_bytes((photos / "a.jpg").read_bytes()[:300])
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(plain_release), str(photos), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert "2 of 5" in message
    assert "a0.png" in message
    assert "z.jpg" in message
    assert files_of(tmp_path / "out") == ["a.png", "b.png", "deep/c.png"]


@pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0])
def test_abstaining_leaves_out_doubt_and_disagreement(css_release, photos, tmp_path, threshold):
    out = tmp_path / "out"
    semiseg.predict(css_release, photos, out=out, abstain=threshold, accelerator="cpu")
    prediction = semiseg.load(css_release, accelerator="cpu").predict(photos / "a.jpg")
    expected = prediction.mask.copy()
    expected[(prediction.confidence < threshold) | (prediction.nearest != prediction.mask)] = 255
    np.testing.assert_array_equal(values(out / "a.png"), expected)
    assert (expected == 255).any()


def test_without_prototypes_confidence_alone_decides():
    mask, confidence = np.array([[0, 1]], np.uint8), np.array([[0.4, 0.6]], np.float32)
    assert Prediction(mask, confidence).doubtful(0.5).tolist() == [[True, False]]
    other = Prediction(mask, confidence, nearest=np.array([[0, 2]], np.uint8))
    assert other.doubtful(0.5).tolist() == [[True, True]]


def test_reliability_needs_prototypes_and_says_so(plain_release, photos, tmp_path):
    with pytest.raises(ConfigError, match=r"no prototypes.*supervised"):
        semiseg.predict(plain_release, photos, out=tmp_path / "out", reliability=True)
    assert not (tmp_path / "out").exists()


def test_abstaining_needs_a_value_that_is_no_class(photos, tmp_path):
    from semiseg.model.metadata import ModelMetadata
    from semiseg.model.network import Network
    from semiseg.model.release import Release, save_release

    classes = Classes(("no", "yes"), ((0, 0, 0), (255, 255, 255)), "ids", (0, 255), ())
    network = Network(2, "lcnet_035", "fpn", weights="none")
    metadata = ModelMetadata(network=network.spec, classes=classes, size=48)
    save_release(tmp_path, Release(network, {}, metadata))
    for threshold, message in ((0.5, "class yes"), (1.5, "from 0 to 1")):
        with pytest.raises(ConfigError, match=message):
            semiseg.predict(tmp_path, photos, out=tmp_path / "out", abstain=threshold)


def test_views_are_averaged_on_demand(css_release, photos):
    model = semiseg.load(css_release, accelerator="cpu")
    plain = model.predict(photos / "a.jpg")
    averaged = model.predict(photos / "a.jpg", tta=True, probabilities=True)
    assert averaged.mask.shape == plain.mask.shape
    assert not np.array_equal(averaged.confidence, plain.confidence)
    total = averaged.probabilities.astype(float).sum(axis=0)
    np.testing.assert_allclose(total, 1, atol=2e-3)


def test_a_long_image_goes_through_in_windows(css_release, monkeypatch):
    model = semiseg.load(css_release, accelerator="cpu")
    shapes = []
    inner = model.segment.forward

    def forward(images):
        shapes.append(images.shape)
        return inner(images)

    model.segment.forward = forward
    prediction = model.predict(np.zeros((100, 900, 3), np.uint8))
    assert prediction.mask.shape == (100, 900)
    assert len(shapes) > 2
    assert max(shape[-1] for shape in shapes) <= 128


def test_an_overlay_is_bare_where_it_would_only_darken():
    """Ignored pixels, and a class drawn in black; also where they touch another class."""
    from semiseg.plots.overlay import overlay

    colors = ((0, 0, 0), (200, 0, 100))
    image = Image.new("RGB", (7, 1), (100, 60, 20))
    pixels = np.array(overlay(image, np.array([[0, 0, 1, 1, 1, 255, 255]], np.uint8), colors))
    assert (pixels[0, [0, 1, 5, 6]] == (100, 60, 20)).all()


def test_an_overlay_shows_the_image_inside_of_contours():
    from semiseg.plots.overlay import contours, overlay

    mask = np.zeros((12, 14), np.uint8)
    mask[2:9, 3:] = 1
    mask[5, 6] = 255
    colors = ((0, 0, 0), (250, 0, 0))
    pixels = np.array(overlay(Image.new("RGB", (14, 12), (100, 60, 20)), mask, colors))
    line = contours(mask)
    inside = (mask == 1) & ~line
    # The border, the right edge of the image not, and the neighbors of the ignored pixel
    assert line[2:9, 3].all()
    assert line[[5, 5, 4, 6], [5, 7, 6, 6]].all()
    assert not line[4, 12:].any()
    assert inside.sum() > 20
    assert abs(pixels[inside].astype(int) - (137, 45, 15)).max() <= 1  # a quarter of the color
    assert (pixels[line & (mask == 1)][:, 0] > 220).all()
    assert (pixels[mask != 1] == (100, 60, 20)).all()


def test_contours_are_as_wide_as_asked_on_both_sides():
    from semiseg.plots.overlay import contours

    mask = np.zeros((1, 20), np.uint8)
    mask[:, 10:] = 3
    assert [np.flatnonzero(contours(mask, width)).tolist() for width in (1, 3)] == [
        [9, 10],
        [*range(7, 13)],
    ]
