"""Writes docs/your-data.md from the registries of the code: `python docs/your_data.py`.

A test compares the page with what this script would write, so that the page cannot become wrong.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from semiseg.data import dataset_file
from semiseg.data.accounting import FILE_KINDS
from semiseg.data.annotation_sources import ANNOTATION_FORMATS
from semiseg.data.datasets import DATASETS
from semiseg.data.formats.image_formats import IMAGE_FORMATS
from semiseg.data.layouts import LAYOUTS
from semiseg.data.roles import IMAGE_WORDS, MASK_WORDS, SPLIT_WORDS

PAGE = Path(__file__).with_name("your-data.md")
INTRODUCTION = """# Your data

<!-- python docs/your_data.py writes this page from the code. Change the code, or that script. -->

semiseg reads most folders as they are. You need not rename or convert anything. Ask it what it
reads:

```bash
semiseg check DATA
```

`check` prints which folders hold the images and the masks, the rule that pairs them with an
example, and the classes. It names every file that it does not use, and says what to do with it.

If semiseg reads your folder in another way than you mean, say where things are, with flags or in a
file:

```bash
semiseg check DATA --images photos --masks drawn
semiseg init DATA
```

`init` writes `dataset.yaml` and `classes.yaml` with what semiseg found, ready to be edited. If a
folder can be read in two ways, semiseg stops, shows both, and prints the command for each.
[Say what lies where](folders.md) describes the flags, `dataset.yaml` and groups of images.

## Layouts

semiseg tries these layouts from top to bottom. The first one that fits reads the folder. A
[published data set](datasets.md) comes before them if its tree, its file names and its values fit.
One folder around everything does no harm.
"""
MASKS = """## Masks

semiseg recognizes the encoding from the values of all masks together, and `check` prints it.

| the masks are | semiseg reads them as |
|---|---|
| gray images with small numbers (0, 1, 2, ...) | class ids |
| palette images | class ids; by color if the palettes of the files differ |
| RGB images | one class for each color |
| gray images with only 0 and 255, or images of 1 bit | two classes; 255 is the foreground |
| gray images with a few distant values (0, 85, 170) | one class for each value |
| 16-bit images with ids above 255 | class ids; `predict` writes 16-bit masks with the same ids |
| floating-point TIFF with whole numbers | class ids; NaN is ignored |
| JPEG files or soft edges, of two classes | split at the middle; doubtful pixels are ignored |
| each object with a number of its own (Cellpose, QuPath) | two classes: background and object |
| several black-and-white files for one image | united into one mask |

In masks of ids, 255 means *ignore*, unless the masks hold only 0 and 255.
"""


def document(kind: object) -> tuple[str, str, str]:
    """The first paragraph of a docstring, its drawn tree, and what follows."""
    text = inspect.getdoc(kind) or ""
    text = re.split(r"^Args:$|^Attributes:$", text, flags=re.MULTILINE)[0]
    first, _, rest = text.partition("\n\n")
    drawn = re.search(r"```[a-z]*\n(.*?)```", rest, re.DOTALL)
    tree = drawn[1].rstrip() if drawn else ""
    after = rest[drawn.end() :] if drawn else rest
    before = rest[: drawn.start()] if drawn else ""
    return _flow(first), tree, "\n\n".join(_flow(p) for p in (before, after) if p.strip())


def _flow(text: str) -> str:
    """Each paragraph on one line."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(p.split()) for p in paragraphs)


def section(title: str, kind: object, *extra: str) -> str:
    """A heading with the docstring of a class."""
    first, tree, rest = document(kind)
    parts = [f"### {title}", first, *extra]
    if tree:
        parts.append(f"```text\n{tree}\n```")
    return "\n\n".join([*parts, rest] if rest else parts)


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
        MASKS.rstrip(),
        "## Annotation files",
        "The files that annotation tools write are read in place of masks. semiseg draws the masks "
        "once, into its cache.",
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
        table(["format", "suffixes", "needs", "remark"], formats),
        "## Files that are not read",
        "`check`, `train` and `predict` count them by suffix and folder, and say what to do.",
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
        document(dataset_file)[0],
        f"```yaml\n{_yaml_example()}\n```",
        document(dataset_file)[2],
        "## Published data sets",
        table(
            ["`--dataset`", "data set"],
            [[f"`{name}`", dataset.title] for name, dataset in DATASETS.items()],
        ),
        "[Published data sets](datasets.md) draws their trees.",
    ]
    return "\n\n".join(parts) + "\n"


def _yaml_example() -> str:
    text = inspect.getdoc(dataset_file) or ""
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    return example[1].rstrip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
