"""The commands: what each does in one sentence, its settings, and where its code is.

The code is named by a string, since it imports torch: the help must not wait for that.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

from semiseg.commands._flags import Section
from semiseg.commands.layers import ConfigText, chosen_method, train_config
from semiseg.commands.settings.choosing import CorrectSettings, SuggestSettings
from semiseg.commands.settings.folders import (
    CheckSettings,
    ConvertSettings,
    DownloadSettings,
    InitSettings,
    SplitSettings,
)
from semiseg.commands.settings.models import Device, PredictSettings
from semiseg.commands.settings.options import (
    CompareOptions,
    JsonOutput,
    MethodChoice,
    Output,
    Sources,
    TrainData,
    TrainOptions,
)
from semiseg.commands.settings.runs import (
    CompareSettings,
    DemoSettings,
    DoctorSettings,
    EvaluateSettings,
    ExportSettings,
    OpenSettings,
    ReportSettings,
)
from semiseg.commands.settings.writing import FramesSettings, PackSettings
from semiseg.config.compare import CompareConfig, shared_settings
from semiseg.config.grid import GridConfig
from semiseg.config.methods import DEFAULT_METHOD, METHODS
from semiseg.config.train import GROUPS, group_of

COMMON = (
    *("dataset", "labels", "method", "teacher", "steps", "budget", "seed", "batch", "size"),
    *("encoder", "start_from", "accelerator", "out"),
)
"""The settings of a training that its short help shows."""

TITLES = {
    "data": "Data",
    "schedule": "Length and batches",
    "views": "Images",
    "network": "Network",
    "optimizer": "Optimizer",
    "balance": "Classes of unequal size",
    "validation": "Validation",
    "machine": "Machine",
    "run": "Run folder",
}
"""The titles of the groups of `TrainConfig` in the help."""

_BUT_TEACHER = [name for name in METHODS["distill"].values() if name != "teacher"]
"""The settings of `distill` without the one that chooses this method by itself."""


class Result(Protocol):
    """What a command gives: it renders itself. It may also have an exit `status`."""

    def text(self) -> str:
        """The result for people."""


@runtime_checkable
class JsonResult(Result, Protocol):
    """A result that programs can read."""

    def to_dict(self) -> Mapping[str, object]:
        """The result as plain values."""


@dataclass(frozen=True)
class Verb:
    """A command.

    Attributes:
        summary: what it does, in one sentence.
        sections: its settings, for the words of the command line.
        run: does it, with the given settings by name.
    """

    summary: str
    sections: Callable[[Sequence[str]], list[Section]]
    run: Callable[[dict[str, object]], Result]


_FUNCTIONS = {"open": "open_report"}
"""The functions of commands whose own names are those of builtins."""


def load_command(name: str) -> Callable[..., Result]:
    """The public function of a command; its module is imported now."""
    word = _FUNCTIONS.get(name, name)
    function: Callable[..., Result] = getattr(
        importlib.import_module(f"semiseg.commands.{word}"), word
    )
    return function


def _simple(name: str, own: type, output: type = Output) -> Verb:
    summary = (own.__doc__ or "").partition("\n")[0]
    sections = [Section("Settings", own), Section("Output", output)]
    if issubclass(own, Device):
        shared = [field.name for field in fields(Device)]
        machine = Section("Machine", Device)
        sections = [Section("Settings", own, omitted=shared), machine, sections[-1]]
    return Verb(summary, lambda words: sections, lambda given: load_command(name)(**given))


def _train(words: Sequence[str], options: type = TrainOptions) -> list[Section]:
    """The settings of a training; `--help-all` shows all, `--help` the most common ones."""
    full = "--help-all" in words
    name = chosen_method(words)
    method = name if name in METHODS else DEFAULT_METHOD
    common = None if full or method == name else ()
    others = {type(other): other for other in METHODS.values()}.values()
    return [
        Section("Data" if full else "Common settings", TrainData),
        Section("Method" if full else "Common settings", MethodChoice),
        Section("Method" if full else "Common settings", METHODS["distill"], omitted=_BUT_TEACHER),
        *_groups(full),
        Section(f"Settings of {method}", METHODS[method], common),
        *(Section("Settings of other methods", other, ()) for other in others),
        Section("Run", options),
    ]


def _groups(full: bool, omitted: Sequence[str] = ()) -> list[Section]:
    return [
        Section(
            TITLES[name] if full else "Common settings",
            group,
            None if full else COMMON,
            omitted,
        )
        for name, group in GROUPS.items()
    ]


def _plan(words: Sequence[str]) -> list[Section]:
    return _train(words, Sources)


def _compare(words: Sequence[str]) -> list[Section]:
    """The settings of a comparison, of all its runs, and of each method by its name."""
    full = "--help-all" in words
    return [
        Section("Comparison", CompareSettings),
        Section("Comparison", GridConfig),
        *_groups(full, [name for name in group_of() if name not in shared_settings()]),
        *(
            Section(f"Settings of {name}", own, None if full else (), method=name)
            for name, own in METHODS.items()
        ),
        Section("Output", CompareOptions),
    ]


def _run_plan(flags: dict[str, object]) -> Result:
    if flags.pop("print_config", False):
        return ConfigText(train_config(flags))
    return load_command("plan")(train_config(flags))


def _run_train(flags: dict[str, object]) -> Result:
    names = ("overwrite", "resume", "dry_run", "print_config")
    overwrite, resume, dry_run, print_config = (bool(flags.pop(n, False)) for n in names)
    config = train_config(flags)
    if print_config:
        return ConfigText(config)
    if dry_run:
        return load_command("dry_run")(config)
    return load_command("train")(config, overwrite=overwrite, resume=resume)


def _run_compare(flags: dict[str, object]) -> Result:
    dry_run = bool(flags.pop("dry_run", False))
    options: dict[str, object] = {}
    methods: dict[str, dict[str, object]] = {}
    for name, value in flags.items():
        method, _, setting = name.rpartition("__")
        if method:
            methods.setdefault(method, {})[setting] = value
        else:
            options[name] = value
    config = CompareConfig.from_values({**options, **methods})  # an error needs no torch
    return load_command("compare")(config, dry_run=dry_run)


VERBS = {
    "check": _simple("check", CheckSettings, JsonOutput),
    "init": _simple("init", InitSettings, JsonOutput),
    "plan": Verb(
        "Show what a training would do with a data folder, and why.",
        _plan,
        _run_plan,
    ),
    "train": Verb(
        "Train a segmentation model from a few labeled and many unlabeled images.",
        _train,
        _run_train,
    ),
    "evaluate": _simple("evaluate", EvaluateSettings, JsonOutput),
    "predict": _simple("predict", PredictSettings),
    "compare": Verb(CompareSettings.__doc__ or "", _compare, _run_compare),
    "report": _simple("report", ReportSettings),
    "open": _simple("open", OpenSettings),
    "suggest": _simple("suggest", SuggestSettings),
    "correct": _simple("correct", CorrectSettings),
    "export": _simple("export", ExportSettings),
    "demo": _simple("demo", DemoSettings),
    "convert": _simple("convert", ConvertSettings),
    "split": _simple("split", SplitSettings),
    "download": _simple("download", DownloadSettings),
    "pack": _simple("pack", PackSettings),
    "frames": _simple("frames", FramesSettings),
    "doctor": _simple("doctor", DoctorSettings, JsonOutput),
}
"""The commands by name, in the order of the help."""
