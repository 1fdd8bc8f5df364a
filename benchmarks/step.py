"""What a training step costs, beside the network alone.

The bare network is what nobody can do without: the teacher's forward on what the method shows it,
in inference mode; one forward of the student on labeled and strong images; cross-entropy on logits
enlarged to the crop; backward; optimizer; moving average. The step is that of a training: the same
`fit`, loader, method, logging. After each step of the training a bare one is taken, so that both
see the same machine; the ratio is the median over such pairs. Times are those of the processor
(all threads of the process), which do not count what others do; the wall's stand beside them.

A method may show its networks more than that. So its own passes are repeated too: each call of its
networks in the step, with the same inputs, forward and, where it had a gradient, backward. `own` is
the step over these, `supervised` the step over that of the first method. From the root of the
repository:

    OMP_NUM_THREADS=1 python benchmarks/step.py --classes 11 21 150
    OMP_NUM_THREADS=1 python benchmarks/step.py --methods all --classes 11
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import logging
import os
import pkgutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map

import semiseg.methods
from semiseg.config.methods import METHODS, default_settings
from semiseg.config.train import TrainConfig
from semiseg.core import console
from semiseg.core.types import Batch
from semiseg.methods import Method, mixed_views
from semiseg.model.network import Network, upsample
from semiseg.training import batches, checkpoint, trainer
from semiseg.training.build import build
from semiseg.training.devices import set_device
from semiseg.training.labeling.store import NoLabels
from semiseg.training.module import TrainingModule
from semiseg.training.stage import Stage

SKIPPED = 3  # steps before anything is measured: files are decoded, memory is fetched
USUAL = ("supervised", "mean_teacher", "cutmix", "css")
# Presets of papers are made for large machines.
ALL = tuple(name for name in METHODS if not name.endswith(("-paper", "-program")))


def write_data(
    root: Path, classes: int, unlabeled: int = 16, size: tuple[int, int] = (480, 360)
) -> Path:
    """A data folder of clouds with blocky masks; beyond 16 of a kind files are hard links."""
    rng = np.random.default_rng(0)
    folders = {"train": 16, "unlabeled": unlabeled, "val": 1}
    then = time.time() - 60  # files of this moment are not kept decoded
    for split, count in folders.items():
        pictures = root / split / ("images" if split != "unlabeled" else "")
        pictures.mkdir(parents=True)
        for i in range(count):
            if i >= 16:
                os.link(pictures / f"{i % 16:06d}.jpg", pictures / f"{i:06d}.jpg")
                continue
            coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
            image.save(pictures / f"{i:06d}.jpg", quality=92)
            os.utime(pictures / f"{i:06d}.jpg", (then, then))
            if split == "unlabeled":
                continue
            masks = root / split / "masks"
            masks.mkdir(exist_ok=True)
            blocks = rng.integers(0, classes, (6, 8), dtype=np.uint8)
            mask = Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)
            mask.save(masks / f"{i:06d}.png")
            os.utime(masks / f"{i:06d}.png", (then, then))
    lines = [f"  - {{name: c{i}, id: {i}}}\n" for i in range(classes)]
    (root / "classes.yaml").write_text("classes:\n" + "".join(lines), encoding="utf-8")
    return root


class Clock:
    """Seconds by part; a part that runs within another is not counted in that one."""

    def __init__(self) -> None:
        self.now: dict[str, float] = defaultdict(float)
        self.running = ["rest"]
        self.last = time.process_time()

    def turn(self) -> None:
        """What has passed belongs to the part that is running."""
        now = time.process_time()
        self.now[self.running[-1]] += now - self.last
        self.last = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    def begin(self, name: str) -> None:
        self.turn()
        self.running.append(name)

    def end(self) -> None:
        self.turn()
        self.running.pop()

    def wrap(self, owner: object, attribute: str, name: str) -> Callable[[], None]:
        """Time a function or method in place; the result puts the original back."""
        inner = getattr(owner, attribute)
        own = attribute in vars(owner)

        @functools.wraps(inner)
        def timed(*args: object, **kwargs: object) -> object:
            with self.part(name):
                return inner(*args, **kwargs)

        setattr(owner, attribute, timed)
        return lambda: setattr(owner, attribute, inner) if own else delattr(owner, attribute)


class Bare:
    """The network alone, with an optimizer and an average of its own."""

    def __init__(self, module: TrainingModule) -> None:
        self.student = copy.deepcopy(module.method.student).train()
        self.teacher = copy.deepcopy(self.student).eval().requires_grad_(False)
        parameters = [p for p in self.student.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step(self, batch: Batch, teacher_input: str) -> None:
        """One step.

        Args:
            batch: images as floats, and their frozen features if they are cached.
            teacher_input: what the method's teacher looks at: `none`, `weak` or `all`.
        """
        labeled, unlabeled = batch.labeled, batch.unlabeled
        inputs, mask = labeled.inputs, labeled.mask
        if unlabeled is not None:
            weak = unlabeled.weak_inputs
            with torch.inference_mode():
                self.teacher(*(mixed_views.join(inputs, weak) if teacher_input == "all" else weak))
            inputs = mixed_views.join(inputs, unlabeled.strong_inputs)
            mask = torch.cat([mask, mask])
        size = mask.shape[-2:]
        logits = upsample(self.student(*inputs).logits, size, size)
        F.cross_entropy(logits, mask, ignore_index=255).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if unlabeled is not None:
            own, theirs = ([*n.parameters()] for n in (self.teacher, self.student))
            torch._foreach_lerp_(own, [p.detach() for p in theirs], 0.03)


class Call(NamedTuple):
    """A call of a part of a method.

    Attributes:
        part: the name of the part.
        function: the name of its function.
        arguments: the positional ones; tensors are leaves of their own.
        gradient: whether there is a backward pass.
        training: whether the part was in train mode.
    """

    part: str
    function: str
    arguments: tuple[object, ...]
    gradient: bool
    training: bool


class Passes:
    """The forward and backward passes of a method's parts alone, on copies of these."""

    def __init__(self, method: Method) -> None:
        self.copies = dict(copy.deepcopy(method).named_modules())
        self.calls: list[Call] = []
        self.inside = False

    def watch(self, method: Method) -> list[Callable[[], None]]:
        """Note each call of a part; the results put the parts' functions back."""
        extra = [auxiliary.module for auxiliary in method.auxiliary()]
        undo = []
        for name, part in method.named_modules():
            if isinstance(part, Network):
                functions = ("forward", "encode", "decode", "heads")
                undo += [self._note(name, part, function) for function in functions]
            elif any(part is module for module in extra):
                undo.append(self._note(name, part, "forward"))
        return undo

    def _note(self, name: str, part: nn.Module, function: str) -> Callable[[], None]:
        inner, own = getattr(part, function), function in vars(part)

        @functools.wraps(inner)
        def noted(*arguments: object) -> object:
            if self.inside:  # one part of another's call
                return inner(*arguments)
            leaves = tree_map(
                lambda x: x.detach().requires_grad_(x.requires_grad) if torch.is_tensor(x) else x,
                arguments,
            )
            gradient = torch.is_grad_enabled()
            self.calls.append(Call(name, function, leaves, gradient, part.training))
            self.inside = True
            try:
                return inner(*arguments)
            finally:
                self.inside = False

        setattr(part, function, noted)
        return lambda: setattr(part, function, inner) if own else delattr(part, function)

    def step(self) -> None:
        """Repeat the calls since the last one."""
        for call in self.calls:
            part = self.copies[call.part]
            if part.training != call.training:
                part.train(call.training)
            with torch.set_grad_enabled(call.gradient):
                output = getattr(part, call.function)(*call.arguments)
            tensors: list[Tensor] = [x for x in tree_leaves(output) if torch.is_tensor(x)]
            outputs = [x for x in tensors if x.requires_grad and x.grad_fn is not None]
            if outputs:
                torch.autograd.backward(outputs, [torch.ones_like(x) for x in outputs])
        for part in self.copies.values():
            for parameter in part.parameters(recurse=False):
                parameter.grad = None
        self.calls.clear()


class Probe(Callback):
    """Times the steps of a training; after each, it takes its own passes alone, and a bare step."""

    def __init__(self, bare: Bare | None, passes: Passes, teacher_input: str, clock: Clock) -> None:
        self.bare, self.passes, self.clock = bare, passes, clock
        self.teacher_input = teacher_input
        self.steps: list[tuple[float, float]] = []
        self.owns: list[float] = []
        self.bares: list[tuple[float, float]] = []
        self.parts: list[dict[str, float]] = []
        self.began = (time.process_time(), time.perf_counter())

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        self.clock.turn()
        middle = (time.process_time(), time.perf_counter())
        if trainer.global_step > SKIPPED:
            self.steps.append((middle[0] - self.began[0], middle[1] - self.began[1]))
            self.parts.append(dict(self.clock.now))
        if self.bare is None:
            self.passes.calls.clear()
        else:
            self.passes.step()
            own = time.process_time() - middle[0]
            if trainer.global_step > SKIPPED:
                self.owns.append(own)
            middle = (time.process_time(), time.perf_counter())
            self.bare.step(batch, self.teacher_input)
        end = (time.process_time(), time.perf_counter())
        if trainer.global_step > SKIPPED:
            self.bares.append((end[0] - middle[0], end[1] - middle[1]))
        self.clock.now.clear()
        self.began = (time.process_time(), time.perf_counter())
        self.clock.last = self.began[0]

    def on_before_backward(self, *args: object) -> None:
        self.clock.begin("backward")

    def on_after_backward(self, *args: object) -> None:
        self.clock.end()

    def on_before_optimizer_step(self, *args: object) -> None:
        self.clock.begin("optimizer")  # until the step's hook ends it


def watch(clock: Clock, module: TrainingModule) -> list[Callable[[], None]]:
    """Time the parts of a training."""
    method, undo = module.method, []
    undo.append(clock.wrap(batches.TrainingBatches, "__getitem__", "loader"))
    undo.append(clock.wrap(module, "on_before_batch_transfer", "frozen features"))
    undo.append(clock.wrap(module, "on_after_batch_transfer", "floats"))
    for network in method.students():
        functions = ("forward", "encode", "decode", "heads")
        undo += [clock.wrap(network, function, "student") for function in functions]
    undo.append(clock.wrap(method, "supervised_loss", "losses"))
    undo.append(clock.wrap(method, "compute", "labels and the like"))
    undo.append(clock.wrap(method, "after_step", "moving average"))
    undo.append(clock.wrap(module, "log_dict", "logging"))
    if method.teacher is not None:
        undo.append(clock.wrap(method.teacher, "forward", "teacher"))
    names = [
        f"semiseg.methods.{info.name}" for info in pkgutil.iter_modules(semiseg.methods.__path__)
    ]
    for owner in (sys.modules[name] for name in names if name in sys.modules):
        for name, part in (
            ("cut_mix", "mixing"),
            ("upsample", "upsampling"),
            ("unsupervised_loss", "losses"),
            ("pseudo_label_loss", "losses"),
            ("consistency_loss", "losses"),
            ("draw_pixels", "contrast"),
            ("contrastive_loss", "contrast"),
        ):
            if hasattr(owner, name):
                undo.append(clock.wrap(owner, name, part))
    if hasattr(method, "new_prototypes"):
        undo.append(clock.wrap(method, "new_prototypes", "prototypes"))
    return undo


def measure(
    name: str, data: Path, out: Path, arguments: argparse.Namespace, bare: bool = True
) -> Probe:
    """Train a few steps, with a bare one and its own passes after each if so wanted."""
    values = {
        **{"data": data, "method": name, "out": out, "steps": arguments.repeats + SKIPPED + 1},
        **{"size": arguments.crop, "crop": arguments.crop, "batch": arguments.batch},
        **{"encoder": arguments.encoder, "weights": arguments.weights},
        **{"encoder_training": arguments.encoder_training},
        **{"validations": 1, "diagnostics": False, "workers": 0},
        **{"accelerator": arguments.accelerator, "devices": arguments.devices},
    }
    own_settings = {field.name for field in dataclasses.fields(default_settings(name))}
    if "teacher" in own_settings:
        values["teacher"] = data / "train" / "masks"
    config = TrainConfig.from_values(values)
    console.silence()
    config.out.mkdir()
    config, place, images, _ = trainer.prepare(config, set_device(config.machine))
    if config.settings.uses_stored_labels:
        images = images._replace(labels=NoLabels())  # their values cost nothing
    module = build(config, images)
    clock, teacher_input = Clock(), "all" if name == "css" else "weak"
    passes = Passes(module.method)
    probe = Probe(Bare(module) if bare else None, passes, teacher_input, clock)
    module.configure_callbacks = lambda: [probe]
    configure = module.configure_optimizers

    def configure_timed() -> object:
        parts = configure()
        parts["optimizer"].register_step_post_hook(lambda *_: clock.end())
        return parts

    module.configure_optimizers = configure_timed
    undo = [*watch(clock, module), *passes.watch(module.method)]
    trainer.fit(Stage(1, 1, config, config), place, images, module, None, 0)
    for put_back in reversed(undo):
        put_back()
    if place.rank > 0:
        raise SystemExit(0)  # the first process tells
    return probe


def shares(probe: Probe) -> str:
    """The parts of a step in milliseconds, the largest first."""
    names = {name for durations in probe.parts for name in durations}
    each = {n: 1e3 * median(durations.get(n, 0.0) for durations in probe.parts) for n in names}
    return ", ".join(f"{n} {v:.1f}" for n, v in sorted(each.items(), key=lambda item: -item[1]))


def main() -> None:
    """Measure each method with each number of classes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--methods", nargs="+", default=USUAL, help="names, or all")
    parser.add_argument("--classes", nargs="+", type=int, default=[11, 21, 150])
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4, help="labeled, and as many unlabeled")
    parser.add_argument("--encoder", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--encoder-training", default="full", help="of the training and the bare")
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--devices", type=int, default=1, help="more only with one method")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    checkpoint._SECONDS = float("inf")  # one a minute: where steps take long, one a step
    print(f"{torch.get_num_threads()} threads; milliseconds of the processor (of the wall)")
    methods = ALL if arguments.methods == ["all"] else arguments.methods
    print("| method | classes | bare | step | ratio | middle half | own | supervised |")
    print("|---|---:|---:|---:|---:|---|---:|---:|")
    lines, ratios = [], []
    for classes in arguments.classes:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            os.environ["SEMISEG_CACHE"] = str(root / "cache")
            data = write_data(root / "data", classes)
            first = 0.0
            for name in methods:
                probe = measure(name, data, root / name, arguments)
                pairs = list(zip(probe.steps, probe.bares, strict=True))[:-1]  # the last one looks
                slower = sorted(step[0] / bare[0] for step, bare in pairs)
                low, high = slower[len(slower) // 4], slower[-1 - len(slower) // 4]
                walls = median(step[1] / bare[1] for step, bare in pairs)
                own = median(s[0] / o for s, o in zip(probe.steps, probe.owns, strict=True))
                mean = [[1e3 * median(p[k][i] for p in pairs) for i in (0, 1)] for k in (1, 0)]
                first = first or mean[1][0]
                print(
                    f"| {name} | {classes} | {mean[0][0]:.0f} ({mean[0][1]:.0f}) "
                    f"| {mean[1][0]:.0f} ({mean[1][1]:.0f}) | {median(slower):.3f} ({walls:.3f}) "
                    f"| {low:.3f} to {high:.3f} | {own:.3f} | {mean[1][0] / first:.2f} |",
                    flush=True,
                )
                lines.append(f"{name}, {classes} classes: {shares(probe)}")
                ratios.append(f"{name} {classes}: {median(slower):.3f}")
    print("\nparts of a step, ms\n" + "\n".join(lines))
    print("ratio " + ", ".join(ratios))


if __name__ == "__main__":
    main()
