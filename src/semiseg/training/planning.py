"""Reads the data of a training and makes its plan; what was derived goes into the settings."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, NamedTuple

from semiseg.config.methods import default_settings
from semiseg.config.plan import Facts, largest_size, make_plan
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.core.types import Plan
from semiseg.data.dataset import Dataset
from semiseg.data.likeness import likeness
from semiseg.data.splits import Split, make_split
from semiseg.training import class_balance as imbalance
from semiseg.training import run_folder, session
from semiseg.training.devices import Place
from semiseg.training.diagnostics import choose_sample
from semiseg.training.pace import measure
from semiseg.training.train import train


class Prepared(NamedTuple):
    """A training of which all is settled and nothing built.

    Attributes:
        options: all settings of the method.
        folder: the data.
        split: the images.
        plan: what is derived, and why.
    """

    options: dict[str, Any]
    folder: Dataset
    split: Split
    plan: Plan


def prepare(s: SimpleNamespace, options: Mapping[str, Any], place: Place, resume: bool) -> Prepared:
    """Read the data, plan, and fill in the settings that were left open.

    With a budget some steps are measured; the settings then hold what follows from it, and the
    budget no more, so that a run that is resumed or repeated does not measure again.
    """
    began = time.monotonic()
    own = session.method_settings(s.method)
    options = {**own, **options}
    classes_file = None if s.classes is None else Path(s.classes)
    folder = session.checked_folder(Path(s.data), classes_file, s.range, s.dataset)
    split = make_split(folder, s.labels, s.split_seed, run_folder.held_out(s.out, s.init, resume))
    uses = default_settings(s.method).uses_unlabeled
    images = f"{plural(len(split.labeled), 'image')} with masks"
    images += f" and {len(split.unlabeled)} without" if uses else ""
    learned = f"{s.method} learns from {images}; {len(split.val)} of val score it"
    session.say([*folder.notes, *split.notes, learned])
    facts = _facts(s, folder, split, place, resume)
    pace = None
    if s.budget is not None:
        session.say([f"measuring a few steps, to see what --budget {s.budget} pays for"])
        side = largest_size(facts, budget=True)
        pace = measure(s, options, folder, split, place, side, began)
    defaults = {name: p.default for name, p in inspect.signature(train).parameters.items()}
    plan = make_plan(vars(s), options, {**defaults, **own}, facts, pace)
    for entry in plan.entries:
        if entry.setting in vars(s):
            setattr(s, entry.setting, entry.value)
    s.budget = None
    return Prepared(options, folder, split, plan)


def _facts(s: SimpleNamespace, folder: Dataset, split: Split, place: Place, resume: bool) -> Facts:
    names = folder.classes.names
    counts = imbalance.count_pixels(split.labeled, folder.pixels, len(names))
    uses = default_settings(s.method).uses_unlabeled
    unlabeled = split.unlabeled if uses else ()
    key = Key.of(s.seed, "plan")
    extent = s.range
    if extent is None and not resume:
        # All images, so that it is the same with few and with all masks.
        extent = folder.inferred_range
    watched = choose_sample(split, key) if s.diagnostics and unlabeled else ()
    return Facts(
        # Hidden masks count, too: with few and with all masks a comparison trains at one size.
        side=median(min(folder.images[s.image].size) for s in (*split.labeled, *split.hidden)),
        labeled=len(split.labeled),
        unlabeled=len(unlabeled),
        scenes=len(split.val) + len(watched),
        pixels=dict(zip(names, counts, strict=True)),
        # A run that goes on was warned when it began.
        likeness=None if resume else likeness(split.labeled, unlabeled, key, extent),
        device=place.kind,
        world=place.world,
        extent=None if s.range is not None else extent,
        val=len(split.val),
    )
