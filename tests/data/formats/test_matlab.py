"""MATLAB files are masks if one matrix of ids is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import io

from semiseg.core.errors import DataError
from semiseg.data.formats.masks import read_mask
from semiseg.data.formats.matlab import read_matrix
from semiseg.data.reader import load_dataset

IDS = np.array([[0, 1, 2], [2, 1, 0], [1, 1, 1], [0, 0, 2]], np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        {"S": IDS},
        {"anything": IDS},
        {"mask": IDS.astype(np.float64), "other": IDS + 1},
        {"inst": IDS + 5, "LabelMap": IDS},
        {"GTcls": {"Segmentation": IDS, "Categories": [1, 2]}},
        {"data": IDS, "names": ["soil", "crop"], "score": 0.5},
    ],
)
def test_the_matrix_of_ids_is_found(tmp_path: Path, content: dict[str, object]) -> None:
    io.savemat(tmp_path / "a.mat", content)
    np.testing.assert_array_equal(read_matrix(tmp_path / "a.mat"), IDS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": IDS, "b": IDS}, "has a, b"),
        ({"a": IDS + 0.5}, "has none"),
        ({"text": "nothing"}, "has none"),
        ({"a": np.zeros((2, 3, 4))}, "has none"),
    ],
)
def test_no_matrix_or_several_are_refused(
    tmp_path: Path, content: dict[str, object], message: str
) -> None:
    io.savemat(tmp_path / "a.mat", content)
    with pytest.raises(DataError, match=message):
        read_matrix(tmp_path / "a.mat")


def test_files_that_are_damaged_or_of_version_7_3_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(b"no file of MATLAB" * 20)
    with pytest.raises(DataError, match=r"a\.mat cannot be read as a mask"):
        read_matrix(path)
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(head + b"\x00" * 400)
    with pytest.raises(DataError, match=r"version 7\.3"):
        read_matrix(path)


def test_a_folder_of_matlab_files_holds_the_masks_of_images(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 3, 3), 90, np.uint8)).save(tmp_path / "images" / f"{name}.png")
        if name != "c":
            io.savemat(tmp_path / "masks" / f"{name}.mat", {"mask": IDS})
    data = load_dataset(tmp_path)
    assert [sample.mask is not None for sample in data.train] == [True, True, False]
    assert data.classes.names == ("0", "1", "2")
    mask = data.train[0].mask
    assert mask is not None
    np.testing.assert_array_equal(read_mask(mask, data.classes), IDS)
