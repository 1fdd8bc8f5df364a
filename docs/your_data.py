"""Writes docs/your-data.md from the registries of the code: `python docs/your_data.py`.

A test compares the page with what this script would write, so that the page cannot become wrong.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from semiseg.data.datasets import DATASETS
from semiseg.data.formats.image_formats import IMAGE_FORMATS
from semiseg.data.layout_registry import LAYOUTS
from semiseg.data.layouts.accounting import FILE_KINDS
from semiseg.data.layouts.annotation_sources import ANNOTATION_FORMATS
from semiseg.data.pairing.roles import IMAGE_WORDS, MASK_WORDS, SPLIT_WORDS

PAGE = Path(__file__).with_name("your-data.md")
INTRODUCTION = """# Your data

<!-- python docs/your_data.py writes this page from the code. Change the code, or that script. -->

This page lists all layouts of folders, annotation files and image formats that semiseg reads. Most
folders need no renaming and no conversion. Let semiseg show how it reads yours:

```bash
semiseg check DATA
```

`check` prints the folders of the images and the masks, the rule that pairs them with an example,
and the classes. It counts the files that it does not use, and says what to do with them
([Files that are not read](#files-that-are-not-read)).

If semiseg reads your folder in the wrong way, or can read it in two ways, name the folders with
flags or in a file:

```bash
semiseg check DATA --images photos --masks drawn
semiseg init DATA
```

[Say what lies where](folders.md) describes the flags, the file `dataset.yaml` that `init` writes,
and groups of images.

## Layouts

semiseg tries these layouts from top to bottom, and uses the first one that fits. Before them, it
tries the [published data sets](datasets.md): their tree, their file names and their values must
fit. Your data may lie in one more folder inside `DATA`.
"""
NAMES = """## Names of masks

A mask belongs to the image with the same name. If the names differ, their common part decides:
semiseg looks for one rule that fits all masks, or nearly all of them. `check` prints this rule with
an example.

| image | mask |
|---|---|
| `07.jpg` | `07_mask.png`, `07 gt.png`, `mask_07.png`, `07.jpg.png`: any text around the name |
| `21_training.tif` | `21_manual1.gif`: both names have an ending of their own |
| `img_7.jpg` | `mask_007.png`: the numbers are equal |
| `cam1/007.jpg` | `cam1_007.png`, or `007.png` if no other camera has this image |

Upper and lower case, separators and forms of Unicode may differ if the pair is still unique.
semiseg never pairs files by their order. If a mask fits two images, semiseg stops and shows both.

- **Masks beside images.** semiseg tells them apart by their names: `07_mask.png`, `gt_07.png`,
  LabelMe's `07.json`, or PNG files beside JPEG files (`07.png` or `07_x.png` beside `07.jpg`).
- **Several masks of one image.** semiseg unites masks of single objects (`07_mask_1.png`,
  `07_mask_2.png`, or a folder of objects for each image), and warns you. If all images have masks
  with the same endings (`07_crop.png`, `07_weed.png`), the endings are the classes. If such masks
  cover the same pixels, they look like the work of several people: semiseg stops and names both
  endings.
- **Lists.** `train --labels FILE` understands the same lines as the lists of a data folder: names
  without suffix, paths of any system, and tables.
"""
MASKS = """## Masks

semiseg finds out how the masks are encoded from the values of all masks together. `check` prints
the encoding. [Masks](getting-started.md#masks) lists all encodings: ids, palettes, colors, 0 and
255, 16 bits, JPEG, instances. [Class names](getting-started.md#class-names) lists the files that
name the classes.

LabelMe's JSON files are also masks, in a folder of masks or beside the images. semiseg draws
polygons, rectangles, circles and stored masks in the order of the file, so later shapes cover
earlier ones. Pixels outside all shapes belong to the class `_background_` with index 0. Pixels in a
shape named `__ignore__` are ignored. One folder must not hold both JSON files and pixel masks.
"""


ANNOTATIONS = """## Annotation files

semiseg recognizes the files of annotation tools by their content. Names and folders do not matter.

- Class 0 is the background: all pixels outside of the areas. The classes of the file follow in
  its order. A class called `background` is class 0, and `__ignore__` is ignored.
- semiseg finds the images by the paths in the file, or else by their names in any subfolder. A
  missing image, or a name that occurs twice, is an error.
- The name of a file or of its folder gives the split: `train.json` and `val.json`, `train/` and
  `valid/`. Otherwise lists such as `train.txt` give it, or the images' folders. Without any of
  these, all images are `train`.
- semiseg skips boxes, lines and points, and counts them in a warning. A rectangle of VIA or
  LabelMe is an area; a box of COCO, YOLO, CVAT, Label Studio or Supervisely is not.
- An image without areas is unlabeled, and so are images in the same folders that no file names.
  Only two formats can say that an image is all background: YOLO with an empty label file, and Label
  Studio with a task that was submitted without regions.
- If two files describe the same image, semiseg names both and stops. If images have masks too,
  semiseg reads the masks.
- semiseg draws the masks once and stores them in its [cache](check.md#cache). It never writes
  into `DATA`.
- For other formats, such as Pascal VOC's boxes, an error names an export that semiseg can read.
"""
EXTRAS = """
Some formats need an extra of semiseg. `semiseg doctor` shows what is missing. Without the extra,
images with masks are an error. semiseg leaves out images without masks, and counts them in a
warning.
"""
BROKEN = """
Before a training, semiseg decodes each image of the folder to its end, and remembers the result
until the file changes. So it knows which images are cut off, empty or no images at all:

| the image | `check` | `train`, `plan`, `compare` and `split` |
|---|---|---|
| has no mask | a warning | name it in a warning, and go on without it |
| has a mask, or the mask cannot be read | an error | stop, and name the file |

`split/unreadable.txt` of the run lists the images that were left out. A resumed training leaves out
the same images, even if you have replaced them since; so its result stays the same, bit by bit. A
new run uses the new files. If an image breaks while a training runs, the training stops with its
name: put the file back, and continue with `--resume`.

The images of a [pool](pools.md) are too many to decode first: there another image takes the place
of a broken one.
"""

UNREAD = """
`check`, `train` and `predict` count these files by suffix and folder, and say what to do. `check`
also counts other text files, such as tables (`.csv`), in a note. semiseg does not mention hidden
files and documents: spreadsheets (`.xlsx`, `.ods`), PDF and Word files, README files, `Thumbs.db`.
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
        "Upper and lower case are the same. A name may have several words: `Train`, `val_masks`.",
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
        "## Images that cannot be read",
        BROKEN.strip(),
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
