"""Draws small exports of labeling tools and of other programs, as they write them.

Each has eight photographs, of which six are labeled with a triangle of `crop` and one of `weed`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

IMAGES, LABELED = 8, 6
WIDTH, HEIGHT = 64, 48
NAMES = ("crop", "weed")


def triangle(number: int, index: int) -> list[tuple[float, float]]:
    """The corners of the triangle of a class in an image, in pixels."""
    x, y = 4 + number + 28 * index, 6 + 2 * number
    return [(x, y), (x + 20, y + 2), (x + 9, y + 22)]


def photograph(number: int) -> Image.Image:
    """A photograph of noise that shows both triangles."""
    noise = np.random.default_rng(number).integers(60, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    for index, color in enumerate(((30, 180, 40), (200, 190, 30))):
        ImageDraw.Draw(image).polygon(triangle(number, index), fill=color)
    return image


def save(image: Image.Image, file: Path) -> None:
    """Write an image, and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


def labelme(root: Path) -> None:
    """A JSON file beside each labeled image."""
    for number in range(IMAGES):
        save(photograph(number), root / f"{number}.jpg")
        if number >= LABELED:
            continue
        shapes = [
            {"label": name, "shape_type": "polygon", "points": triangle(number, index)}
            for index, name in enumerate(NAMES)
        ]
        about = {"imageWidth": WIDTH, "imageHeight": HEIGHT, "imagePath": f"{number}.jpg"}
        (root / f"{number}.json").write_text(json.dumps({"shapes": shapes, **about}))


def cvat(root: Path) -> None:
    """ "CVAT for images 1.1", unpacked: one XML for all images."""
    labels = "".join(f"<label><name>{name}</name></label>" for name in NAMES)
    lines = [f"<annotations><meta><task><labels>{labels}</labels></task></meta>"]
    for number in range(IMAGES):
        save(photograph(number), root / "images" / f"{number}.jpg")
        lines.append(f'<image id="{number}" name="{number}.jpg" width="{WIDTH}" height="{HEIGHT}">')
        for index, name in enumerate(NAMES) if number < LABELED else ():
            points = ";".join(f"{x},{y}" for x, y in triangle(number, index))
            lines.append(f'<polygon label="{name}" points="{points}" z_order="0"></polygon>')
        lines.append("</image>")
    (root / "annotations.xml").write_text("\n".join([*lines, "</annotations>"]))


def label_studio(root: Path) -> None:
    """The JSON export beside the photographs, which have their own names."""
    tasks = []
    for number in range(IMAGES):
        save(photograph(number), root / "images" / f"{number}.jpg")
        regions = [
            {
                "type": "polygonlabels",
                "original_width": WIDTH,
                "original_height": HEIGHT,
                "value": {
                    "points": [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in corners],
                    "polygonlabels": [name],
                },
            }
            for name, corners in ((n, triangle(number, i)) for i, n in enumerate(NAMES))
        ]
        annotations = [{"id": number, "result": regions}] if number < LABELED else []
        name = f"/data/upload/1/4f1c2a3b-{number}.jpg"
        tasks.append({"id": number, "data": {"image": name}, "annotations": annotations})
    (root / "project-1.json").write_text(json.dumps(tasks))


def roboflow(root: Path) -> None:
    """YOLO segmentation with the splits of Roboflow; `test` has the photographs without labels."""
    for number in range(IMAGES):
        split = "train" if number < 4 else "valid" if number < LABELED else "test"
        save(photograph(number), root / split / "images" / f"{number}_jpg.rf.0a1b.jpg")
        if number >= LABELED:
            continue
        lines = [
            f"{index} " + " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in corners)
            for index, corners in enumerate(triangle(number, i) for i in range(len(NAMES)))
        ]
        file = root / split / "labels" / f"{number}_jpg.rf.0a1b.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines))
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
        f"nc: {len(NAMES)}\nnames: {list(NAMES)}\n"
    )


def nnunet(root: Path) -> None:
    """A raw data set of nnU-Net v2 with 2D photographs; those of `imagesTs` have no labels."""
    for number in range(IMAGES):
        part = "Tr" if number < LABELED else "Ts"
        save(photograph(number), root / f"images{part}" / f"field_{number:03}_0000.png")
        if number >= LABELED:
            continue
        mask = Image.new("L", (WIDTH, HEIGHT))
        for index in range(len(NAMES)):
            ImageDraw.Draw(mask).polygon(triangle(number, index), fill=index + 1)
        save(mask, root / "labelsTr" / f"field_{number:03}.png")
    labels = {"background": 0, **{name: index for index, name in enumerate(NAMES, 1)}}
    about = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": labels}
    about |= {"numTraining": LABELED, "file_ending": ".png"}
    (root / "dataset.json").write_text(json.dumps(about))


EXPORTS = {
    "labelme": labelme,
    "cvat": cvat,
    "label-studio": label_studio,
    "roboflow": roboflow,
    "nnunet": nnunet,
}
"""What draws an export, by the name of its page in docs/coming-from."""
