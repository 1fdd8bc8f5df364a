"""What a training and a prediction cost on the best device of this machine, as JSON.

It measures the step of css, unimatch and supervised (time, peak memory) in fp32, in bf16, and in
bf16 with `torch.compile`; the images a second of `predict`; and whether a resumed training ends
with the same bits. Each measurement runs in a process of its own, so that one that fails or hangs
costs only itself. The file is written after each of them; at the time limit, the rest is left out.
The steps are those of a training, with its loader, method, precision and optimizer, but without
logging and validations. Weights are random. From the root of the repository:

    bash benchmarks/gpu.sh --out gpu.json
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles
from typing import Any, TypeAlias

import torch
from scale import write_images, write_model
from step import write_data

import semiseg
from semiseg.config.network import BASE_VIT
from semiseg.config.settings import decided
from semiseg.config.sizing import crop_multiple, crop_of
from semiseg.config.train import TrainConfig
from semiseg.core import console
from semiseg.core.files import write_json
from semiseg.model.encoders import plain_vit_patch
from semiseg.model.network import Network
from semiseg.training.build import build
from semiseg.training.checkpoint import newest_intact
from semiseg.training.clock import Clock, run_steps
from semiseg.training.devices import set_device
from semiseg.training.loaders import training_loader
from semiseg.training.planning import prepare
from semiseg.training.profiling import without_warmup

Case: TypeAlias = dict[str, Any]
Result: TypeAlias = dict[str, Any]

CLASSES = 21
KINDS = ("step", "predict", "resume")
WARM_UP = 3  # steps: files are decoded, kernels are chosen, graphs are compiled
PACKAGES = ("torch", "torchvision", "lightning", "timm", "numpy", "semiseg")
LEFT_OUT_BELOW = 15.0  # seconds; less time than that is not worth a start


def cases(arguments: argparse.Namespace) -> Iterator[Case]:
    """What is measured, the most important first, since the time may end."""
    return (case for case in _all_cases(arguments) if case["case"] in arguments.cases)


def _all_cases(arguments: argparse.Namespace) -> Iterator[Case]:
    first, *others = arguments.encoders

    def step(method: str, encoder: str, precision: str, compiled: bool = False) -> Case:
        ways = {"precision": precision, "compile": compiled}
        return {"case": "step", "method": method, "encoder": encoder, **ways}

    for precision in ("bf16-mixed", "32-true"):
        for method in arguments.methods:
            yield step(method, first, precision)
    yield {"case": "predict", "encoder": first}
    for deterministic in (False, True):
        yield {"case": "resume", "encoder": first, "deterministic": deterministic}
    for method in arguments.methods:
        yield step(method, first, "bf16-mixed", compiled=True)
    for encoder in others:
        for method in arguments.methods:
            yield step(method, encoder, "bf16-mixed")


def synchronize(kind: str) -> None:
    """Wait for the device."""
    if kind != "cpu":
        torch.accelerator.synchronize()


def peak_mib(kind: str) -> float | None:
    """The most memory since the start: of the GPU's tensors, or of this process on a CPU."""
    if kind == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    if kind == "cpu" and sys.platform != "win32":
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return usage / (2**20 if sys.platform == "darwin" else 2**10)
    return None  # Apple's GPU keeps no peak


def settings(case: Case, arguments: argparse.Namespace, data: Path, out: Path) -> TrainConfig:
    """The settings of a short training."""
    crop = crop_of(arguments.crop, crop_multiple(plain_vit_patch(case["encoder"])))
    return TrainConfig.from_values(
        {
            **{"data": data, "out": out, "method": case.get("method", "css")},
            **{"size": arguments.crop, "crop": crop, "batch": arguments.batch},
            **{"encoder": case["encoder"], "weights": "none", "workers": arguments.workers},
            **{"precision": case.get("precision", "32-true"), "diagnostics": False},
            **{"steps": arguments.steps + WARM_UP, "validations": 2},
            **{"accelerator": arguments.accelerator},
        }
    )


def measure_step(case: Case, arguments: argparse.Namespace, data: Path, out: Path) -> Result:
    """Steps of a training, on the device."""
    config = without_warmup(settings(case, arguments, data, out))
    config, place, images, _ = prepare(config, set_device(config.machine))
    module = build(config, images)
    if case["compile"]:
        # In place: the networks, their weights' names and their copies stay what they are.
        for network in module.method.modules():
            if isinstance(network, Network):
                network.encoder.compile(backend=arguments.backend)
                network.decoder.compile(backend=arguments.backend)
    clock = Clock(float("inf"), 1)
    run_steps(config, module, training_loader(config, images, place), clock)
    seconds = clock.intervals[WARM_UP:]
    low, _, high = quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
    kinds = 2 if images.unlabeled else 1  # labeled and unlabeled images
    return {
        "device": place.kind,
        "crop": config.views.crop,
        "images_per_step": kinds * decided(config.schedule.batch),
        "steps": len(seconds),
        "step_ms": 1e3 * median(seconds),
        "step_ms_middle_half": [1e3 * low, 1e3 * high],
        "step_ms_without_loading": 1e3 * median(clock.steps[WARM_UP:]),
        "first_step_seconds": clock.intervals[0],
        "peak_mib": peak_mib(place.kind),
    }


def measure_predict(case: Case, arguments: argparse.Namespace, room: Path) -> Result:
    """Images a second: from files to masks in files, and of arrays in memory."""
    side = arguments.crop
    (room / "model").mkdir()
    write_model(room / "model", case["encoder"], side)
    count = arguments.images
    write_images(room / "images", count, (side * 4 // 3, side))
    model = semiseg.load(room / "model", accelerator=arguments.accelerator)
    kind = set_device(
        TrainConfig.from_values({"data": room, "accelerator": arguments.accelerator}).machine
    ).kind
    whole, alone = [], []
    picture = sorted((room / "images").iterdir())[0]
    for _ in range(2):  # the first time, kernels are chosen and files are cached
        begun = time.monotonic()
        semiseg.predict(
            room / "model",
            room / "images",
            out=room / "masks",
            overwrite=True,
            accelerator=arguments.accelerator,
        )
        whole.append(time.monotonic() - begun)
        synchronize(kind)
        begun = time.monotonic()
        for _ in range(count):
            model.predict(picture)
        alone.append(time.monotonic() - begun)
    written = len(list((room / "masks").rglob("*.png")))
    return {
        "device": kind,
        "images": written,
        "pixels": [side, side * 4 // 3],
        "predict_images_per_second": written / whole[-1],
        "one_by_one_images_per_second": count / alone[-1],
        "peak_mib": peak_mib(kind),
    }


def measure_resume(case: Case, arguments: argparse.Namespace, data: Path, room: Path) -> Result:
    """Compare a training, the same once more, and one that is resumed from its middle.

    Where already two whole trainings differ, kernels add up in an order that changes. Whether the
    resumed one has the same state can then be seen with deterministic kernels only.
    """
    if case["deterministic"]:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True, warn_only=True)
    runs = {}
    for name in ("whole", "again"):
        config = settings(case, arguments, data, room / name)
        runs[name] = semiseg.train(config).folder
    stopped = shutil.copytree(runs["whole"], room / "resumed")
    for name in ("scores.json", "model.safetensors", "model.json"):
        (stopped / name).unlink()
    last, _ = newest_intact(stopped / "checkpoints")
    last.unlink()
    _, step = newest_intact(stopped / "checkpoints")
    runs["resumed"] = semiseg.train(data, out=stopped, resume=True).folder
    weights = {name: (run / "model.safetensors").read_bytes() for name, run in runs.items()}
    return {
        "device": set_device(settings(case, arguments, data, room / "no").machine).kind,
        "resumed_from_step": step,
        "steps": arguments.steps + WARM_UP,
        "again_is_bit_exact": weights["again"] == weights["whole"],
        "resumed_is_bit_exact": weights["resumed"] == weights["whole"],
        "largest_difference_again": largest_difference(runs["again"], runs["whole"]),
        "largest_difference_resumed": largest_difference(runs["resumed"], runs["whole"]),
    }


def largest_difference(run: Path, other: Path) -> float:
    """The largest difference between two weights of two runs."""
    from safetensors.torch import load_file

    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run, other))
    return max(float((ours[n].double() - theirs[n].double()).abs().max()) for n in ours)


def measure(case: Case, arguments: argparse.Namespace) -> Result:
    """One measurement, in this process."""
    with tempfile.TemporaryDirectory() as temporary:
        room = Path(temporary)
        os.environ["SEMISEG_CACHE"] = str(room / "cache")
        if case["case"] == "predict":
            return measure_predict(case, arguments, room)
        side = arguments.crop
        data = write_data(room / "data", CLASSES, size=(side * 4 // 3, side))
        if case["case"] == "resume":
            return measure_resume(case, arguments, data, room)
        return measure_step(case, arguments, data, room / "run")


def in_process(case: Case, words: list[str], seconds: float) -> Result:
    """One measurement in a process of its own; an error or the end of the time is its result."""
    command = [sys.executable, __file__, *words, "--case", json.dumps(case)]
    begun = time.monotonic()
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return {**case, "status": "cut", "seconds": time.monotonic() - begun}
    spent = {"seconds": time.monotonic() - begun}
    if process.returncode:
        reason = [line for line in process.stderr.splitlines() if line.strip()]
        return {**case, "status": "failed", "error": "\n".join(reason[-3:]), **spent}
    return {**case, "status": "ok", **json.loads(process.stdout.splitlines()[-1]), **spent}


def machine() -> dict[str, Any]:
    """The device, the versions and the commit."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # run from the sources
            versions[name] = semiseg.__version__ if name == "semiseg" else "missing"
    versions["torch"] = torch.__version__  # with the CUDA that it was built for
    root = Path(__file__).parents[1]
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    device: dict[str, Any] = {"name": platform.processor() or platform.machine(), "kind": "cpu"}
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator().type
        device = {"name": kind, "kind": kind}
        if kind == "cuda":
            properties = torch.cuda.get_device_properties(0)
            device |= {"name": properties.name, "memory_mib": properties.total_memory / 2**20}
            device |= {"cuda": torch.version.cuda}
    cores = os.cpu_count()
    return {"device": device, "cores": cores, "versions": versions, "commit": commit or None}


def sentence(result: Result) -> str:
    """A result in one line."""
    name = " ".join(str(result[key]) for key in ("case", "method", "encoder") if key in result)
    ways = [result["precision"]] if "precision" in result else []
    ways += [way for way in ("compile", "deterministic") if result.get(way)]
    figures = {k: v for k, v in result.items() if isinstance(v, float) and k != "seconds"}
    figures |= {k: v for k, v in result.items() if k.endswith("bit_exact")}
    words = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items()]
    text = ", ".join(words) or result.get("error") or result["status"]
    return f"{' '.join([name, *ways])}: {text}"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument(
        "--limit-minutes", type=float, default=9.5, help="from the first measurement on"
    )
    parser.add_argument("--cases", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--methods", nargs="+", default=["css", "unimatch", "supervised"])
    parser.add_argument("--encoders", nargs="+", default=["resnet101", BASE_VIT])
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--batch", type=int, default=4, help="labeled, and as many unlabeled")
    parser.add_argument("--steps", type=int, default=30, help="that are counted")
    parser.add_argument("--images", type=int, default=64, help="of predict")
    parser.add_argument("--workers", type=int, default=4, help="processes that load images")
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Measure everything that the time allows."""
    arguments = parser().parse_args()
    if arguments.case is not None:
        logging.disable(logging.WARNING)
        console.silence()
        print(json.dumps(measure(arguments.case, arguments)))
        return
    # subprocess.run ends its process when an exception passes through it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ends = time.monotonic() + 60 * arguments.limit_minutes
    shown = {k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items()}
    record: dict[str, Any] = {**machine(), "settings": shown, "complete": False, "results": []}
    for case in cases(arguments):
        left = ends - time.monotonic()
        if left < LEFT_OUT_BELOW:
            result = {**case, "status": "left out"}
        else:
            result = in_process(case, sys.argv[1:], left)
        record["results"].append(result)
        write_json(arguments.out, record)
        print(sentence(result), flush=True)
    record["complete"] = all(result["status"] == "ok" for result in record["results"])
    write_json(arguments.out, record)
    print(f"{arguments.out} holds {len(record['results'])} results on {record['device']['name']}")


if __name__ == "__main__":
    main()
