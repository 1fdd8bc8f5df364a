"""Writes docs/your-data.md from the registries of the code: `python docs/your_data.py`.

A test compares the page with what this script would write, so that the page cannot become wrong.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from semiseg.data import dataset_file
from semiseg.data.datasets import DATASETS
from semiseg.data.formats.image_formats import IMAGE_FORMATS
from semiseg.data.layout_registry import LAYOUTS
from semiseg.data.layouts.accounting import FILE_KINDS
from semiseg.data.layouts.annotation_sources import ANNOTATION_FORMATS
from semiseg.data.pairing.roles import IMAGE_WORDS, MASK_WORDS, SPLIT_WORDS

PAGE = Path(__file__).with_name("your-data.md")
INTRODUCTION = """# Your data

<!-- python docs/your_data.py writes this page from the code. Change the code, or that script. -->

semiseg reads most folders as they are. You need not rename or convert anything. Ask it what it
reads:

```bash
semiseg check DATA
```

`check` prints which folders hold the images and the masks, the rule that pairs them with an
example, and the classes. It counts the files that it does not use, and says what to do with them
([Files that are not read](#files-that-are-not-read)).

If semiseg reads your folder in another way than you mean, say where things are, with flags or in a
file:

```bash
semiseg check DATA --images photos --masks drawn
semiseg init DATA
```

`init` writes `dataset.yaml` and `classes.yaml` with what semiseg found, ready to be edited. If a
folder can be read in two ways, semiseg stops, shows both, and prints a command for each. Run one
of them; `init`, `train` and the other commands take the same flags. Put names with spaces in
quotes: `--masks 'Masks of Anna'`.
[Say what lies where](folders.md) describes the flags, `dataset.yaml` and groups of images.

## Layouts

semiseg tries these layouts from top to bottom. The first one that fits reads the folder. A
[published data set](datasets.md) comes before them if its tree, its file names and its values fit.
One folder around everything does no harm.
"""
NAMES = """## Names of masks

A mask belongs to the image of its name. Where the names differ, their common part decides: semiseg
looks for one rule that fits all masks, or nearly all of them, and prints it with an example.

| image | mask |
|---|---|
| `07.jpg` | `07_mask.png`, `07 gt.png`, `mask_07.png`, `07.jpg.png`, anything around the name |
| `21_training.tif` | `21_manual1.gif`: both names have an ending of their own |
| `img_7.jpg` | `mask_007.png`: the numbers are equal |
| `cam1/007.jpg` | `cam1_007.png`, or `007.png` if no other camera has this image |

Capital letters, separators and forms of Unicode may differ if the pair stays unique. semiseg never
pairs files by their order. If a mask fits two images, semiseg stops and shows both.

- **Masks beside images.** Names tell them apart: `07_mask.png`, `gt_07.png`, LabelMe's `07.json`,
  or PNG files beside JPEG files (`07.png` or `07_x.png` beside `07.jpg`).
- **Several masks of one image.** semiseg unites masks of single objects (`07_mask_1.png`,
  `07_mask_2.png`, or a folder of objects for each image), and says so in a warning. If all images
  share the endings (`07_crop.png`, `07_weed.png`), these are the classes. Masks that cover the same
  pixels look like the work of several people; semiseg stops and names both endings.
- **Lists.** `train --labels FILE` understands the same lines as the lists of a data folder: names
  without suffix, paths of any system, tables.
"""
MASKS = """## Masks

semiseg recognizes how masks are encoded from the values of all masks together, and `check` prints
it. [Masks](getting-started.md#masks) lists the encodings: ids, palettes, colors, 0 and 255, 16
bits, JPEG, instances. [Class names](getting-started.md#class-names) lists the files
that name the classes.

LabelMe's JSON files are masks as well, in a folder of masks or beside the images. semiseg draws
polygons, rectangles, circles and stored masks in the order of the file, so later shapes cover
earlier ones. Pixels outside all shapes belong to the class `_background_` with index 0. Pixels in a
shape named `__ignore__` are ignored. One folder must not hold both JSON files and pixel masks.
"""


ANNOTATIONS = """## Annotation files

semiseg recognizes the files of annotation tools by their content, whatever their names and
folders.

- Class 0 is the background: all pixels outside of the areas. The classes of the file follow in
  its order. A class called `background` is class 0, and `__ignore__` is ignored.
- semiseg finds the images by the paths in the file, and otherwise by their names in any
  subfolder. An image that is missing, or whose name occurs twice, is an error.
- The name of a file or of its folder gives the split: `train.json` and `val.json`, `train/` and
  `valid/`. Otherwise lists such as `train.txt` give it, or the images' folders. Without any of
  these, all images are `train`.
- semiseg skips boxes, lines and points, and counts them in a warning. A rectangle of VIA or
  LabelMe is an area; a box of COCO, YOLO, CVAT, Label Studio or Supervisely is not.
- An image without areas is unlabeled, and so are images in the same folders that no file names.
  Two files can say that an image holds nothing: an empty label file of YOLO, and a task of Label
  Studio that was submitted without regions.
- If two files describe the same image, semiseg names both and stops. If images have masks too,
  semiseg reads the masks.
- semiseg draws the masks once and stores them in its [cache](check.md#cache). It never writes
  into `DATA`.
- Other formats, such as Pascal VOC's boxes, are named in an error, with the export that semiseg
  reads.
"""
EXTRAS = """
Some formats need an extra of semiseg; `semiseg doctor` shows what is missing. Without the extra,
images with masks are an error. semiseg leaves out images without masks, and counts them in a
warning.
"""
UNREAD = """
`check`, `train` and `predict` count them by suffix and folder, and say what to do. `check` also
counts other texts, such as tables (`.csv`), in a note. semiseg says nothing about hidden files and
about documents: spreadsheets (`.xlsx`, `.ods`), PDF and Word files, README files, `Thumbs.db`.
"""


def document(kind: object) -> str:
    """A docstring up to its list of arguments or attributes, with its drawn trees as text."""
    text = inspect.getdoc(kind) or ""
    text = re.split(r"^(?:Args|Attributes):$", text, flags=re.MULTILINE)[0]
    lines = []
    inside = False
    for line in text.strip().splitlines():
        fence = line.startswith("```")
        lines.append("```text" if line == "```" and not inside else line)
        inside ^= fence
    return "\n".join(lines)


def section(title: str, kind: object) -> str:
    """A heading with the docstring of a class."""
    return f"### {title}\n\n{document(kind)}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def words() -> str:
    """The words for folders."""
    splits = {
        split: [w for w, s in SPLIT_WORDS.items() if s == split] for split in ("train", "val")
    }
    splits["test"] = [w for w, s in SPLIT_WORDS.items() if s == "test"]
    splits["unlabeled"] = [w for w, s in SPLIT_WORDS.items() if s == "unlabeled"]
    rows = [["images", ", ".join(sorted(IMAGE_WORDS))], ["masks", ", ".join(sorted(MASK_WORDS))]]
    rows += [[split, ", ".join(listed)] for split, listed in splits.items()]
    return table(["a folder of", "has one of these words in its name"], rows)


def page() -> str:
    """The text of the page."""
    parts = [INTRODUCTION.rstrip()]
    parts += [section(kind.title, kind) for kind in LAYOUTS]
    parts += [
        "## Words for folders",
        "Words count in any case and together with others: `Train`, `val_masks`, `TrainImages`.",
        words(),
        NAMES.rstrip(),
        MASKS.rstrip(),
        ANNOTATIONS.rstrip(),
        table(
            ["format", "written by"],
            [[form.title, form.export] for form in ANNOTATION_FORMATS],
        ),
    ]
    parts += [section(form.title, type(form)) for form in ANNOTATION_FORMATS]
    formats = [
        [
            form.name,
            " ".join(f"`{suffix}`" for suffix in form.suffixes),
            f"`pip install 'semiseg[{form.extra}]'`" if form.extra else "",
            form.remark,
        ]
        for form in IMAGE_FORMATS
    ]
    parts += [
        "## Image formats",
        EXTRAS.strip(),
        table(["format", "suffixes", "needs", "remark"], formats),
        "## Files that are not read",
        UNREAD.strip(),
        table(
            ["kind", "suffixes", "what to do"],
            [
                [
                    kind.name,
                    " ".join(f"`{suffix}`" for suffix in kind.suffixes),
                    kind.remedy.replace("{unlabeled}", "DATA/unlabeled"),
                ]
                for kind in FILE_KINDS
            ],
        ),
        "## dataset.yaml",
        document(dataset_file),
        "## Published data sets",
        table(
            ["`--dataset`", "data set"],
            [[f"`{name}`", dataset.title] for name, dataset in DATASETS.items()],
        ),
        "[Published data sets](datasets.md) draws their trees.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
