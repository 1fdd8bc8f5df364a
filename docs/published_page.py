"""The page of the published scores, from `published.yaml`; docs/reference_pages.py writes it."""

from __future__ import annotations

import math
from fractions import Fraction

from your_data import table

from semiseg.config.published import CAUTION, PublishedScore, as_published, published_scores
from semiseg.data.datasets import DATASETS

_PAGE = """# Published scores

{mark}

These are the scores that other people published: the mean IoU on `val` in percent, with the setting
of each. semiseg has measured none of them. [Results](results.md) has the scores of semiseg.

If your run has the same data set, method and number of masks, its report and
`semiseg evaluate RUN DATA` [show it beside these scores](recipes.md#beside-the-published-scores).
[Repeat a published number](recipes.md#repeat-a-published-number) shows how to get there.

{caution}

Each table names the method as `--method` does; a method in parentheses is a variant of it. A column
with a number holds the scores with so many labeled images. A dash stands for what is unknown, or
for a number of images that the source has no score for. *A list* means that the labeled images are
those of a [published list](datasets.md#lists-of-labeled-images), and not drawn at random. Many
programs count epochs, so their steps are unknown.

{sections}

## What is not here

The page leaves out scores whose source or encoder is unknown. Programs read the same scores in
`src/semiseg/config/published.yaml`.
"""


def published_page(mark: str) -> str:
    """The text of the page, with the comment that says what writes it."""
    entries = published_scores()
    names = dict.fromkeys(entry.dataset for entry in entries)
    sections = [_section(n, [e for e in entries if e.dataset == n]) for n in names]
    return _PAGE.format(mark=mark, caution=CAUTION, sections="\n\n".join(sections))


def _section(name: str, entries: list[PublishedScore]) -> str:
    """The table of one data set, in the order of the file."""
    amounts = sorted({a for e in entries for a in e.scores}, key=Fraction)
    head = ["method", *(_amount(amount, entries[0].of) for amount in amounts)]
    head += ["source", "encoder", "crop", "steps", "labeled images"]
    rows = [
        [_method(entry), *(_score(entry, a) for a in amounts), *_setting(entry)]
        for entry in entries
    ]
    return f"## {DATASETS[name].title}\n\n`--dataset {name}`\n\n{table(head, rows)}"


def _method(entry: PublishedScore) -> str:
    """The method, with its variant if it has several."""
    return f"`{entry.method}`" + f" ({entry.variant})" * bool(entry.variant)


def _setting(entry: PublishedScore) -> list[str]:
    """The cells of how it was trained."""
    return [
        entry.source,
        entry.encoder,
        "-" if entry.crop is None else str(entry.crop),
        "-" if entry.steps is None else f"{entry.steps:,}",
        entry.images,
    ]


def _amount(amount: str, of: int) -> str:
    """A number of images; a share with the number that it means."""
    if not of:
        return amount
    return f"{amount} ({math.floor(Fraction(amount) * of + Fraction(1, 2)):,})"


def _score(entry: PublishedScore, amount: str) -> str:
    """A score as its source prints it, or a dash."""
    return as_published(entry.scores[amount]) if amount in entry.scores else "-"
