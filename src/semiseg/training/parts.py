"""What a training is put together from: where it runs, its images, its network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from semiseg.augment.focus import Focus
from semiseg.config.plan import check as check_plan
from semiseg.core.types import Plan
from semiseg.data.dataset import Dataset
from semiseg.data.splits import Split
from semiseg.training import run_folder, session
from semiseg.training.devices import Place, part_of, set_device
from semiseg.training.module import TrainingModule
from semiseg.training.planning import prepare


class Parts(NamedTuple):
    """What a training is put together from."""

    place: Place
    options: dict[str, Any]
    folder: Dataset
    split: Split
    plan: Plan
    module: TrainingModule
    focus: Focus | None
    checkpoint: Path | None
    start: int


def settle_place(s: SimpleNamespace, options: Mapping[str, Any]) -> Place:
    """Check the settings, and find out where they are to run."""
    session.check(vars(s), options)
    place = set_device(s.accelerator, s.threads, s.devices, s.num_nodes)
    s.threads = place.threads
    check_plan(vars(s), place.world)
    if s.batch is not None:
        part_of(s.batch, place)
    session.console.quiet = session.console.quiet or place.rank > 0
    return place


def build(s: SimpleNamespace, options: Mapping[str, Any], place: Place, resume: bool) -> Parts:
    """Read the data and build the network; what was derived is written into the settings."""
    options, folder, split, plan = prepare(s, options, place, resume)
    if not resume:
        session.say(plan.brief())
    checkpoint, start = run_folder.continued(s.out, split, folder.classes) if resume else (None, 0)
    module, focus = session.assemble(s, options, folder, split, checkpoint is not None)
    if resume:
        session.say([f"going on after step {start} of {s.steps}"])
    if s.init is not None and checkpoint is None:
        session.start_from(module.method, Path(s.init), folder.classes.names, s)
    return Parts(place, options, folder, split, plan, module, focus, checkpoint, start)


def fit(parts: Parts, s: SimpleNamespace) -> None:
    """The training itself; see `session.fit`."""
    place, classes = parts.place, parts.folder.classes
    session.fit(
        parts.module,
        session.training_loader(parts.split, classes, s, place, parts.start, parts.focus),
        session.validation_loader(parts.split, classes, s, place),
        place,
        session.diagnostics(parts.split, classes, s),
        s,
        parts.checkpoint,
        parts.start,
    )
