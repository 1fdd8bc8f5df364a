"""The walk-through of CONTRIBUTING.md to a new data set is run, and the docs know all of them.

`tests/test_sets.py` tests its data set as all others.
"""

import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from semiseg.cli import main
from semiseg.config.recipes import names
from semiseg.core.errors import DataError
from semiseg.data.datasets import DATASETS
from semiseg.data.formats.masks import read_mask
from semiseg.data.reader import load_dataset

ROOT = Path(__file__).parents[1]
TINY = ["--weights=none", "--size=48", "--crop=32", "--batch=2", "--steps=2", "--validations=1"]
TINY += ["--workers=0", "--accelerator=cpu", "--method=supervised", "--encoder=lcnet_035"]


@pytest.fixture
def tree(loveda, official_tree):
    """The tree of the walk-through's data set, which is registered."""
    return official_tree("loveda")


def test_the_data_set_of_the_walk_through_reads_its_ids_less_one(tree):
    folder = load_dataset(tree)
    assert len(folder.train) == 4
    assert len(folder.val) == 2
    raw = np.array(Image.open(folder.val[0].mask))
    index = np.array(read_mask(folder.val[0].mask, folder.classes))
    np.testing.assert_array_equal(index, np.where(raw == 0, 255, raw.astype(int) - 1))


def test_a_part_of_it_says_what_is_missing(tree):
    (tree / "Val" / "Urban").rename(tree / "elsewhere")
    with pytest.raises(DataError, match=r"lacks Val/Urban/images_png.*zenodo\.org"):
        load_dataset(tree)


@pytest.mark.slow
def test_the_commands_of_the_walk_through_run(tree, walk_through, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = walk_through("Add a data set", "bash")[0].replace("DATA", str(tree)).splitlines()
    check, train = (shlex.split(line)[1:] for line in lines)
    main(check)  # an exit status above 0 is a SystemExit
    main([*train, *TINY])
    assert yaml.safe_load(Path("runs/loveda/config.yaml").read_text())["labels"] == "2"


def test_the_docs_have_a_row_for_each_data_set_and_recipe():
    pages = {page: (ROOT / "docs" / f"{page}.md").read_text() for page in ("datasets", "recipes")}
    for dataset in DATASETS.values():
        row = next(x for x in pages["datasets"].splitlines() if x.startswith(f"| `{dataset.name}`"))
        assert dataset.license in row or "as above" in row
        assert dataset.home.split()[0].rstrip("/") in row.replace("/)", ")")
    for name in names():
        assert f"\n| `{name}`" in pages["recipes"]
