"""Whatever comes in from outside is read rightly, or refused in a sentence that names the file.

The cases are drawn from seeds, the same ones each time. `SEMISEG_BAD_INPUT=50` draws fifty times as
many, and others each time.
"""

import io
import json
import os
import random
import shutil
import signal
import struct
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from semiseg.cli import main
from semiseg.commands.check import check
from semiseg.commands.split import split as write_split
from semiseg.config.data import DataConfig
from semiseg.config.train import TrainConfig
from semiseg.core.errors import SemisegError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.rng import Key
from semiseg.core.types import Sample
from semiseg.data.classes.named_classes import read_classes
from semiseg.data.datasets import DATASETS
from semiseg.data.formats.codes import read_codes, scan_mask
from semiseg.data.formats.images import image_size, read_image, read_valid
from semiseg.data.formats.labelme import read_shapes
from semiseg.data.image_lists import list_hash, read_list
from semiseg.data.image_scan import scan_image
from semiseg.data.layouts.lists import VocLayout, listed_samples
from semiseg.data.reader import load_dataset
from semiseg.data.splits import make_split
from semiseg.data.tree import Tree, list_files
from semiseg.inference.load import load
from semiseg.inference.sources import find_images
from semiseg.reporting.report import report
from semiseg.training import run_folder
from semiseg.training.batches import TrainingBatches, TrainingImages, Views
from semiseg.training.data import read_folder
from semiseg.training.run_data import held_out, samples_of, scored_samples

MORE = int(os.environ.get("SEMISEG_BAD_INPUT", "0"))
WIDTH, HEIGHT = 24, 18
STRIPES = np.repeat(np.arange(3, dtype=np.uint8), WIDTH // 3)[None].repeat(HEIGHT, axis=0)

# Pillow warns of large images and of odd metadata.
pytestmark = pytest.mark.filterwarnings("ignore")


def cases(count):
    """Calls the test with as many seeds."""
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    profile = settings(
        max_examples=count * max(1, MORE),
        derandomize=not MORE,
        deadline=None,
        database=None,
        suppress_health_check=quiet,
        phases=[Phase.generate],  # a smaller seed is no smaller case
    )
    return lambda test: profile(given(seed=st.integers(0, 2**48 - 1))(test))


@contextmanager
def no_waiting():
    """Fails instead of waiting for ever; on a busy machine all may take long."""

    def stop(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 300)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(action, *names):
    """What it gives; None where it was refused by a sentence that names one of the files."""
    with no_waiting():
        try:
            return action()
        except SemisegError as error:
            message = str(error)
    assert any(str(name) in message for name in names), message
    assert "Traceback" not in message
    assert len(message) < 20_000, message
    return None


# --- single files


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def _zoo():
    """Files of many kinds, by their names; some are none that are read."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgb = Image.fromarray(np.stack([y * 14, x * 10, (x + y) * 6], -1).astype(np.uint8))
    gray, ids = rgb.convert("L"), Image.fromarray(STRIPES)
    palette = ids.copy()
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    deep = Image.fromarray(STRIPES.astype(np.uint16) * 9000)
    mirrored = rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    several = {"save_all": True, "append_images": [mirrored, rgb]}
    models = {
        "rgb": (rgb, ("PNG", "JPEG", "TIFF", "WEBP", "BMP")),
        "gray": (gray, ("PNG", "JPEG", "TIFF", "BMP")),
        "ids": (ids, ("PNG", "TIFF", "BMP")),
        "palette": (palette, ("PNG", "TIFF", "BMP", "GIF")),
        "binary": (Image.fromarray(STRIPES > 0), ("PNG", "TIFF", "BMP")),
        "deep": (deep, ("PNG", "TIFF")),
        "alpha": (rgb.convert("RGBA"), ("PNG", "TIFF", "WEBP")),
        "la": (rgb.convert("LA"), ("PNG", "TIFF")),
        "cmyk": (rgb.convert("CMYK"), ("JPEG", "TIFF")),
        "float": (Image.fromarray(STRIPES.astype(np.float32)), ("TIFF",)),
        "int": (Image.fromarray(STRIPES.astype(np.int32)), ("TIFF",)),
    }
    zoo = {f"{n}.{k}": encoded(im, k) for n, (im, kinds) in models.items() for k in kinds}
    for kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        zoo[f"turned.{kind}"] = encoded(rgb, kind, exif=exif(6))
    for kind in ("PNG", "TIFF", "WEBP", "GIF"):
        zoo[f"several.{kind}"] = encoded(rgb, kind, **several)
    for how in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        zoo[f"{how}.TIFF"] = encoded(rgb, "TIFF", compression=how)
    zoo["group4.TIFF"] = encoded(Image.fromarray(STRIPES > 0), "TIFF", compression="group4")
    zoo["progressive.JPEG"] = encoded(rgb, "JPEG", progressive=True)
    zoo["lossless.WEBP"] = encoded(rgb, "WEBP", lossless=True)
    zoo["plain.PPM"], zoo["plain.JPEG2000"] = encoded(rgb, "PPM"), encoded(rgb, "JPEG2000")
    zoo["plain.AVIF"] = encoded(rgb, "AVIF")
    for kind in ("EPS", "TGA", "ICO", "DDS", "PDF", "PCX", "SGI"):
        zoo[f"other.{kind}"] = encoded(rgb, kind)
    zoo["text"] = b"no image\n"
    zoo["svg"] = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    zoo["empty"] = b""
    return zoo


ZOO = _zoo()
SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".bmp", ".jpeg", ".tiff", ".PNG")


def damaged(content, rng):
    """A file's bytes, damaged in one of the ways of disks, networks and people."""
    data = bytearray(content)
    n = max(1, len(data))
    at, size = rng.randrange(n), rng.randrange(1, 40)
    way = rng.choice(["cut", "flip", "flip", "zeros", "ones", "insert", "twice", "head", "turn"])
    if way == "cut":
        del data[at:]
    elif way == "flip":
        for _ in range(rng.choice([1, 2, 8, 30])):
            if data:
                data[rng.randrange(min(len(data), rng.choice([40, 200, n])))] ^= 1 << rng.randrange(
                    8
                )
    elif way in ("zeros", "ones"):
        data[at : at + size] = (b"\0" if way == "zeros" else b"\xff") * size
    elif way == "insert":
        data[at:at] = rng.randbytes(size)
    elif way == "twice":
        data[at:at] = data[at : at + 2 * size]
    elif way == "head":
        data[:size] = rng.choice(list(ZOO.values()))[:size]
    else:
        other = rng.randrange(n)
        low, high = min(at, other), max(at, other)
        data[low:high] = data[low:high][::-1]
    return bytes(data)


def read_everywhere(path):
    """What all readers of an image say, having agreed on its size."""
    image = attempt(lambda: read_image(path), path)
    size = attempt(lambda: image_size(path), path)
    attempt(lambda: read_image(path, Reading((0.0, 200.0))), path)
    attempt(lambda: scan_image(path, AS_STORED), path)
    attempt(lambda: read_valid(path, AS_STORED), path)
    small = attempt(lambda: read_image(path, AS_STORED, 8), path)
    mask = attempt(lambda: scan_mask(path), path)
    if image is not None:
        assert image.mode == "RGB"
        assert image.size == size
        assert small is not None
    if mask is not None:
        assert sum(mask.counts.values()) == mask.size[0] * mask.size[1]
    return image, mask


@cases(500)
def test_a_damaged_file_is_refused_or_read_alike_everywhere(tmp_path, seed):
    rng = random.Random(seed)
    content = ZOO[rng.choice(list(ZOO))]
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        content = damaged(content, rng)
    path = tmp_path / f"x{rng.choice(SUFFIXES)}"
    path.write_bytes(content)
    read_everywhere(path)


@cases(150)
def test_a_file_that_is_cut_off_is_refused_or_whole(tmp_path, seed):
    rng = random.Random(seed)
    content = ZOO[rng.choice([name for name in ZOO if "." in name])]
    whole, broken = tmp_path / "whole.png", tmp_path / "cut.png"
    whole.write_bytes(content)
    broken.write_bytes(content[: rng.randrange(len(content))])
    image, mask = read_everywhere(broken)
    if image is not None:
        assert image.tobytes() == read_image(whole).tobytes()
    if mask is not None:
        assert mask.counts == scan_mask(whole).counts


@cases(150)
def test_no_changed_bit_of_a_png_gives_other_pixels(tmp_path, seed):
    rng = random.Random(seed)
    name = rng.choice([name for name in ZOO if name.endswith(".PNG") and "turned" not in name])
    data = bytearray(ZOO[name])
    place = 33 + rng.randrange(len(data) - 33)  # behind the header, which has its checksum
    data[place] ^= 1 << rng.randrange(8)
    whole, changed = tmp_path / "whole.png", tmp_path / "changed.png"
    whole.write_bytes(ZOO[name])
    changed.write_bytes(data)
    codes = attempt(lambda: read_codes(changed), changed)
    if codes is not None:
        assert np.array_equal(codes.values, read_codes(whole).values)


@pytest.mark.parametrize("name", [n for n in ZOO if n.split(".")[0] != "several" and "." in n])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_suffix_may_lie_and_each_mode_is_read_for_what_it_is(tmp_path, name, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(ZOO[name])
    image, mask = read_everywhere(path)
    kind = name.split(".")[0]
    assert (image is None) == (kind in ("other", "float"))
    if image is None:
        return
    assert image.size == ((HEIGHT, WIDTH) if kind == "turned" else (WIDTH, HEIGHT))
    if kind in ("ids", "palette", "int") and mask is not None:
        assert mask.counts == {i: WIDTH * HEIGHT // 3 for i in range(3)}
    if kind == "cmyk":
        assert mask is None


def bomb(width, height):
    """A PNG of a few bytes that says to have this many pixels."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" * 50)),
        (b"IEND", b""),
    ]
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def thin_tiff():
    """A TIFF whose header says two million rows more than its strips hold."""
    data = bytearray(ZOO["gray.TIFF"])
    tag = data.index(struct.pack("<HHII", 257, 4, 1, HEIGHT))
    data[tag : tag + 12] = struct.pack("<HHII", 257, 4, 1, 2_000_000)
    return bytes(data)


def unsigned(values):
    return encoded(Image.fromarray(np.array(values, dtype=np.uint32).astype(np.int32)), "TIFF")


BROKEN = {
    "a bomb": bomb(60_000, 60_000),
    "no pixel": bomb(0, 5),
    "more pixels than bytes": bomb(9_000, 9_000),
    "a TIFF of fewer strips than rows": thin_tiff(),
    "several pages": encoded(
        Image.new("L", (9, 9)), "TIFF", save_all=True, append_images=[Image.new("L", (9, 9))]
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_files_that_were_found_broken_are_refused_at_once(tmp_path, name):
    path = tmp_path / "x.png"
    path.write_bytes(BROKEN[name])
    assert attempt(lambda: read_image(path), path) is None


def test_ids_beyond_all_classes_are_counted_without_a_list_of_them(tmp_path):
    """Each was once a traceback, or a list of a thousand million numbers."""
    root = write_folder(tmp_path / "data")
    for values in ([[2**32 - 5] * WIDTH] * HEIGHT, [[10**9] * WIDTH] * HEIGHT):
        for mask in (root / "train" / "masks").iterdir():
            mask.with_suffix(".tif").write_bytes(unsigned(values))
            mask.unlink()
        assert not check(root).ok


@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientations_are_followed_and_nonsense_is_upright(tmp_path, orientation, kind):
    upright = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    upright[:6, :8] = 255  # a corner
    path = tmp_path / "x.png"
    path.write_bytes(encoded(Image.fromarray(upright), kind, exif=exif(orientation)))
    image, _ = read_everywhere(path)
    sideways = orientation in (5, 6, 7, 8)
    assert image.size == ((HEIGHT, WIDTH) if sideways else (WIDTH, HEIGHT))
    right, low = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    corner = np.asarray(image)[-1 if low else 0, -1 if right else 0]
    assert corner.min() > 200


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_an_image_of_any_shape_is_read(tmp_path, size, kind):
    path = tmp_path / "x.png"
    path.write_bytes(encoded(Image.new("RGB", size, (200, 10, 10)), kind))
    image, _ = read_everywhere(path)
    assert image.size == size


# --- texts

YAMLS = (
    "classes:\n- a\n- b\n- c\n",
    "classes:\n- {name: a, id: 0}\n- {name: b, id: 1}\n- {name: c, id: 2, color: [1, 2, 3]}\n"
    "ignore: [7]\n",
    "classes:\n- {name: a, color: '#000000'}\n- {name: b, color: [0, 255, 0]}\nignore: '#ffffff'\n",
)
LABELMAPS = ("# label:color_rgb:parts:actions\na:0,0,0::\nb:255,0,0::\nc:0,255,0::\n",)
LABELME = json.dumps(
    {
        **{"version": "5", "imageWidth": WIDTH, "imageHeight": HEIGHT, "imagePath": "a.png"},
        "shapes": [
            {"label": "a", "shape_type": "polygon", "points": [[1, 1], [9, 2], [5, 9]]},
            {"label": "b", "shape_type": "circle", "points": [[12, 9], [15, 9]]},
            {"label": "c", "shape_type": "rectangle", "points": [[16, 1], [20, 9]]},
        ],
    }
)
COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 2,
                "iscrowd": 0,
                "segmentation": [[1, 1, 9, 2, 5, 9]],
            }
        ],
        "categories": [{"id": 2, "name": "b"}, {"id": 5, "name": "c"}],
    }
)
LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{y}: &{y} [{', '.join([f'*{x}'] * 9)}]\n"
    for x, y in zip("abcdefghi", "bcdefghij", strict=True)
)
SPLICES = (
    "!!python/object/apply:os.system ['true']", "2020-13-45", "!!int ''", "!!float x",
    "!!timestamp 1", "&x [*x]", "*y", "[" * 3000, "{" * 3000, "NaN", "-1", "1e999", "9" * 5000,
    "null", "true", "\0", "\ufeff", "\u2028", "../../../etc/passwd", "/etc/passwd", "C:\\x",
    "\ud7ff", "'", '"', "- ", ": ", "#", "\t", "\r", "😀", LAUGHS, "!!binary x", "!!set {a, b}",
    "? [a]", "<<: 1", "0x", "1_0", "~", "[]", "{}", '""', "0", "2147483648",
)  # fmt: skip


def garbled(text, rng):
    """A text file as editors, transfers and people leave it, in bytes."""
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.randrange(1, 9))
        way = rng.choice(["splice", "splice", "replace", "cut", "drop", "twice", "line", "lines"])
        if way == "splice":
            text = text[:at] + rng.choice(SPLICES) + text[at:]
        elif way == "replace":
            text = text[:at] + rng.choice(SPLICES) + text[end:]
        elif way == "cut":
            text = text[:at]
        elif way == "drop":
            text = text[:at] + text[end:]
        elif way == "twice":
            text += text[at:]
        else:
            lines = text.split("\n")
            rng.shuffle(lines)
            text = "\n".join(lines if way == "lines" else lines[1:])
    data = text.encode("utf-8", "surrogatepass")
    way = rng.choice(["", "", "", "bom", "crlf", "utf16", "bytes", "latin"])
    if way == "bom":
        return b"\xef\xbb\xbf" + data
    if way == "crlf":
        return data.replace(b"\n", b"\r\n")
    if way == "utf16":
        return text.encode("utf-16", "surrogatepass")
    return damaged(data, rng) if way == "bytes" else data + b"\xff" * (way == "latin")


def refit(text, rng):
    """JSON with one value of it removed or replaced."""
    content = json.loads(text)
    places = []

    def walk(value):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                walk(value[key])

    walk(content)
    value, key = rng.choice(places)
    if rng.random() < 0.4:
        del value[key]
    else:
        value[key] = rng.choice(
            [
                None,
                True,
                -1,
                0,
                3.5,
                1e300,
                10**12,
                "x",
                "",
                [],
                {},
                [[]],
                [1],
                {"a": 1},
                "../../x",
                "/x",
                2**31,
            ]
        )
    return json.dumps(content)


@cases(200)
@pytest.mark.variants
def test_a_garbled_text_is_refused_by_its_name_or_read(tmp_path_factory, seed):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        root = write_folder(Path(place) / "data")
        masks = [scan_mask(p) for p in sorted((root / "train" / "masks").iterdir())]
        stems = [
            Sample(n, root / f"train/images/{n}.png", root / f"train/masks/{n}.png")
            for n in "abcdef"
        ]
        file = root / rng.choice(
            [
                "classes.yaml",
                "labelmap.txt",
                "a.json",
                "list.txt",
                "labels.txt",
                "voc",
                "coco",
                "images.txt",
            ]
        )
        if file.name == "classes.yaml":
            file.write_bytes(garbled(rng.choice(YAMLS), rng))
            attempt(lambda: read_classes(file, masks), file, "The masks hold")
        elif file.name == "labelmap.txt":
            file.write_bytes(garbled(rng.choice(LABELMAPS), rng))
            attempt(lambda: read_classes(file, masks), file, "The masks hold")
        elif file.name == "a.json":
            file.write_bytes(garbled(LABELME if rng.random() < 0.5 else refit(LABELME, rng), rng))
            attempt(lambda: read_shapes(file), file)
        elif file.name == "list.txt":
            lines = [f"train/images/{n}.png\ttrain/masks/{n}.png" for n in "abcdef"]
            file.write_bytes(garbled("\n".join(lines), rng))
            result = attempt(lambda: listed_samples(Tree(root), file), file)
            for sample in result or []:
                assert sample.image.resolve().is_relative_to(root.resolve())
        elif file.name == "labels.txt":
            file.write_bytes(garbled("\n".join("abcdef"), rng))
            result = attempt(lambda: read_list(file, stems), file)
            assert set(result or []) <= set(stems)
        elif file.name == "images.txt":
            file.write_bytes(garbled("train/images/a.png\nval/images/v.png\n", rng))
            result = attempt(lambda: find_images(file, Path(place) / "out")[0], file)
            assert all(inside(name) for name in result or {})
        elif file.name == "voc":
            (root / "SegmentationClass").mkdir()
            (root / "train" / "images").rename(root / "JPEGImages")
            listing = root / "ImageSets" / "Segmentation" / "train.txt"
            listing.parent.mkdir(parents=True)
            listing.write_bytes(garbled("\n".join("abcdef"), rng))
            attempt(lambda: VocLayout(Tree(root)).read("train"), listing)
        else:
            listing = root / "annotations" / "instances_train.json"
            listing.parent.mkdir()
            listing.write_bytes(garbled(COCO if rng.random() < 0.3 else refit(COCO, rng), rng))
            (root / "train" / "images").rename(root / "images")
            coco = DATASETS["coco"]
            result = attempt(lambda: coco.samples(Tree(root), "train"), listing)
            attempt(lambda: coco.classes(Tree(root), []), listing, root / "annotations")
            assert all(inside(sample.name) for sample in result or [])


LABELME_FOUND = (LABELME.replace('"polygon"', '{"a": 1}'), LABELME.replace('"polygon"', '["a"]'))
COCO_FOUND = (
    COCO.replace('"name": "b"', '"a": 1'),
    COCO.replace('"id": 1, "file_name"', '"file_name"'),
    COCO.replace('"a.png"', '"../other.png"'),
    COCO.replace('"a.png"', f'"{"x" * 3000}"'),
    COCO.replace(f'"width": {WIDTH}', '"width": 1e300'),
    "[" * 3000,
)
YAML_FOUND = (
    "classes: 2020-13-45",
    "classes: !!int ''",
    "[" * 3000,
    LAUGHS,
    "classes: [{name: [a]}]",
)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", t) for t in LABELME_FOUND]
    + [("annotations/instances_train.json", t) for t in COCO_FOUND]
    + [("classes.yaml", t) for t in YAML_FOUND],
)
def test_texts_that_once_ended_in_a_traceback_are_refused(tmp_path, name, text):
    root = write_folder(tmp_path / "data")
    (root / "train" / "images").rename(root / "images")
    file = root / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    readers = {
        "a.json": lambda: read_shapes(file),
        "classes.yaml": lambda: read_classes(file, []),
    }
    reader = readers.get(name, lambda: DATASETS["coco"].samples(Tree(root), "train"))
    assert attempt(reader, file) is None


def inside(name):
    return not Path(name).is_absolute() and ".." not in Path(name).parts


# --- data folders


def write_folder(root):
    """Six labeled images, two of val, two without masks; all of three classes."""
    rng = np.random.default_rng(5)
    for split, names in (("train", "abcdef"), ("val", "vw"), ("unlabeled", "xy")):
        for name in names:
            images = root / split / ("images" if split != "unlabeled" else "")
            images.mkdir(parents=True, exist_ok=True)
            noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            Image.fromarray(noise).save(images / f"{name}.png")
            if split != "unlabeled":
                (root / split / "masks").mkdir(exist_ok=True)
                Image.fromarray(STRIPES).save(root / split / "masks" / f"{name}.png")
    return root


NAMES = (
    "ü.png", "\u65e5\u672c.png", "-n.png", "--help.png", "a b  c.png", " .png", "#1.png",
    "'\".png", "<b>.png", "a\nb.png", "a\u2028b.png", "a\rb.png", "\U0001f33e.png", "e\u0301.png",
    "x" * 240 + ".png", "a\\b.png", "%s{}.png", "..png", "CON.png", "a,b\tc.png", "255", "A.PNG",
    "a.PNG.png", "~.png",
)  # fmt: skip


def _other_mode(path, rng):
    mode = rng.choice(["CMYK", "RGBA", "LA", "1", "I", "F", "I;16", "P", "RGB", "HSV"])
    with Image.open(path) as file:
        image = file.convert("L").convert("I").convert(mode) if mode[0] == "I" else file
        image = image if mode[0] == "I" else image.convert("RGB").convert(mode)
    path.write_bytes(
        encoded(image, "TIFF" if mode in ("CMYK", "F") else "PNG") if mode != "HSV" else b""
    )


def _mask_values(path, rng):
    """A mask of one class, all ignored, of many values, of another size, of noise, in colors."""
    values = {
        "one": np.zeros_like(STRIPES),
        "ignored": np.full_like(STRIPES, 255),
        "many": np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH),
        "small": STRIPES[:5],
        "thin": STRIPES[:, :1],
        "turned": np.ascontiguousarray(STRIPES.T),
        "noise": np.random.default_rng(rng.randrange(99)).integers(0, 256, STRIPES.shape, np.uint8),
        "colors": np.stack([STRIPES * 90] * 2 + [STRIPES], axis=-1),
        "gray": np.stack([STRIPES] * 3, axis=-1),
        "wide": STRIPES.astype(np.uint16) * 20_000,
    }[
        rng.choice(
            ["one", "ignored", "many", "small", "thin", "turned", "noise", "colors", "gray", "wide"]
        )
    ]
    path.write_bytes(encoded(Image.fromarray(values), "PNG"))


def spoil(root, rng):
    """Do one of the things to a data folder that people and disks do to them."""
    files = [p for p in list_files(root, (".png",)) if p.is_file()]
    path = rng.choice(files)
    way = rng.choice(
        ["damage", "damage", "zoo", "rename", "rename", "remove", "folder", "fifo", "loop",
         "dangling", "elsewhere", "mode", "values", "values", "twice", "case", "classes", "list",
         "tree", "text", "lonely"]
    )  # fmt: skip
    if way == "damage":
        path.write_bytes(damaged(path.read_bytes(), rng))
    elif way == "zoo":
        path.write_bytes(ZOO[rng.choice(list(ZOO))])
    elif way == "rename":
        path.rename(path.with_name(rng.choice(NAMES)))
    elif way == "remove":
        path.unlink()
    elif way in ("folder", "fifo", "dangling", "elsewhere"):
        path.unlink()
        if way == "folder":
            path.mkdir()
        elif way == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to("/nowhere/at/all" if way == "dangling" else rng.choice(files))
    elif way == "loop":
        (path.parent / "loop").symlink_to(root)
        (path.parent / "self.png").symlink_to(path.parent / "self.png")
    elif way == "mode":
        _other_mode(path, rng)
    elif way == "values":
        _mask_values(rng.choice(list_files(root / "train" / "masks", (".png",)) or [path]), rng)
    elif way == "twice":
        path.with_suffix(rng.choice([".jpg", ".tif", ".PNG"])).write_bytes(path.read_bytes())
    elif way == "case":
        path.rename(path.with_name(path.name.upper()))
    elif way == "classes":
        name, texts = rng.choice([("classes.yaml", YAMLS), ("labelmap.txt", LABELMAPS)])
        (root / name).write_bytes(garbled(rng.choice(texts), rng))
    elif way == "list":
        lines = [f"train/images/{n}.png train/masks/{n}.png" for n in "abcdef"]
        content = garbled("\n".join(lines), rng)
        (root / rng.choice(["train.txt", "val.txt"])).write_bytes(content)
    elif way == "tree":
        name = rng.choice(
            [
                "images",
                "masks",
                "SegmentationClass",
                "annotations",
                "val/masks/sub",
                "unlabeled/images",
            ]
        )
        (root / name).mkdir(parents=True, exist_ok=True)
    elif way == "text":
        path.with_suffix(".json").write_bytes(garbled(LABELME, rng))
    else:
        (root / "train" / "masks" / f"{rng.randrange(99)}.png").write_bytes(path.read_bytes())


@cases(250)
@pytest.mark.faults
def test_a_spoilt_folder_is_reported_or_read_as_it_is(tmp_path_factory, capsys, seed):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        root = write_folder(Path(place) / "data")
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            try:
                spoil(root, rng)
            except OSError:
                continue  # two of them do not go together
        report = attempt(lambda: check(root), root)
        assert report is not None
        inside_it = [str(p.relative_to(root)) for p in root.rglob("*.*")]
        data = attempt(
            lambda: read_folder(DataConfig(data=root)),
            root,
            "Label one more image",
            *inside_it,
        )
        assert report.ok == (data is not None), report.text()
        if data is None:
            return
        for sample in (*data.train, *data.val):
            assert sample.image.resolve().is_relative_to(root.resolve())
            if sample.mask is not None:
                codes = read_codes(sample.mask).values
                known_pixels = np.isin(
                    codes & 0xFF if codes.max() > 65535 else codes, data.classes.codes
                )
                pixel_count = sum(data.pixels[sample.mask].values())
                assert pixel_count <= codes.size
                assert pixel_count == known_pixels.sum() or data.classes.encoding != "ids"
        split = attempt(lambda: make_split(data, "all", 0), root, "Label one more image")
        if split is None:
            return
        lists = Path(place) / "lists"
        attempt(lambda: write_split(root, labels="all", out=lists), root)
        masked = [s for s in data.train if s.mask is not None]
        again = read_list(lists / "labeled.txt", masked)
        assert list_hash(again) == list_hash(split.labeled)
        batches = TrainingBatches(
            TrainingImages(split.labeled, split.unlabeled, data.classes, data.reading),
            Views(16, 16),
            2,
            Key.of(0),
        )
        batch = attempt(lambda: batches[0], root)
        assert batch is not None
        assert set(np.unique(batch.labeled.mask)) <= {*range(len(data.classes)), 255}


# --- run folders


def stored_run(reported, place):
    """A copy of a finished run, and the names of the files that are read of it."""
    shutil.copytree(reported.run, place)
    return ["config.yaml", "scores.json", "model.json", "metrics.csv", "confusion.csv",
            "diagnostics/diagnostics.json", "split/labeled.txt", "split/val.txt",
            "split/classes.json", "model.safetensors"]  # fmt: skip


def resume(run, data):
    """What resuming does before it trains."""
    config = run_folder.resumed_config(TrainConfig.from_values({"data": data, "out": run}))
    run_folder.finished(run)
    dataset = load_dataset(data)
    val = held_out(config, True)
    run_folder.find_checkpoint(run, make_split(dataset, "2", 0, val), dataset.classes)


@cases(40)
@pytest.mark.faults
def test_a_damaged_run_is_refused_or_used_as_it_was(tmp_path_factory, reported, seed):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        name = rng.choice(stored_run(reported, run))
        file = run / name
        way = rng.choice(["bytes", "bytes", "text", "refit", "remove", "folder", "fifo"])
        before = file.read_bytes()
        if way == "text" and file.suffix != ".safetensors":
            file.write_bytes(garbled(file.read_text(), rng))
        elif way == "refit" and file.suffix in (".json", ".yaml"):
            text = file.read_text()
            text = text if file.suffix == ".json" else json.dumps(yaml.safe_load(text))
            head = "" if file.suffix == ".json" else file.read_text().partition("\n")[0] + "\n"
            file.write_text(head + refit(text, rng))
        elif way in ("remove", "folder", "fifo"):
            file.unlink()
            if way == "folder":
                file.mkdir()
            elif way == "fifo":
                os.mkfifo(file)
        else:
            file.write_bytes(damaged(before, rng))
        attempt(lambda: resume(run, reported.data), run, "--", "method")
        attempt(lambda: samples_of(run), run)
        attempt(lambda: scored_samples(run, reported.data, "val", None), run)
        if name in ("model.safetensors", "model.json", "config.yaml", "scores.json"):
            model = attempt(lambda: load(run, "cpu"), run)
            if model is not None:
                picture = Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
                prediction = attempt(lambda: model.predict(picture), run)
                assert prediction.mask.shape == (HEIGHT, WIDTH)
                assert prediction.mask.max() < len(model.classes)
            if name == "model.safetensors" and file.is_file() and file.read_bytes() != before:
                assert model is None
        if name != "model.safetensors":
            attempt(
                lambda: report(run, data=Path(place) / "nowhere", accelerator="cpu"), run, "method"
            )


# --- the command line


@pytest.fixture
def only_parsed(monkeypatch):
    """`train` is parsed and not run."""

    def stop(*_, **__):
        raise SemisegError("parsed")

    monkeypatch.setattr("semiseg.commands.verbs.load_command", lambda name: stop)


def refusal(capsys, *words):
    """The one sentence of a command that was refused."""
    with no_waiting(), pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code in (0, 1, 2)
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return output.err


@cases(100)
def test_a_garbled_config_is_refused_or_parsed(only_parsed, capsys, seed):
    rng = random.Random(seed)
    text = "method: css\nsteps: 10\nlr: 0.1\nscale: [0.5, 1.5]\nout: runs/x\nanchors: 16\n"
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "c.yaml"
        file.write_bytes(garbled(text, rng))
        assert refusal(capsys, "train", place, "--config", file).startswith("semiseg: ")


def test_predict_goes_through_a_folder_of_everything(plain_release, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, (name, content) in enumerate(ZOO.items()):
        (photos / f"{name}{i}{SUFFIXES[i % len(SUFFIXES)]}").write_bytes(content)
    for i, name in enumerate(NAMES):
        (photos / name).write_bytes(ZOO["rgb.PNG"] if i % 2 else ZOO["palette.PNG"])
    os.mkfifo(photos / "pipe.png")
    (photos / "folder.png").mkdir()
    (photos / "self.png").symlink_to(photos / "self.png")
    (photos / "gone.png").symlink_to(photos / "nothing.png")
    (photos / "up").symlink_to(tmp_path)
    out = tmp_path / "out"
    message = refusal(
        capsys, "predict", plain_release, photos, "--out", out, "--accelerator", "cpu"
    )
    files = list_files(photos, SUFFIXES)
    good = [f for f in files if attempt(lambda f=f: read_image(f), f) is not None]
    assert len(good) > 40
    assert len(list_files(out, (".png",))) == len(good)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "photos"]
    assert f"{len(files) - len(good)} of {len(files)}" in message or "cannot be read" in message
    for image in good:
        with Image.open(out / f"{image.relative_to(photos).with_suffix('')}.png") as mask:
            assert mask.size == image_size(image)


@pytest.mark.parametrize("words", [["predict", "RUN", "PIPE", "--out", "OUT"],
                                   ["train", "DATA", "--labels", "PIPE", "--out", "OUT"],
                                   ["train", "DATA", "--classes", "PIPE", "--out", "OUT"],
                                   ["split", "DATA", "--labels", "PIPE", "--out", "OUT"],
                                   ["check", "PIPE"], ["report", "PIPE"],
                                   ["evaluate", "PIPE", "DATA"]])  # fmt: skip
def test_a_pipe_is_refused_and_not_waited_for(plain_release, tiny_folder, tmp_path, capsys, words):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    places = {"RUN": plain_release, "DATA": tiny_folder, "PIPE": pipe, "OUT": tmp_path / "out"}
    assert str(pipe) in refusal(capsys, *(places.get(word, word) for word in words))
