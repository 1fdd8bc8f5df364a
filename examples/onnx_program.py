"""An exported model in production: onnxruntime, numpy and Pillow, and without semiseg.

python examples/onnx_program.py model.onnx IMAGES OUT --unlike-limit 1.5 --confidence-limit 0.8

It checks the model and each image, and writes into OUT:

    masks/NAME.png    the mask of each image, with the values that `semiseg predict` writes
    abstain/NAME.png  the masks that a person should look at; abstain.txt lists their images
    images.csv        a row for each image: seconds, confidence, unlike, the share of each class

The exit status is 0, 1 if an image could not be read, or 2 if the model or a setting does not fit.
"""

import argparse
import csv
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageOps

FORMATS = (1, 2)  # of the metadata that this program reads; 2 is the mean of two networks
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")  # of 8 bits
MAP_TAGS = {33550, 34264, 42113}  # of a GeoTIFF: its place, and its value for no data
STRIP = 1 << 20  # numbers that are enlarged at once

Floats = NDArray[np.float32]
Windows = list[tuple[slice, slice, Floats]]


class Unfit(Exception):
    """A model or an image that this program cannot use, and why."""


class Model(NamedTuple):
    """A session of onnxruntime and the metadata of its file."""

    session: Any
    about: dict[str, Any]


def load(path: Path) -> Model:
    """Open a model; raises `Unfit` if this program would give other masks than semiseg."""
    if not path.is_file():
        raise Unfit(f"There is no model {path}.")
    available = onnxruntime.get_available_providers()
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    try:
        session = onnxruntime.InferenceSession(
            path, providers=[p for p in wanted if p in available]
        )
    except Exception as error:  # onnxruntime raises many kinds
        raise Unfit(f"onnxruntime cannot open {path}: {error}") from error
    text = session.get_modelmeta().custom_metadata_map.get("semiseg")
    if text is None:
        raise Unfit(f"{path} has no metadata of semiseg. Use `semiseg export RUN --out {path}`.")
    about = json.loads(text)
    if about.get("format") not in FORMATS:
        raise Unfit(
            f"{path} has metadata of format {about.get('format')}, written by semiseg "
            f"{about.get('semiseg')}, and this program reads the formats 1 and 2. Take the program "
            "of that version."
        )
    channels = about["network"].get("channels", 3)
    special = [key for key in ("range", "ranges", "bands", "nodata", "axes") if about.get(key)]
    if channels != 3 or special:
        raise Unfit(
            f"{path} was trained on images of {channels} channels"
            + (f" that were read with {', '.join(special)}" if special else "")
            + ". This program reads photographs of 8 bits: use `semiseg predict`."
        )
    return Model(session, about)


def read(path: Path) -> Image.Image:
    """A photograph upright and in RGB; raises `Unfit` if semiseg would read it in another way."""
    with Image.open(path) as file:
        if file.mode not in MODES or any(";16" in str(tile[3]) for tile in file.tile):
            raise Unfit(f"it is of mode {file.mode} or of more than 8 bits: convert it to 8 bits")
        if file.format == "TIFF" and MAP_TAGS & set(getattr(file, "tag_v2", ())):
            raise Unfit("it is a GeoTIFF: use `semiseg predict`")
        if file.format == "TIFF" and getattr(file, "n_frames", 1) > 1:
            raise Unfit("it has several pages: use `semiseg predict`")
        return ImageOps.exif_transpose(file).convert("RGB")


def windows(length: int, side: int, stride: int) -> Windows:
    """The pixels of each window along an axis, its cells of four pixels, and their weights."""
    step = max(stride, side * 3 // 4 // stride * stride)
    last = max(0, -(-(length - side) // stride) * stride)
    parts, total = [], np.zeros(-(-length // 4), np.float32)
    for start in (*range(0, last, step), last):
        stop = min(start + side, length)
        cells = slice(start // 4, -(-stop // 4))
        ramp = (np.arange(cells.stop - cells.start) + 0.5) / max(1, (side - step) // 4)
        ramps = np.minimum(ramp + (start == 0), ramp[::-1] + (stop == length))
        parts.append((slice(start, stop), cells, np.minimum(ramps, 1).astype(np.float32)))
        total[cells] += parts[-1][2]
    return [(pixels, cells, weights / total[cells]) for pixels, cells, weights in parts]


def enlargement(pixels: int, source: int, cells: int) -> Floats:
    """The matrix `(pixels, cells)` that enlarges cells of four pixels of `source` bilinearly."""
    places = ((np.arange(pixels) + 0.5) * (source / pixels) / 4 - 0.5).clip(0, cells - 1)
    shares: NDArray[np.float64] = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells)))
    return shares.astype(np.float32)


def segment(model: Model, picture: Image.Image) -> tuple[NDArray[np.uint8], float]:
    """The number of the class of each pixel, and the mean confidence from 0 to 1."""
    session, about = model
    factor = about["size"] / min(picture.size)
    width, height = (max(1, round(factor * side)) for side in picture.size)
    scaled = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(scaled).transpose(2, 0, 1)[None]  # (1, 3, height, width), uint8
    stride, crop = about["stride"], about["network"].get("crop")
    side = -(-2 * crop // stride) * stride if crop else max(width, height)
    classes = len(about["classes"]["names"])
    logits = np.zeros((classes, -(-height // 4), -(-width // 4)), np.float32)
    for rows, cell_rows, up in windows(height, side, stride):
        for columns, cell_columns, across in windows(width, side, stride):
            part = session.run(["logits"], {"image": pixels[:, :, rows, columns]})[0][0]
            logits[:, cell_rows, cell_columns] += part * (up[:, None] * across)
    left = enlargement(picture.height, height, logits.shape[1])
    right = np.ascontiguousarray(enlargement(picture.width, width, logits.shape[2]).T)
    step = max(1, STRIP // (classes * picture.width))  # some rows at a time: it saves memory
    labels, confidence = [], 0.0
    for start in range(0, picture.height, step):
        large = left[start : start + step] @ logits @ right
        labels.append(large.argmax(axis=0).astype(np.uint8))
        confidence += float(
            (1 / np.exp(large - large.max(axis=0)).sum(axis=0)).sum(dtype=np.float64)
        )
    return np.concatenate(labels), confidence / (picture.width * picture.height)


def mask_image(labels: NDArray[np.uint8], classes: dict[str, Any]) -> Image.Image:
    """The mask with the ids of the classes, or with their numbers if the masks held no ids."""
    count = len(classes["names"])
    codes = classes["codes"] if classes["encoding"] == "ids" else range(count)
    values = np.array(codes, np.uint16)
    if values.max() > 255:
        return Image.fromarray(values[labels])
    image = Image.fromarray(values.astype(np.uint8)[labels])
    palette = np.zeros((256, 3), np.uint8)
    palette[values] = np.array(classes["colors"], np.uint8)
    image.putpalette(palette.tobytes())
    return image


def blocks(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The means of squares of pixels."""
    count = len(values) // side
    means: NDArray[np.float64] = values.reshape(count, side, count, side).mean(axis=(1, 3))
    return means


def unlike(picture: Image.Image, references: dict[str, Any]) -> float:
    """1 is as far as the most unusual 1 % of the training; above 1.5 is clearly beyond it."""
    small = picture.resize((128, 128), Image.Resampling.BOX, reducing_gap=4.0)
    red, green, blue = np.moveaxis(np.asarray(small, np.float64) / 255, 2, 0)
    gray = (red + green + blue) / 3
    axes = [blocks(values, 2) for values in (gray, red - green, (red + green) / 2 - blue)]
    grids = [blocks(gray, side) for side in (1, 2, 4, 8)]
    contrasts = [np.mean([np.abs(np.diff(grid, axis=i)).mean() for i in (0, 1)]) for grid in grids]
    sizes = np.array([*(values.std() for values in axes), *contrasts])
    features = np.array([*(values.mean() for values in axes), *np.log(sizes + 2 / 255)])
    rows = np.array([row.split() for row in references["images"]]).astype(float)
    distances = np.sqrt(np.square(rows - features / references["scale"]).mean(axis=1))
    return round(float(distances.min()) / float(references["limit"]), 2)


def doubts(
    row: dict[str, Any], short_side: int, about: dict[str, Any], limits: argparse.Namespace
) -> list[str]:
    """Why a person should look at a mask; empty if nothing speaks against it."""
    reasons, side = [], about.get("side")
    if row["unlike"] != "" and row["unlike"] > limits.unlike_limit:
        reasons.append(f"unlike {row['unlike']:g}")
    if row["confidence"] < limits.confidence_limit:
        reasons.append(f"confidence {row['confidence']:g}")
    if side and not 1 / limits.size_limit <= short_side / side <= limits.size_limit:
        reasons.append(f"short side {short_side} pixels, and {side:g} in the training")
    return reasons


def predict(model: Model, path: Path, name: str, limits: argparse.Namespace) -> dict[str, Any]:
    """The row of an image, whose mask is written; an image that cannot be read is a `reason`."""
    start, classes = time.perf_counter(), model.about["classes"]
    targets = [(limits.out / state / name).with_suffix(".png") for state in ("masks", "abstain")]
    for target in targets:  # of an earlier call
        target.unlink(missing_ok=True)
    row: dict[str, Any] = {"file": name, "state": "written", "unlike": "", "reason": ""}
    try:
        picture = read(path)
        labels, confidence = segment(model, picture)
    except Exception as error:  # Pillow and onnxruntime raise many kinds; the next image may work
        row |= {"state": "failed", "reason": str(error) or type(error).__name__}
        return row | {"seconds": round(time.perf_counter() - start, 3)}
    row["confidence"] = round(confidence, 6)
    if references := model.about.get("references"):
        row["unlike"] = unlike(picture, references)
    shares = np.bincount(labels.ravel(), minlength=len(classes["names"])) / labels.size
    row |= {f"share_{n}": round(float(s), 6) for n, s in zip(classes["names"], shares, strict=True)}
    row["reason"] = "; ".join(doubts(row, min(picture.size), model.about, limits))
    row["state"] = "abstain" if row["reason"] else "written"
    target = targets[bool(row["reason"])]
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")  # so that no reader meets half of a mask
    mask_image(labels, classes).save(part, "png")
    part.replace(target)
    return row | {"seconds": round(time.perf_counter() - start, 3)}


def find(folder: Path, out: Path) -> dict[str, Path]:
    """The images of a folder and its subfolders by name; raises `Unfit` if masks would clash."""
    if out.resolve().is_relative_to(folder.resolve()):
        raise Unfit(f"{out} lies in the folder of the images. Choose another folder for the masks.")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise Unfit(f"{folder} holds no images ({', '.join(SUFFIXES)}).")
    first: dict[Path, Path] = {}
    for file in files:
        if (other := first.setdefault(file.with_suffix(""), file)) != file:
            raise Unfit(f"The masks of {other} and {file} would have one name. Rename an image.")
    return {file.relative_to(folder).as_posix(): file for file in files}


def main(words: list[str] | None = None) -> int:
    """Predict a folder of images; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("model", type=Path, help="The file that `semiseg export` wrote.")
    parser.add_argument("images", type=Path, help="The folder of images.")
    parser.add_argument("out", type=Path, help="The folder for masks, images.csv and abstain.txt.")
    for name, default, meaning in (
        ("unlike", 1.5, "Set aside images that are more unlike those of the training than this."),
        ("confidence", 0.0, "Set aside images with a lower mean confidence, from 0 to 1."),
        ("size", 2.0, "Set aside images so many times larger or smaller than in the training."),
    ):
        parser.add_argument(f"--{name}-limit", type=float, default=default, help=meaning)
    settings = parser.parse_args(words)
    if settings.size_limit < 1:
        parser.error(f"--size-limit {settings.size_limit:g} is below 1.")
    try:
        model, files = load(settings.model), find(settings.images, settings.out)
    except Unfit as error:
        parser.error(str(error))
    if not model.about.get("references"):
        print("The model does not know how unlike an image is: `unlike` stays empty.")
    settings.out.mkdir(parents=True, exist_ok=True)
    shares = [f"share_{name}" for name in model.about["classes"]["names"]]
    columns = ["file", "state", "seconds", "confidence", "unlike", *shares, "reason"]
    states: Counter[str] = Counter()
    start = time.perf_counter()
    with (
        (settings.out / "images.csv").open("w", newline="", encoding="utf-8") as csv_file,
        (settings.out / "abstain.txt").open("w", encoding="utf-8") as list_file,
    ):
        table = csv.DictWriter(csv_file, columns)
        table.writeheader()
        for name, path in files.items():
            row = predict(model, path, name, settings)
            states[row["state"]] += 1
            table.writerow(row)
            csv_file.flush()  # the rows of a program that is stopped are not lost
            if row["state"] == "abstain":
                list_file.write(f"{path.resolve()}\n")
            if row["state"] == "failed":
                print(f"{path}: {row['reason']}", file=sys.stderr)
    seconds = time.perf_counter() - start
    print(
        f"{len(files) / seconds:.1f} images per second ({len(files)} in {seconds:.1f} s). "
        f"Masks: {states['written']}. Set aside: {states['abstain']}. "
        f"Could not be read: {states['failed']}. See {settings.out / 'images.csv'}."
    )
    return 1 if states["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
