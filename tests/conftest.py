"""What several test files share: a small data folder, and the real data where they are."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from choices import only_choice
from filelock import FileLock
from PIL import Image
from scipy.io import savemat

from semiseg.core.scores import (
    Adjustment,
    ClassScores,
    MeanIou,
    Scores,
    SplitRecord,
    Timing,
)
from semiseg.data.datasets import DATASETS
from semiseg.data.formats.masks import Classes
from semiseg.scenes.draw import COLORS, NAMES, write_scenes

if TYPE_CHECKING:
    from semiseg.methods import Method

FOR_CI = (
    "browser",
    "cluster",
    "distributed",
    "exports",
    "faults",
    "gpu",
    "programs",
    "release",
    "servers",
    "variants",
)
"""Marks of tests that only `.ci/run` runs; `ci` stands for all of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that is neither `slow` nor left to `.ci/run` as `fast`."""
    for item in items:
        if any(item.get_closest_marker(name) for name in FOR_CI):
            item.add_marker(pytest.mark.ci)
        elif item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.fast)


class SharedFolder:
    """A folder that all processes of one test session share, for what is made once.

    Tests read what is in it. A test that changes files copies them first.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def once(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder of that name; `make` fills it, in the first process that asks for it."""
        folder, done = self.root / name, self.root / f"{name}.done"
        with FileLock(self.root / f"{name}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> SharedFolder:
    """With `-n`, the parent of the folders of all processes."""
    root = tmp_path_factory.getbasetemp()
    return SharedFolder(root.parent if "PYTEST_XDIST_WORKER" in os.environ else root)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the check notes of files stays out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMISEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread_side_by_side() -> Iterator[None]:
    """With `-n`, processes that each use every core would wait for one another."""
    with pytest.MonkeyPatch.context() as patch:
        if "PYTEST_XDIST_WORKER" in os.environ:
            import torch

            patch.setenv("OMP_NUM_THREADS", "1")
            torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def _collected_at() -> list[float]:
    """The memory in MiB after the last collection, first that of torch and the tests."""
    return [_resident()]


@pytest.fixture(autouse=True, scope="module")
def _memory_given_back(_collected_at: list[float]) -> Iterator[None]:
    """After a file with large arrays, the C library keeps what they took: gigabytes in the end."""
    yield
    if _resident() < _collected_at[0] + 300:  # a collection takes a third of a second
        return
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
    _collected_at[0] = _resident()


def _resident() -> float:
    """The memory in MiB that this process has now; 0 on a system that does not tell it."""
    if sys.platform != "linux":
        return 0.0
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.fixture(autouse=True, scope="session")
def _no_reports() -> Iterator[None]:
    """A training in the tests draws no pages, which takes a second; their own tests draw them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("semiseg.commands.train.write_report", lambda *folders: True)
        patch.setattr("semiseg.commands.train.live_report", lambda: None)
        yield


_DRAW = "semiseg.training.diagnostics.Diagnostics._draw"


@pytest.fixture(autouse=True, scope="session")
def _no_pictures() -> Iterator[Callable[..., None]]:
    """Nor does it draw its diagnostics, which takes half of its time; see `pictures_drawn`."""
    from semiseg.training.diagnostics import Diagnostics

    draw = Diagnostics._draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_DRAW, lambda *words: None)
        yield draw


@pytest.fixture(scope="session")
def pictures_drawn(
    _no_pictures: Callable[..., None],
) -> Callable[[], AbstractContextManager[None]]:
    """Gives a context in which a training draws its diagnostics."""

    @contextmanager
    def drawn() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_DRAW, _no_pictures)
            yield

    return drawn


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What semiseg logs, from notes on; without the command line nothing is printed."""
    caplog.set_level(logging.INFO, logger="semiseg")
    return caplog


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets and samples beside the repository; the test is skipped without them."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def tiny_folder(shared_folder: SharedFolder) -> Path:
    """A data folder of ten drawn scenes, 48 x 64. All tests share it: copy it to change it."""
    return shared_folder.once(
        "data", lambda root: write_scenes(root, labeled=4, unlabeled=4, val=2, size=(48, 64))
    )


TINY_SETTINGS = {
    **{"weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 4, "validations": 2},
    **{"labels": "2", "workers": 0, "threads": 1, "accelerator": "cpu"},
    "encoder": "lcnet_035",
}


@pytest.fixture(scope="session")
def tiny_settings() -> dict[str, object]:
    """The settings of `tiny_run`: a small encoder, four steps at 48 pixels, two labels."""
    return dict(TINY_SETTINGS)


@pytest.fixture(scope="session")
def tiny_run(shared_folder: SharedFolder, tiny_folder: Path) -> Callable[[str], Path]:
    """The run folder of a method, trained on `tiny_folder` once. Copy it to change it."""
    import semiseg

    def run(method: str) -> Path:
        def train(out: Path) -> None:
            semiseg.train(tiny_folder, method=method, out=out, **TINY_SETTINGS)

        return shared_folder.once(f"run-{method}", train)

    return run


@pytest.fixture(scope="session")
def needed_settings(tiny_run: Callable[[str], Path]) -> Callable[[str], dict[str, object]]:
    """The settings without which a method cannot train: a teacher, where labels are stored."""
    from semiseg.config.methods import DistillSettings, default_settings

    def settings(method: str) -> dict[str, object]:
        named = isinstance(default_settings(method), DistillSettings)
        return {"teacher": tiny_run("css")} if named else {}

    return settings


@pytest.fixture
def tiny_method() -> Callable[..., Method]:
    """Builds a method around the default network without pretrained weights.

    The function takes the method's name, the number of classes, and settings of the method.
    """
    from semiseg.config.methods import default_settings
    from semiseg.methods import build_method
    from semiseg.model.network import Network

    def build(name: str, classes: int = 3, **settings: object) -> Method:
        own = dataclasses.replace(default_settings(name), **settings)
        return build_method(name, Network(classes, "lcnet_035", weights="none"), own)

    return build


class Tree:
    """Writes a data set's official tree with drawn images and blocky masks, all from a seed."""

    def __init__(self, root: Path, size: tuple[int, int] = (48, 64)) -> None:
        self.root, self.size, self.rng = root, size, np.random.default_rng(0)

    def put(self, image: str, mask: str | None = None, ids: tuple[int, ...] = ()) -> None:
        """An image, and a mask whose 16 fields hold ids drawn from `ids`."""
        height, width = self.size
        pixels = self.rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        self.save(image, pixels)
        if mask is not None:
            fields = self.rng.choice(ids, (4, 4))
            fields.flat[: len(ids)] = ids[:16]
            codes = np.kron(fields, np.ones((height // 4, width // 4), np.int64)).astype(np.uint8)
            self.save(mask, codes)

    def save(self, name: str, pixels: np.ndarray) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".mat":
            savemat(path, {"S": pixels})
        else:
            Image.fromarray(pixels).save(path)

    def text(self, name: str, *lines: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))


def _voc(tree: Tree) -> None:
    stems = [f"2007_{i:06d}" for i in range(10)]
    for i, stem in enumerate(stems):
        tree.put(f"JPEGImages/{stem}.jpg", f"SegmentationClassAug/{stem}.png", (0, 1, 20, 255))
        if i < 6:
            tree.put(f"JPEGImages/{stem}.jpg", f"SegmentationClass/{stem}.png", (0, 1, 20, 255))
    tree.put("JPEGImages/2009_000099.jpg")  # of another task of VOC
    tree.text("ImageSets/Segmentation/train.txt", *stems[:4])
    tree.text("ImageSets/Segmentation/val.txt", *stems[4:6])


def _cityscapes(tree: Tree) -> None:
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            city, stem = ("jena", "weimar")[i % 2], f"{i:06d}_000019"
            at = f"{split}/{city}/{city}_{stem}"
            mask = f"gtFine/{at}_gtFine_labelIds.png"
            tree.put(f"leftImg8bit/{at}_leftImg8bit.png", mask, (0, 4, 7, 8, 11, 33))


def _ade20k(tree: Tree) -> None:
    for folder, word, count in (("training", "train", 4), ("validation", "val", 2)):
        for i in range(1, count + 1):
            name = f"{folder}/ADE_{word}_{i:08d}"
            tree.put(f"images/{name}.jpg", f"annotations/{name}.png", (0, 1, 2, 150))


def _cocostuff(tree: Tree) -> None:
    for listing, start, count in (("train", 1, 4), ("test", 5, 2)):
        names = [f"COCO_train2014_{i:012d}" for i in range(start, start + count)]
        for name in names:
            tree.put(f"images/{name}.jpg", f"annotations/{name}.mat", (0, 1, 13, 92, 182))
        tree.text(f"imageLists/{listing}.txt", *names)


def _camvid(tree: Tree) -> None:
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        names = [f"0001TP_{i:06d}.png" for i in range(count)]
        for name in names:
            tree.put(f"{split}/{name}", f"{split}annot/{name}", (0, 3, 10, 11))
        tree.text(f"{split}.txt", *(f"/SegNet/CamVid/{split}/{n} x" for n in names))


def _coco(tree: Tree) -> None:
    for split, count in (("train", 4), ("val", 2)):
        images = [
            {"id": i, "file_name": f"{i}.jpg", "height": tree.size[0], "width": tree.size[1]}
            for i in range(count)
        ]
        shapes = []
        for i in range(count):
            tree.put(f"{split}2017/{i}.jpg")
            large, small = [4, 4, 60, 4, 60, 40, 4, 40], [20, 12, 40, 12, 40, 28, 20, 28]
            for category, outline in ((90, small), (3, large)):
                shapes.append({"image_id": i, "category_id": category, "segmentation": [outline]})
        categories = [{"id": 90, "name": "weed"}, {"id": 3, "name": "crop"}]
        content = {"images": images, "annotations": shapes, "categories": categories}
        tree.text(f"annotations/instances_{split}2017.json", json.dumps(content))


class OfficialTree(NamedTuple):
    """How the tree of a published data set is drawn.

    Attributes:
        draw: writes at least four labeled images of train, and two of val.
        required: a folder without which the tree is incomplete.
    """

    draw: Callable[[Tree], None]
    required: str


_TREES = {
    "voc": OfficialTree(_voc, required="SegmentationClass"),
    "voc-blender": OfficialTree(_voc, required="SegmentationClass"),
    "cityscapes": OfficialTree(_cityscapes, required="gtFine/val"),
    "ade20k": OfficialTree(_ade20k, required="images/training"),
    "cocostuff10k": OfficialTree(_cocostuff, required="images"),
    "camvid": OfficialTree(_camvid, required="valannot"),
    "coco": OfficialTree(_coco, required="train2017"),
}


@pytest.fixture
def official_tree(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the official tree of a data set by its name: four labeled images or more, two val."""

    def write(name: str) -> Path:
        tree = Tree(tmp_path / name)
        _TREES[name].draw(tree)
        return tree.root

    return write


@pytest.fixture
def required_folder() -> Callable[[str], str]:
    """The folder without which the tree of a data set is incomplete, by the data set's name."""
    return lambda name: _TREES[name].required


def walk_through(title: str, language: str) -> list[str]:
    """The code of a section of CONTRIBUTING.md in its order."""
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


@pytest.fixture(name="walk_through")
def walk_through_fixture() -> Callable[[str, str], list[str]]:
    """Gives the code of a section of CONTRIBUTING.md, by the section's title and the language."""
    return walk_through


@pytest.fixture
def loveda(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data set of the walk-through in CONTRIBUTING.md, registered as it says."""
    dataset, tree = walk_through("Add a data set", "python")
    (entry,) = walk_through("Add a data set", "py")
    names: dict[str, Any] = {"Tree": Tree, "OfficialTree": OfficialTree}
    exec(compile(tree, "conftest.py", "exec"), names)
    exec(compile(f"added = {{{entry}}}", "conftest.py", "exec"), names)
    for name, official in names["added"].items():
        monkeypatch.setitem(_TREES, name, official)
    module: dict[str, Any] = {}
    exec(compile(dataset, "loveda.py", "exec"), module)
    monkeypatch.setitem(DATASETS, "loveda", module["LoveDa"]())


def _release(folder: Path, prototypes: bool) -> Path:
    """A model of random weights, as a training would have left it behind."""
    import torch

    from semiseg.core.rng import Key
    from semiseg.model.metadata import ModelMetadata
    from semiseg.model.network import Network
    from semiseg.model.release import Release, save_release

    classes = Classes(NAMES, COLORS, "ids", tuple(range(len(NAMES))))
    Key.of(0, "test").seed_globals()
    network = Network(len(NAMES), "lcnet_035", "fpn", weights="none")
    network.set_crop(64)
    torch.nn.init.normal_(network.logit_head.weight, std=3)
    tensors = {}
    if prototypes:
        network.add_representation_head(8)
        seen = torch.arange(len(NAMES)) < len(NAMES) - 1
        tensors = {"prototypes": torch.randn(len(NAMES), 8), "seen": seen}
        tensors["similarity_prior"] = torch.linspace(-0.3, -0.05, len(NAMES))
    metadata = ModelMetadata(
        network=network.spec,
        classes=classes,
        size=48,
        method="css" if prototypes else "supervised",
    )
    save_release(folder, Release(network.eval(), tensors, metadata))
    return folder


@pytest.fixture(scope="session")
def css_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights that has prototypes of all classes but the last."""
    return _release(tmp_path_factory.mktemp("css"), True)


@pytest.fixture(scope="session")
def plain_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights without prototypes."""
    return _release(tmp_path_factory.mktemp("plain"), False)


@pytest.fixture(scope="session")
def sized_release(css_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`css_release`, trained on images with a short side of 96 pixels, twice its working size."""
    folder = tmp_path_factory.mktemp("sized")
    (folder / "model.safetensors").symlink_to(css_release / "model.safetensors")
    content = json.loads((css_release / "model.json").read_text())
    references = {"scale": [0.5] * 10, "limit": 5.0, "images": ["1 " * 10, "-2 " * 10]}
    more = {"side": 96, "references": references}
    (folder / "model.json").write_text(json.dumps(content | more))
    return folder


@pytest.fixture(scope="session")
def exported(shared_folder: SharedFolder, sized_release: Path) -> Path:
    """`sized_release` as an ONNX file. An export takes as long as many trainings."""

    def write(folder: Path) -> None:
        import semiseg

        export = semiseg.export(sized_release, out=folder / "css.onnx")
        assert export.path == folder / "css.onnx"
        assert export.difference < 1e-3
        assert export.image == "a drawn scene"
        assert [path.name for path in folder.iterdir()] == ["css.onnx"]

    return shared_folder.once("exported", write) / "css.onnx"


class Reported(NamedTuple):
    """A finished run with its report, of data whose names are a stranger's."""

    data: Path
    run: Path
    page: Path


STRANGE_CLASS = "_<b>$soil$</b>"
STRANGE_IMAGE = '<img src=x onerror=alert(1)> & "it\'s"'


@pytest.fixture(scope="session")
def reported(
    tmp_path_factory: pytest.TempPathFactory,
    pictures_drawn: Callable[[], AbstractContextManager[None]],
) -> Reported:
    """A run of four steps by `css`, and its report."""
    import semiseg

    root = tmp_path_factory.mktemp("reported")
    data = write_scenes(root / "data", labeled=4, unlabeled=2, val=8, size=(48, 64))
    names = data / "classes.yaml"
    names.write_text(names.read_text().replace("name: soil", f"name: {json.dumps(STRANGE_CLASS)}"))
    for folder in ("images", "masks"):
        for file in (data / "val" / folder).glob("0003.*"):
            file.rename(file.with_stem(STRANGE_IMAGE))
    settings = {"weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 4, "validations": 2}
    settings |= {"workers": 0, "accelerator": "cpu", "labels": 2, "scale": (0.5, 1.5)}
    settings |= {"encoder": "lcnet_035"}
    with pictures_drawn():
        run = semiseg.train(data, method="css", out=root / "run", **settings, anchors=16).folder
    return Reported(data, run, semiseg.report(run).path)


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison with two methods and two seeds, without the models."""
    from semiseg.comparison.folder import write_config
    from semiseg.config.compare import CompareConfig

    folder = tmp_path_factory.mktemp("compared")
    values = {"data": "my data", "labels": 8, "seeds": "0,1", "steps": 10, "out": folder}
    values["methods"] = "supervised,css"
    write_config(CompareConfig.from_values({**values, "css": {"anchors": 128}}))
    for method, gain in (("supervised", 0.0), ("css", 3.0)):
        for seed in (0, 1):
            miou = 40 + gain + seed * (1 + gain / 15)
            scores = Scores(
                method=method,
                miou=MeanIou(miou - 1, miou + 1, miou),
                per_class={
                    STRANGE_CLASS: ClassScores(miou - 5, 80.0, 80.0, 80.0, 100),
                    "weed": ClassScores(None, None, None, None, 0),
                },
                which="student",
                adjustment=Adjustment(0.0, miou),
                choice=only_choice(miou),
                labels=8,
                steps=10,
                skipped_steps=0,
                seconds=20.0,
                timing=Timing(1.0, 3.0),
                split=SplitRecord(0, "l", "u", "v", {"labeled": 8, "unlabeled": 4, "val": 2}),
                versions={"semiseg": "0"},
            )
            run = folder / f"{method}-8-{seed}"
            run.mkdir()
            config = {"method": method, "labels": "8", "seed": seed, "data": "my data"}
            (run / "config.yaml").write_text(json.dumps(config))
            (run / "scores.json").write_text(json.dumps(scores.to_dict()))
            (run / "report.html").touch()
    (folder / "comparison.json").write_text(
        json.dumps({"format": 1, "failed": {"css-8-2": "<i>no</i> luck"}})
    )
    return folder
