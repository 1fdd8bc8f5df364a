"""New images whose bands lie otherwise than in those of the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_maps import write_raster

from semiseg.core.errors import DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.types import NO_NAMES
from semiseg.inference.bands import reading_like

pytest.importorskip("rasterio", reason="pip install 'semiseg[geo]'")
FIVE = Reading(bands=(1, 2, 3, 4, 5))


def test_files_with_more_bands_than_the_model_are_refused_without_a_choice(tmp_path: Path) -> None:
    same, more = tmp_path / "same.tif", tmp_path / "more.tif"
    write_raster(same, np.ones((5, 20, 20), np.uint8))
    write_raster(more, np.ones((6, 20, 20), np.uint8))
    assert reading_like(FIVE, AS_STORED, NO_NAMES, [same]) == FIVE
    with pytest.raises(DataError, match=r"more\.tif has 6 bands, .* with 5: .* --bands 1,2,3,4,5"):
        reading_like(FIVE, AS_STORED, NO_NAMES, [same, more])
    own = Reading(bands=(6, 2, 3, 4, 5))
    assert reading_like(FIVE, own, NO_NAMES, [more]).bands == own.bands
    chosen = Reading(bands=(1, 2, 3, 4, 6))  # of files that had more bands already
    assert reading_like(chosen, AS_STORED, NO_NAMES, [more]) == chosen
