"""What several test files share: a small data folder, and the real data where they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from semiseg.data.masks import Classes
from semiseg.data.synthetic import COLORS, NAMES, write_scenes


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


def _release(folder: Path, prototypes: bool) -> Path:
    """A model of random weights, as a training would have left it behind."""
    import torch

    from semiseg.draws import Key
    from semiseg.model.network import Network
    from semiseg.model.release import save_release

    classes = Classes(NAMES, COLORS, "ids", tuple(range(len(NAMES))))
    Key.of(0, "test").seed_globals()
    network = Network(len(NAMES), "lcnet_035", "fpn", weights="none")
    network.spec["crop"] = 64
    torch.nn.init.normal_(network.logit_head.weight, std=3)
    tensors = {}
    if prototypes:
        network.add_representation_head(8)
        seen = torch.arange(len(NAMES)) < len(NAMES) - 1
        tensors = {"prototypes": torch.randn(len(NAMES), 8), "seen": seen}
    about = {"method": "css" if prototypes else "supervised"}
    save_release(folder, network.eval(), classes, 48, None, tensors, about)
    return folder


@pytest.fixture(scope="session")
def css_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights that has prototypes of all classes but the last."""
    return _release(tmp_path_factory.mktemp("css"), True)


@pytest.fixture(scope="session")
def plain_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights without prototypes."""
    return _release(tmp_path_factory.mktemp("plain"), False)
