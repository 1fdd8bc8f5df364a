"""Strangers' folders through the real command line: each shape trains, each mistake is told."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.cli import main
from semiseg.core.reading import Reading
from semiseg.core.rng import Key
from semiseg.data.formats.images import read_image
from semiseg.scenes.draw import COLORS, NAMES, draw_scene

TINY = [
    *("--method", "supervised", "--weights", "none", "--crop", "32", "--batch", "2"),
    *("--steps", "1", "--validations", "1", "--workers", "0", "--accelerator", "cpu"),
    *("--encoder", "lcnet_035"),
]
SCENES = [draw_scene(Key.of(3, i), (48, 64), every_class=True) for i in range(4)]


def run(*words):
    main([str(w) for w in words])


@pytest.fixture(autouse=True)
def cache_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def save(array, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def save_palette(mask, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask)
    image.putpalette(np.array(COLORS, dtype=np.uint8).tobytes())
    image.save(path)


def flat(root):
    for i, (image, mask) in enumerate(SCENES):
        save(image, root / "images" / f"{i}.jpg")
        save_palette(mask, root / "masks" / f"{i}_mask.png")
    save(SCENES[0][0][::-1], root / "unlabeled" / "x.jpg")


def nested(root):
    for i, (image, mask) in enumerate(SCENES):
        split = "val" if i == 3 else "train"
        save(image, root / split / "images" / f"field{i % 2}" / f"{i}.webp")
        save(mask, root / split / "masks" / f"field{i % 2}" / f"{i}.png")


def listed(root):
    for i, (image, mask) in enumerate(SCENES):
        save(image, root / "photos" / f"{i}.bmp")
        save(mask, root / "truth" / f"t{i}.png")
    lines = [f"photos/{i}.bmp truth/t{i}.png" for i in range(4)]
    (root / "train.txt").write_text("\r\n".join(lines[:3]))
    (root / "val.txt").write_text(lines[3])


def labelme(root):
    for i, (image, _) in enumerate(SCENES):
        save(image, root / "images" / f"{i}.png")
        shapes = [
            {"label": label, "shape_type": "polygon", "points": [[x, 4], [x + 20, 6], [x + 9, 40]]}
            for label, x in (("crop", 3), ("weed", 30))
        ]
        about = {"imageWidth": 64, "imageHeight": 48, "imagePath": f"{i}.png", "shapes": shapes}
        (root / "images" / f"{i}.json").write_text(json.dumps(about))


def cvat(root):
    colors = np.array(COLORS, dtype=np.uint8)
    for i, (image, mask) in enumerate(SCENES):
        save(image, root / "JPEGImages" / f"{i}.jpg")
        save(colors[mask], root / "SegmentationClass" / f"{i}.png")
    names_and_colors = zip(NAMES, COLORS, strict=True)
    lines = [
        "# label:color_rgb:parts:actions",
        *(f"{n}:{r},{g},{b}::" for n, (r, g, b) in names_and_colors),
    ]
    (root / "labelmap.txt").write_text("\n".join(lines))


def sixteen_bits(root):
    for i, (image, mask) in enumerate(SCENES):
        gray = image.mean(axis=2).astype(np.uint16) * 257
        save(gray, root / "images" / f"{i}.tif")
        save(mask, root / "masks" / f"{i}.png")


def mixed_kinds(root):
    """RGBA, gray, RGB and a photograph lying on its side, of three sizes."""
    (image, mask), (gray, second), (plain, third), (turned, fourth) = SCENES
    opaque = np.full((*mask.shape, 1), 255, dtype=np.uint8)
    save(np.concatenate([image, opaque], axis=2), root / "images" / "a.png")
    save(mask, root / "masks" / "a.png")
    save(gray.mean(axis=2).astype(np.uint8)[:40], root / "images" / "b.jpg")
    save(second[:40], root / "masks" / "b_gt.png")
    save(plain[:, :50], root / "images" / "c.jpg")
    save(third[:, :50], root / "masks" / "c_label.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: 90 degrees to the right
    save(np.rot90(turned), root / "images" / "d.jpg", exif=exif)
    save(fourth, root / "masks" / "d.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape",
    [
        *(cvat, sixteen_bits, mixed_kinds),
        *(pytest.param(f, marks=pytest.mark.variants) for f in (flat, nested, listed, labelme)),
    ],
    ids=lambda f: f.__name__,
)
def test_each_shape_is_checked_trained_scored_and_predicted(capsys, root, tmp_path, shape):
    shape(root)
    run("check", root)  # an error would exit with 1
    capsys.readouterr()
    run("train", root, "--out", tmp_path / "run", *TINY)
    run("evaluate", tmp_path / "run", root, "--json", "--accelerator", "cpu")
    scores = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert scores["images"] >= 1
    expected = {labelme: {"_background_", "crop", "weed"}, cvat: set(NAMES)}
    if shape in expected:
        assert set(scores["per_class"]) == expected[shape]
    else:
        assert len(scores["per_class"]) == len(NAMES)
    folder = next(
        f for f in ("images", "train/images", "photos", "JPEGImages") if (root / f).is_dir()
    )
    run("predict", tmp_path / "run", root / folder, "--out", tmp_path / "masks")
    assert len(list((tmp_path / "masks").rglob("*.png"))) >= 3


@pytest.mark.slow
def test_the_held_out_images_are_reported_where_val_is_missing(capsys, root, tmp_path):
    flat(root)
    run("train", root, "--out", tmp_path / "run", *TINY)
    assert "1 of 4 labeled images are held out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_range_of_values_reaches_the_model(capsys, root, tmp_path):
    for i, (image, mask) in enumerate(SCENES):
        save(image.mean(axis=2).astype(np.float32) * 16, root / "images" / f"{i}.tif")
        save(mask, root / "masks" / f"{i}.png")
    run("check", root)
    assert "--range=" in capsys.readouterr().out  # the span of the values
    run("train", root, "--out", tmp_path / "run", "--range", "0,4095", *TINY)
    about = json.loads((tmp_path / "run" / "model.json").read_text())
    assert about["range"] == [0, 4095]
    run("evaluate", tmp_path / "run", root, "--accelerator", "cpu")
    run("predict", tmp_path / "run", root / "images", "--out", tmp_path / "masks")
    # Pictures of the same scenes in 8 bits give the same masks: the range was applied.
    pixels = read_image(root / "images" / "0.tif", Reading((0, 4095)))
    ours = semiseg.load(tmp_path / "run", "cpu").predict(pixels).mask
    np.testing.assert_array_equal(ours, np.array(Image.open(tmp_path / "masks" / "0.png")))


def no_masks(root):
    shutil.rmtree(root / "train" / "masks")
    return "mask"


def no_images(root):
    shutil.rmtree(root / "train")
    return "train"


def cut_off_image(root):
    path = next((root / "val" / "images").iterdir())
    path.write_bytes(path.read_bytes()[:400])
    return path.name


def cut_off_mask(root):
    path = next((root / "val" / "masks").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    return path.name


def another_size(root):
    path = next((root / "train" / "masks").iterdir())
    save(np.zeros((20, 30), dtype=np.uint8), path)
    return path.name


def id_beyond_the_classes(root):
    path = next((root / "train" / "masks").iterdir())
    mask = np.array(Image.open(path))
    mask[0, 0] = 77
    save(mask, path)
    return "77"


def resized_masks(root):
    path = next((root / "train" / "masks").iterdir())
    colors = np.array(COLORS, dtype=np.uint8)[np.array(Image.open(path))]
    path.unlink()
    save(colors, path.with_suffix(".jpg"))
    return "JPEG"


@pytest.mark.parametrize(
    "spoil",
    [
        no_masks,
        no_images,
        cut_off_image,
        cut_off_mask,
        another_size,
        id_beyond_the_classes,
        resized_masks,
    ],
    ids=lambda f: f.__name__,
)
def test_each_mistake_is_one_sentence_before_anything_is_written(
    capsys, tiny_folder, root, tmp_path, spoil
):
    shutil.copytree(tiny_folder, root)
    expected = spoil(root)
    with pytest.raises(SystemExit) as stop:
        run("train", root, "--out", tmp_path / "run", *TINY)
    message = capsys.readouterr().err
    assert stop.value.code == 2, message
    assert expected in message
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit) as stop:
        run("check", root)
    assert stop.value.code == 1
    assert expected in capsys.readouterr().out


def test_check_as_json_and_as_a_picture(capsys, tiny_folder, tmp_path):
    run("check", tiny_folder, "--json", "--picture", tmp_path / "grid.png")
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["counts"]["train"]["labeled"] == 4
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.width > 64
