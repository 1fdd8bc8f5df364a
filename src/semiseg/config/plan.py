"""The plan of a training: a value for each setting that is `auto`, and the reason for it.

The rules are here and in `sizing.py`; `docs/plan.md` explains them and gives the evidence. Without
a budget the plan follows from the data and the device alone. With a budget, semiseg has also
measured the speed of the machine, and the plan fits the training into the time.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

from semiseg.config.background import find_background
from semiseg.config.bands import numbers_of
from semiseg.config.budget import sizes_within, total_seconds
from semiseg.config.encoder_training import TrainedPart
from semiseg.config.facts import AS_GIVEN, Facts, Pace, Reason, Source
from semiseg.config.feature_views import choose_feature_views
from semiseg.config.groups import Optimizer
from semiseg.config.published import published_sentence
from semiseg.config.reasons import explain
from semiseg.config.recipes import mixed_papers
from semiseg.config.settings import Value, unless_auto
from semiseg.config.sizing import usual_sizes
from semiseg.config.train import TrainConfig
from semiseg.core.addresses import without_secrets
from semiseg.core.reading import Reading
from semiseg.core.text import columns, duration, plural

FORMAT = 1
"""The version of `plan.yaml`; it grows when a key changes its meaning."""

RATES: dict[Optimizer, tuple[float, float]] = {"adamw": (6e-3, 1e-3), "sgd": (1e-2, 1e-3)}
"""The usual learning rates of the decoder and heads, and of the pretrained encoder."""
TRANSFORMER_RATES: dict[Optimizer, tuple[float, float]] = {
    "adamw": (2e-3, 5e-5),
    "sgd": RATES["sgd"],
}
"""The same for a vision transformer: large steps would destroy what it has learned."""
PART_RATES: dict[TrainedPart, float] = {"last": 1e-4, "norms": 1e-3, "lora": 1e-3}
"""AdamW's rates where a part of a vision transformer is trained, which can destroy less."""
LAYER_DECAY, DROP_PATH = 0.9, 0.1
"""For a vision transformer that is trained as a whole."""

_HOW_TO_CHANGE = (
    "To change a value, give train its flag: --size 160, or --lr-warmup 0.1 for lr_warmup. "
    "`semiseg train --help-all` describes each setting."
)
_FEW_VALIDATION_IMAGES = 6
_GIVERS: dict[Source, str] = {
    "recipe": "from the recipe",
    "comparison": "from the comparison",
    "user": "as given",
}
"""Who may give a value, in the words of the summary."""


@dataclass(frozen=True)
class Entry:
    """One setting of a plan.

    Attributes:
        setting: the setting's name.
        value: its value.
        source: what decided it: `data`, `device`, `budget`, `default`, `recipe`, `comparison` or
            `user`.
        reason: the reason, as half a sentence.
    """

    setting: str
    value: Value
    source: Source
    reason: str

    @property
    def value_text(self) -> str:
        """The value in words."""
        return ", ".join(map(str, self.value)) if isinstance(self.value, list) else str(self.value)

    def __str__(self) -> str:
        """The setting and its value."""
        return f"{self.setting} {self.value_text}"


@dataclass(frozen=True)
class Plan:
    """What a training will do, and why.

    Attributes:
        config: the settings; none that the plan decides is `auto`.
        entries: the important settings and those that the user gave, each with its reason.
        warnings: one sentence for each thing that will hardly help.
        seconds: the expected seconds of the training; None if nothing was measured.
        published: what others reached with the method on the data set, as sentences; empty where
            nothing is known, or where the classes are others.
    """

    config: TrainConfig
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]
    seconds: float | None
    published: str = ""

    def value(self, setting: str) -> Value:
        """The value of a setting.

        Raises:
            KeyError: there is no such entry.
        """
        return self.entry(setting).value

    def entry(self, setting: str) -> Entry:
        """The entry of a setting.

        Raises:
            KeyError: there is no such entry.
        """
        return {entry.setting: entry for entry in self.entries}[setting]

    def summary(self) -> list[str]:
        """One sentence for each value that was chosen, and one for those that were given."""
        sentences = [
            f"{entry}: {entry.reason}"
            for entry in self.entries
            if entry.source not in ("default", *_GIVERS) and entry.setting != "workers"
        ]
        for source, words in _GIVERS.items():
            entries = [str(entry) for entry in self.entries if entry.source == source]
            if entries:
                sentences.append(f"{words}: {', '.join(entries)}")
        return sentences

    def text(self) -> str:
        """The settings with their reasons, the warnings and the time."""
        rows = [
            [e.setting, e.value_text, "you" if e.source == "user" else e.source, e.reason]
            for e in self.entries
        ]
        time = (
            "semiseg did not measure how long this takes. `semiseg train DATA --dry-run` takes one "
            "step and estimates it; --budget 20m fits the plan into 20 minutes."
            if self.seconds is None
            else f"This takes about {duration(self.seconds)} on this machine."
        )
        warnings = [f"warning: {sentence}" for sentence in self.warnings]
        table = columns(["setting", "value", "from", "why"], rows)
        published = [self.published] if self.published else []
        return "\n\n".join([table, *warnings, *published, _HOW_TO_CHANGE, time])

    def record(self) -> PlanRecord:
        """What `plan.yaml` holds."""
        seconds = None if self.seconds is None else round(self.seconds)
        return PlanRecord(self.entries, self.warnings, seconds)


@dataclass(frozen=True)
class PlanRecord:
    """The contents of `plan.yaml`.

    Attributes:
        plan: the important settings, each with its reason.
        warnings: one sentence for each thing that will hardly help.
        seconds: the expected seconds of the training; None if nothing was measured.
        format: the version of the file.
    """

    plan: tuple[Entry, ...]
    warnings: tuple[str, ...]
    seconds: int | None
    format: int = FORMAT

    def to_dict(self) -> dict[str, object]:
        """The plan as plain values, for YAML."""
        entries = [asdict(entry) for entry in self.plan]
        return {
            "format": self.format,
            "plan": entries,
            "warnings": [*self.warnings],
            "seconds": self.seconds,
        }


def workers_of(device: str) -> int:
    """The number of processes that load images."""
    cores = os.cpu_count() or 1
    # On a CPU, loader and network share the cores: one process keeps the network busy.
    return min(1 if device == "cpu" else 8, cores - 1)


def rates(
    optimizer: Optimizer, patch: int | None, part: TrainedPart = "full"
) -> tuple[float, float]:
    """The usual learning rates of the decoder and heads, and of the encoder.

    Args:
        optimizer: the optimizer.
        patch: the patch of a plain vision transformer; None for any other encoder.
        part: the part of the encoder that is trained.
    """
    if patch is None:
        return RATES[optimizer]
    rate, encoder_rate = TRANSFORMER_RATES[optimizer]
    return rate, PART_RATES.get(part, encoder_rate) if optimizer == "adamw" else encoder_rate


def early_decisions(config: TrainConfig, facts: Facts) -> dict[str, object]:
    """Method, encoder, precision, colors and how images are read: decided before any step."""
    config = config.replaced(method=facts.method.name)
    precision = "bf16-mixed" if facts.bf16 else "32-true"
    decisions: dict[str, object] = {
        "method": config.method,
        "encoder": facts.encoder.name,
        "precision": unless_auto(config.machine.precision, precision),
        "photometry": unless_auto(config.views.photometry, config.settings.preferred_photometry),
    }
    if "background" in config.open_settings():  # a setting of some methods
        index = find_background(tuple(facts.pixels))
        decisions["background"] = "first" if index == 0 else "none"
    return decisions | _reading(config, facts.reading)


def make_plan(config: TrainConfig, facts: Facts, pace: Pace | None = None) -> Plan:
    """Choose a value for each setting that is `auto`, and give the reasons.

    Args:
        config: the settings.
        facts: the data and the device, with the method; see `choose_method`.
        pace: the measured speed, where there is a budget.

    Raises:
        BudgetError: the budget is too short.
    """
    explicit = config.given()
    config = config.replaced(method=facts.method.name)
    if pace is None or config.schedule.budget is None:
        sizes = usual_sizes(config, facts)
    else:
        sizes = sizes_within(config, facts, pace)
    part = config.network.trained_part.part
    rate, encoder_rate = rates(config.optimizer.optimizer, facts.patch, part)
    whole_transformer = facts.patch is not None and part == "full"
    views = choose_feature_views(config.network, facts, config.settings.uses_frozen_features)
    decisions: dict[str, object] = {
        **sizes._asdict(),
        **early_decisions(config, facts),
        "decoder": "deeplabv3plus" if facts.patch is None else "detail",
        "lr": rate,
        "encoder_lr": encoder_rate,
        "layer_decay": LAYER_DECAY if whole_transformer else 1.0,
        "drop_path": DROP_PATH if whole_transformer else 0.0,
        "workers": workers_of(facts.device),
        "feature_views": views.labeled,
        "unlabeled_feature_views": views.unlabeled,
    }
    open_settings = config.open_settings()
    chosen = {name: value for name, value in decisions.items() if name in open_settings}
    # The budget is spent on this plan: a run that is resumed or repeated does not measure again.
    resolved = config.replaced(**(chosen | _reading(config, facts.reading)), budget=None)
    seconds = None if pace is None else total_seconds(config, facts, pace, sizes)
    reasons = explain(config, resolved, sizes, facts, pace)
    values = resolved.values()
    others = [name for name in values if name in explicit and name not in {*reasons, "budget"}]
    entries = [
        _entry(name, values[name], _given_by(config, name, reason) if is_given else reason)
        for name, reason in [*reasons.items(), *((name, AS_GIVEN) for name in others)]
        for is_given in [name in explicit or reason == AS_GIVEN]
    ]
    if pace is not None:
        entries.insert(1, _entry("budget", config.schedule.budget, AS_GIVEN))
    published = "" if facts.other_classes else published_sentence(resolved)
    return Plan(resolved, tuple(entries), tuple(_warnings(config, facts)), seconds, published)


def _reading(config: TrainConfig, reading: Reading) -> dict[str, object]:
    """How images are read, where the settings leave it open or name bands in words."""
    bands, rgb, open_settings = config.data.bands, config.data.rgb, config.open_settings()
    values: dict[str, object] = {}
    if "value_range" in open_settings and reading.value_range is not None:
        values["value_range"] = reading.value_range
    if "value_range" in open_settings and reading.ranges is not None:
        values["value_range"] = tuple(end for ends in reading.ranges for end in ends)
    if "nodata" in open_settings and reading.nodata is not None:
        values["nodata"] = reading.nodata
    if reading.bands is not None and numbers_of(bands) is None:
        values["bands"] = reading.bands
    if reading.rgb != numbers_of(rgb):
        values["rgb"] = reading.rgb
        values["bands"] = reading.bands
    if reading.axes is not None:
        values["axes"] = reading.axes
    return values


def _architecture(encoder: str) -> str:
    """The name of an encoder without the tag of its weights."""
    return encoder.partition(".")[0]


def _entry(name: str, value: Value, reason: Reason) -> Entry:
    printable_value = without_secrets(value) if isinstance(value, str) else value
    return Entry(name, printable_value, reason.source, reason.text)


def _given_by(config: TrainConfig, name: str, reason: Reason) -> Reason:
    """Who gave a value, and what follows from the value."""
    origin = config.origins.get(name, AS_GIVEN)
    text = f"{origin.text}: {reason.text}" if reason.is_consequence else origin.text
    return Reason(origin.source, text)


def _warnings(config: TrainConfig, facts: Facts) -> list[str]:
    """Warnings: two papers, other classes, random weights, too few images, useless ones."""
    warnings = mixed_papers(config)
    if facts.other_classes:
        name = config.data.dataset
        giver = config.origins.get("dataset", AS_GIVEN)
        origin = f" ({giver.text})" if giver.source == "recipe" else ""
        warnings.append(
            f"{facts.other_classes}. --dataset {name}{origin} is for that data set, so published "
            "scores say nothing about these data. If they are your own, add --dataset folder"
        )
    network = config.network
    if network.encoder_training != "full" and network.weights == "none" and not network.start_from:
        warnings.append(
            f"--encoder-training {network.encoder_training} keeps most of the encoder as it is, "
            "and --weights none makes it random. Leave --weights out, or train all of it"
        )
    second = config.settings.second_network
    if facts.second is not None and second is not None:
        if second.weights == "none":
            warnings.append(
                "--second-weights none makes the features of the second encoder random, and they "
                "stay as they are. Leave --second-weights out"
            )
        if _architecture(second.encoder) == _architecture(facts.encoder.name):
            warnings.append(
                f"both encoders are {_architecture(second.encoder)}, so the second network errs "
                "like the first one. Choose a --second-encoder of another kind"
            )
    return [*warnings, *few_validation_images(facts.val), *facts.method.warnings]


def few_validation_images(count: int) -> list[str]:
    """A warning of scores on few images, without its full stop; empty for enough images."""
    if count >= _FEW_VALIDATION_IMAGES:
        return []
    return [
        f"val has {plural(count, 'image')}. A score on so few is mostly chance, and so is every "
        "choice by it. Label more images, or add a val/ folder"
    ]
