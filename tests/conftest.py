"""What several test files share: a small data folder, and the real data where they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from semiseg.data.synthetic import write_scenes


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the check notes of files stays out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMISEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets and samples beside the repository; the test is skipped without them."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of ten drawn scenes, 48 x 64. All tests share it: copy it to change it."""
    root = tmp_path_factory.mktemp("tiny") / "data"
    return write_scenes(root, labeled=4, unlabeled=4, val=2, size=(48, 64))
