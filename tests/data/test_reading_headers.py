"""What is asked of an image's header does not decode its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semiseg.core.reading import Reading
from semiseg.data import value_range
from semiseg.data.formats.images import has_raster
from semiseg.data.value_range import describe_depth


def _refuse(*_: object) -> None:
    raise AssertionError("the pixels were decoded")


def test_images_of_8_bits_are_not_decoded_to_ask_for_their_depth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    monkeypatch.setattr(value_range, "decode_image", _refuse)
    assert describe_depth([tmp_path / "a.png"], Reading()) == ""


def test_images_of_16_bits_have_a_raster(tmp_path: Path) -> None:
    Image.fromarray(np.full((6, 8), 900, np.uint16)).save(tmp_path / "deep.png")
    Image.new("L", (8, 6)).save(tmp_path / "flat.png")
    assert has_raster(tmp_path / "deep.png")
    assert not has_raster(tmp_path / "flat.png")
