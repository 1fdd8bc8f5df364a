"""The plan of a training: a value for each setting that is `auto`, and the reason for it.

The rules are here and in `sizing.py`; `docs/plan.md` explains them and gives the evidence. Without
a budget the plan follows from the data and the device alone. With a budget, semiseg has also
measured the speed of the machine, and the plan fits the training into the time.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, TypeAlias

from semiseg.config.facts import Facts, Pace
from semiseg.config.settings import Value
from semiseg.config.sizing import (
    BATCH,
    CROP_MULTIPLE,
    MAX_STEPS,
    REFERENCE_SIZE,
    STEPS,
    VALIDATIONS,
    Sizes,
    choose_sizes,
    largest_size,
    total_seconds,
)
from semiseg.config.train import Optimizer, TrainConfig
from semiseg.core.text import columns, duration, plural

FORMAT = 1
"""The version of `plan.yaml`; it grows when a key changes its meaning."""

RATES: dict[Optimizer, tuple[float, float]] = {"adamw": (6e-3, 1e-3), "sgd": (1e-2, 1e-3)}
"""The usual learning rates of the decoder and heads, and of the pretrained encoder."""

_FEW_VALIDATION_IMAGES = 6
# Images of one kind are up to 0.8 apart, at a ratio of about 1; see `Likeness`.
_UNLIKE, _UNLIKE_RATIO = 0.9, 2.0
_EVEN = 2.0  # classes are about equally frequent up to this ratio of the most and least frequent
_EVIDENCE = {  # for these values; see docs/results.md and docs/css.md
    ("photometry", "mild"): "with threshold 0.95 one point better than strong colors on camvid",
    ("scale", (0.75, 1.5)): "the paper's 0.5 would mostly show padding",
    ("confidence_threshold", 0.95): "on camvid and peanut, 98 to 99 % of the kept pseudo-labels "
    "were right",
    ("contrast_weight", 0.1): "no benefit was found from a larger weight",
    ("indicator_temperature", 0.1): "at 0.5, with 21 classes, no similarity can exceed 0.73",
    ("class_prior", "loss"): "on camvid, the representation space is right on 5 points more",
    ("class_balance", "labels"): "otherwise easy classes get more than their share of "
    "pseudo-labels",
}
_SHARES = {  # of the steps
    "supervised_warmup": "the first {} steps use labeled images only, so the teacher learns first",
    "teacher_memory": "the teacher averages about {} steps; a longer average lags behind",
}
_METHOD_SETTINGS = (
    *_SHARES,
    "confidence_threshold",
    "contrast_weight",
    "indicator_temperature",
    "class_prior",
    "class_balance",
)

Source: TypeAlias = Literal["data", "device", "budget", "default", "user"]
"""What decided a value."""


class Reason(NamedTuple):
    """Why a setting has its value.

    Attributes:
        source: what decided it.
        text: the reason, as half a sentence.
    """

    source: Source
    text: str


_AS_GIVEN = Reason("user", "as given")


@dataclass(frozen=True)
class Entry:
    """One setting of a plan.

    Attributes:
        setting: the setting's name.
        value: its value.
        source: what decided it: `data`, `device`, `budget`, `default` or `user`.
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
        entries: the important settings, each with its reason.
        warnings: one sentence for each thing that will hardly help.
        seconds: the expected seconds of the training; None if nothing was measured.
    """

    config: TrainConfig
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]
    seconds: float | None

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
            if entry.source not in ("default", "user") and entry.setting != "workers"
        ]
        given = [str(entry) for entry in self.entries if entry.source == "user"]
        return [*sentences, f"as given: {', '.join(given)}"] if given else sentences

    def text(self) -> str:
        """The settings with their reasons, the warnings and the time."""
        rows = [
            [e.setting, e.value_text, "you" if e.source == "user" else e.source, e.reason]
            for e in self.entries
        ]
        time = (
            "semiseg did not measure how long this takes. `semiseg train DATA --dry-run` takes one "
            "step and estimates it; --budget 20m fits the plan into a time."
            if self.seconds is None
            else f"This takes about {duration(self.seconds)} on this machine."
        )
        warnings = [f"warning: {sentence}" for sentence in self.warnings]
        return "\n\n".join([columns(["setting", "value", "from", "why"], rows), *warnings, time])

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


def make_plan(config: TrainConfig, facts: Facts, pace: Pace | None = None) -> Plan:
    """Choose a value for each setting that is `auto`, and give the reasons.

    Args:
        config: the settings.
        facts: the data and the device.
        pace: the measured speed, where there is a budget.

    Raises:
        ConfigError: the budget is too short.
    """
    sizes = choose_sizes(config, facts, pace)
    rate, encoder_rate = RATES[config.optimizer.optimizer]
    chosen: dict[str, object] = {
        **sizes._asdict(),
        "lr": rate,
        "encoder_lr": encoder_rate,
        "workers": workers_of(facts.device),
    }
    if facts.value_range is not None:
        chosen["value_range"] = facts.value_range
    open_settings = config.open_settings()
    # The budget is spent on this plan: a run that is resumed or repeated does not measure again.
    resolved = config.replaced(
        **{name: value for name, value in chosen.items() if name in open_settings}, budget=None
    )
    seconds = None if pace is None else total_seconds(config, facts, pace, sizes)
    reasons = {
        **_range_reason(facts),
        **_size_reasons(config, sizes, facts, pace),
        **_other_reasons(resolved, facts),
        **_method_reasons(resolved, sizes.steps),
    }
    given = config.given()
    values = resolved.values()
    own = [name for name in config.settings.values() if name in given and name not in reasons]
    entries = [
        Entry(name, values[name], *(_AS_GIVEN if name in given else reason))
        for name, reason in [*reasons.items(), *((name, _AS_GIVEN) for name in own)]
    ]
    if pace is not None:
        entries.insert(0, Entry("budget", config.schedule.budget, *_AS_GIVEN))
    return Plan(resolved, tuple(entries), tuple(_warnings(facts)), seconds)


def _range_reason(facts: Facts) -> dict[str, Reason]:
    if facts.value_range is None:
        return {}
    text = "the values in the gray images of more than 8 bits; they become black and white"
    return {"value_range": Reason("data", text)}


def _size_reasons(
    config: TrainConfig, sizes: Sizes, facts: Facts, pace: Pace | None
) -> dict[str, Reason]:
    """The reasons for size, crop, batch, steps and validations."""
    open_settings = config.open_settings()
    size = _size_reason(sizes, facts, budget=pace is not None and "crop" in open_settings)
    unlabeled = f" and {sizes.batch} unlabeled" if facts.unlabeled else ""
    larger = sizes.batch > BATCH and "batch" in open_settings
    batch = f"{sizes.batch} labeled{unlabeled} images in a step"
    if facts.labeled < sizes.steps * sizes.batch:
        batch += "; they repeat"
    if larger:
        batch += f"; the device has time for more than {BATCH}"
    validations = Reason("default", "evenly spread, the last one after the last step")
    if pace is not None and sizes.validations < VALIDATIONS:
        validations = Reason("budget", "more would take over a fifth of the time")
    return {
        "size": size,
        "crop": Reason(
            size.source if "size" in open_settings else "default",
            f"the largest multiple of {CROP_MULTIPLE} within the size",
        ),
        "batch": Reason("budget" if larger and pace else "default", batch),
        "steps": _steps_reason(config, sizes, facts, pace),
        "validations": validations,
    }


def _size_reason(sizes: Sizes, facts: Facts, budget: bool) -> Reason:
    limit = largest_size(facts, budget)
    side = f"the short side of the images is {facts.side:g} pixels"
    if sizes.size < limit:
        return Reason("budget", f"{side}; this many fit into the time")
    if limit < round(facts.side):
        place = "the CPU" if facts.device == "cpu" else "this device"
        return Reason("device", f"{side}; the limit on {place} is {limit}")
    return Reason("data", side)


def _steps_reason(config: TrainConfig, sizes: Sizes, facts: Facts, pace: Pace | None) -> Reason:
    if pace is not None:
        step = pace.step.at(sizes.batch * sizes.crop**2) * config.schedule.accumulate
        total = duration(total_seconds(config, facts, pace, sizes))
        text = f"a step takes {step:.2g} s as measured, the whole training about {total}"
        if sizes.steps == MAX_STEPS:
            text += "; more steps are not known to help, so it ends early"
        return Reason("budget", text)
    if facts.device != "cpu":
        text = f"{STEPS} at size {REFERENCE_SIZE}, more with the square of the size"
        return Reason("device", text)
    return Reason(
        "default", "at size 240 about 10 minutes on one core, half an hour with a teacher"
    )


def _other_reasons(config: TrainConfig, facts: Facts) -> dict[str, Reason]:
    """The reasons for the other settings that all methods share."""
    optimizer = config.optimizer
    shared = "they share the cores with the network" if facts.device == "cpu" else "they feed it"
    rise = round(optimizer.lr_warmup * int(config.schedule.steps))
    return {
        "lr": Reason("default", f"for decoder and heads with {optimizer.optimizer}; it falls to 0"),
        "encoder_lr": Reason("default", "lower, since the encoder is pretrained"),
        "lr_warmup": Reason("default", f"the rates rise over the first {rise} steps"),
        "class_weights": Reason("default", _class_weights_reason(config, facts)),
        "photometry": _default_reason("photometry", config.views.photometry),
        "scale": _default_reason("scale", config.views.scale),
        "workers": Reason("device", f"processes that load images; {shared}"),
    }


def _class_weights_reason(config: TrainConfig, facts: Facts) -> str:
    counts = [n for n in facts.pixels.values() if n]
    ratio = max(counts) / min(counts) if counts else 1.0
    if config.balance.class_weights == "none":
        return "each labeled pixel counts the same"
    if ratio <= _EVEN:
        return "the classes are about equally frequent, so all weights are about 1"
    rarest = min((n, name) for name, n in facts.pixels.items() if n)[1]
    text = f"the most frequent class has {ratio:,.0f} times the pixels of '{rarest}'"
    if config.balance.class_weights == "sqrt":
        text += "; on camvid the weights gave 5 points of mIoU"
    return text


def _method_reasons(config: TrainConfig, steps: int) -> dict[str, Reason]:
    """The reasons for the most important settings of the method."""
    reasons: dict[str, Reason] = {}
    for name in _METHOD_SETTINGS:
        value = getattr(config.settings, name, None)
        if value is None:
            continue
        if name in _SHARES:
            reasons[name] = Reason("default", _SHARES[name].format(round(value * steps)))
        else:
            reasons[name] = _default_reason(name, value)
    return reasons


def _default_reason(name: str, value: object) -> Reason:
    """The evidence for a default, where there is some for this very value."""
    return Reason("default", _EVIDENCE.get((name, value), "the method's default"))


def _warnings(facts: Facts) -> list[str]:
    """Warnings about few validation images, and about unlabeled images that will hardly help."""
    warnings = []
    if facts.val < _FEW_VALIDATION_IMAGES:
        warnings.append(
            f"val has {plural(facts.val, 'image')}. A score on so few is mostly chance, and so is "
            "every choice by it. Label more images, or add a val/ folder"
        )
    if 0 < facts.unlabeled < facts.labeled:
        warnings.append(
            f"there are fewer unlabeled images ({facts.unlabeled}) than labeled ones "
            f"({facts.labeled}). They will help little, and --method supervised is faster"
        )
    near = facts.likeness
    if near and near.apart > max(_UNLIKE, _UNLIKE_RATIO * near.among):
        warnings.append(
            "the unlabeled images differ from the labeled ones in color and texture. They may not "
            "help. Are they of the same kind? Compare with --method supervised"
        )
    return warnings
