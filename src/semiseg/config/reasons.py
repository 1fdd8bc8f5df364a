"""Why each setting of a plan has its value; see `docs/plan.md` for the evidence."""

from __future__ import annotations

import math

from semiseg.config.budget import step_seconds, total_seconds
from semiseg.config.facts import Facts, Pace, Reason
from semiseg.config.methods import DEFAULT_METHOD, default_settings
from semiseg.config.settings import AUTO, decided
from semiseg.config.sizing import (
    BATCH,
    MAX_STEPS,
    REFERENCE_SIZE,
    STEPS,
    VALIDATIONS,
    VIT_STEPS_CPU,
    Sizes,
    crop_multiple,
    largest_size,
    reference_steps,
)
from semiseg.config.stage_reasons import last_steps, stage_reasons, warmup_reason
from semiseg.config.train import TrainConfig
from semiseg.core.reading import RGB_CHANNELS
from semiseg.core.text import duration

_EVEN = 2.0  # classes are about equally frequent up to this ratio of the most and least frequent
_EVIDENCE = {  # for these values; see docs/results.md and docs/css.md
    ("photometry", "mild"): "how the colors of unlabeled images change; with mild changes, mIoU "
    "on CamVid was one point better than with strong ones",
    ("scale", (0.75, 1.5)): "each view enlarges or reduces its image by a random factor in this "
    "range; below 0.75, much of a crop would be empty",
    ("confidence_threshold", 0.95): "only pseudo-labels with at least this confidence are used; "
    "98 to 99 % of them were right on CamVid and Peanut",
    (
        "confidence_threshold",
        0.5,
    ): "a label with a lower confidence is more likely wrong than right",
    ("confidence_threshold", 0.0): "all stored labels are used",
    ("agreement", "representation"): "a stored label is used where both spaces of the model agree",
    ("agreement", "frozen"): "a stored label is used where class scores on the features of the "
    "pretrained encoder agree, which no training changes",
    ("agreement", "both"): "a stored label is used where both spaces of the model agree, and class "
    "scores on the features of the pretrained encoder too",
    ("contrast_weight", 0.1): "how much the contrastive loss counts beside the others; a larger "
    "weight did not help",
    ("class_prior", "loss"): "the class prototypes expect frequent classes more often; on CamVid, "
    "their labels are then right 5 points more often",
    ("class_balance", "labels"): "pseudo-labels of each class count as its masks do; otherwise "
    "easy classes would get more than their share",
}
_SHARP, _FLAT = 0.1, 0.5  # temperatures of the indicator: the default, and that of the program
_SHARES = {  # of the steps
    "supervised_warmup": "the first {} steps use labeled images only, since the earliest "
    "pseudo-labels are mostly wrong",
    "teacher_memory": "the teacher is an average of the model that covers about {} steps; a longer "
    "one lags behind",
}
_AVERAGE = (
    "the average of the model, which may be released, covers about {} steps; it teaches nothing"
)
_METHOD_SETTINGS = (
    *_SHARES,
    "confidence_threshold",
    "agreement",
    "contrast_weight",
    "indicator_temperature",
    "class_prior",
    "class_balance",
)


def explain(
    config: TrainConfig, planned: TrainConfig, sizes: Sizes, facts: Facts, pace: Pace | None
) -> dict[str, Reason]:
    """The reasons by setting, in the order in which the plan shows them.

    Args:
        config: the settings as the user gave them.
        planned: the settings of the plan.
        sizes: the sizes of the plan.
        facts: the data and the device.
        pace: the measured speed; None without a budget.
    """
    return {
        "method": facts.method.reason,
        **_reading_reasons(facts),
        "encoder": facts.encoder.reason,
        **_weights_reason(facts),
        **_size_reasons(config, sizes, facts, pace),
        **_other_reasons(planned, facts),
        **stage_reasons(planned, facts),
        **_method_reasons(planned, facts),
    }


def _reading_reasons(facts: Facts) -> dict[str, Reason]:
    reasons = {}
    reading = facts.reading
    if reading.channels != RGB_CHANNELS:
        count = f"the images have these {reading.channels} bands; --bands reads some of them"
        reasons["bands"] = Reason("data", count)
    if reading.rgb is not None:
        reasons["rgb"] = Reason("data", "red, green and blue, as the files say")
    if reading.axes is not None:
        reasons["axes"] = Reason("data", "dataset.yaml says it")
    if reading.ranges is not None:
        text = "low and high of each band, without no-data; they become 0 and 255"
        reasons["value_range"] = Reason("data", text)
    if reading.value_range is not None:
        text = "the values in the images of more than 8 bits; they become black and white"
        reasons["value_range"] = Reason("data", text)
    if reading.nodata:
        text = "named by the files, or far from all other values; such pixels are ignored"
        reasons["nodata"] = Reason("data", text)
    return reasons


def _weights_reason(facts: Facts) -> dict[str, Reason]:
    origin = facts.encoder.weights
    return {"weights": Reason("default", origin, is_consequence=True)} if origin else {}


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
        batch += "; the training sees each image many times"
    if larger:
        batch += f"; the device has time for more than {BATCH}"
    text = "how often val scores the model, evenly spread; the last time is after the last step"
    validations = Reason("default", text)
    if pace is not None and sizes.validations < VALIDATIONS:
        text = "how often val scores the model; more would take over a fifth of the time"
        validations = Reason("budget", text)
    return {
        "size": size,
        "crop": Reason(
            size.source if "size" in open_settings else "default",
            "a step sees squares of this side, in pixels; it is the largest multiple of "
            f"{crop_multiple(facts.patch)} within the size",
        ),
        "batch": Reason("budget" if larger and pace else "default", batch),
        "steps": _steps_reason(config, sizes, facts, pace),
        "validations": validations,
    }


def _size_reason(sizes: Sizes, facts: Facts, budget: bool) -> Reason:
    limit = largest_size(facts, budget)
    side = f"the short side of your images is {facts.side:g} pixels"
    if sizes.size < limit:
        return Reason("budget", f"{side}; scaled to this size, they fit into the time")
    if limit < round(facts.side):
        place = "a CPU" if facts.device == "cpu" else "this device"
        return Reason("device", f"{side}; on {place} they are scaled to {limit} at most")
    return Reason("data", side)


def _steps_reason(config: TrainConfig, sizes: Sizes, facts: Facts, pace: Pace | None) -> Reason:
    if pace is not None:
        step = step_seconds(config, facts, pace, sizes.batch, sizes.crop)
        total = duration(total_seconds(config, facts, pace, sizes))
        text = f"a step takes {step:.2g} s, as measured, and the whole training about {total}"
        if sizes.steps == MAX_STEPS:
            text += "; more steps are not known to help, so it ends early"
        return Reason("budget", text)
    cost, same_time = facts.method.step_cost, ""
    if cost > 1:
        same_time = f"; times {cost:g}, to take as long as a training with {DEFAULT_METHOD}"
    usual = default_settings(facts.method.name).usual_steps
    if usual > 1:
        same_time = f"; times {usual:g} for {facts.method.name}, whose steps take less time"
    if facts.device != "cpu":
        text = f"{STEPS} at size {REFERENCE_SIZE}, and more with the square of the size"
        return Reason("device", text + same_time)
    if reference_steps(config, facts) == VIT_STEPS_CPU:
        text = f"{VIT_STEPS_CPU} on a CPU, where a step with a vision transformer takes about five "
        return Reason("device", f"{text}times as long{same_time}")
    if cost > 1:
        text = f"they take as long as a training with {DEFAULT_METHOD}: "
        return Reason("default", f"{text}at size 240 half an hour on one core")
    time = "half an hour" if facts.unlabeled else "10 minutes"
    return Reason("default", f"at size 240 they take about {time} on one core")


def _other_reasons(config: TrainConfig, facts: Facts) -> dict[str, Reason]:
    """The reasons for the other settings that all methods share."""
    optimizer = config.optimizer
    reasons = {}
    if facts.patch is not None:
        text = f"the encoder is a vision transformer with patches of {facts.patch} pixels"
        reasons["decoder"] = Reason("default", f"{text}; a branch of convolutions keeps detail")
        reasons |= _transformer_reasons(config)
    if config.network.feature_views not in (AUTO, 0):
        text = "fixed views of each labeled image; the frozen part of the encoder sees them once"
        reasons["feature_views"] = Reason("device", text)
        if facts.unlabeled:
            text = "the same for unlabeled images; together they take about as long"
            reasons["unlabeled_feature_views"] = Reason("device", text)
    text = f"the learning rate of decoder and heads with {optimizer.optimizer}; it falls to 0"
    reasons["lr"] = Reason("default", text)
    if config.network.trained_part.part != "head":
        text = "the learning rate of the encoder; it is lower, since the encoder is pretrained"
        reasons["encoder_lr"] = Reason("default", text)
    shared = "share the cores with the network" if facts.device == "cpu" else "feed the network"
    return reasons | {
        "lr_warmup": Reason("default", warmup_reason(config, facts), is_consequence=True),
        "class_weights": Reason("default", _class_weights_reason(config, facts)),
        "photometry": _photometry_reason(config, facts),
        "scale": _default_reason("scale", config.views.scale),
        "precision": _precision_reason(facts),
        "workers": Reason("device", f"this many processes load images and {shared}"),
    }


def _precision_reason(facts: Facts) -> Reason:
    if facts.bf16:
        text = "this GPU computes with bfloat16, which needs half the memory and is faster"
        return Reason("device", text)
    text = "numbers of 32 bits; bf16-mixed is faster on GPUs that compute with bfloat16"
    return Reason("default", text)


def _photometry_reason(config: TrainConfig, facts: Facts) -> Reason:
    if facts.unlabeled or config.views.photometry != "mild":
        return _default_reason("photometry", config.views.photometry)
    return Reason("default", "how much brightness and colors of the images change")


def _transformer_reasons(config: TrainConfig) -> dict[str, Reason]:
    """The reasons for what only a vision transformer has, where it has an effect."""
    if config.network.trained_part.part != "full":
        return {}
    factor = decided(config.optimizer.layer_decay)
    decay = f"each block has {factor:g} times the rate of the next: early blocks see what all "
    decay += "images share"
    path = "a step leaves out some branches of the last blocks, since few masks are soon memorized"
    return {"layer_decay": Reason("default", decay), "drop_path": Reason("default", path)}


def _class_weights_reason(config: TrainConfig, facts: Facts) -> str:
    counts = [n for n in facts.pixels.values() if n]
    ratio = max(counts) / min(counts) if counts else 1.0
    if config.balance.class_weights == "none":
        return "each labeled pixel counts the same"
    if ratio <= _EVEN:
        return "the classes are about equally frequent, so all weights are about 1"
    rarest = min((n, name) for name, n in facts.pixels.items() if n)[1]
    text = f"rare classes count more: the most frequent class has {ratio:,.0f} times the pixels of "
    text += f"'{rarest}'"
    if config.balance.class_weights == "sqrt":
        text += "; on CamVid, this gave 5 points of mIoU"
    return text


def _method_reasons(config: TrainConfig, facts: Facts) -> dict[str, Reason]:
    """The reasons for the most important settings of the method."""
    reasons: dict[str, Reason] = {}
    for name in _METHOD_SETTINGS:
        value = getattr(config.settings, name, None)
        if value is None or (name in _SHARES and value == 0):
            continue
        if name == "agreement" and config.settings.second_network is not None:
            continue  # the second network takes its place
        if name in _SHARES:
            teaches = name != "teacher_memory" or not config.settings.uses_stored_labels
            text = _SHARES[name] if teaches else _AVERAGE
            text = text.format(round(value * last_steps(config, facts)))
            reasons[name] = Reason("default", text, is_consequence=True)
        elif (name, value) == ("indicator_temperature", _SHARP):
            count = len(facts.pixels)
            highest = _highest_similarity(count, _FLAT)
            text = "how sharply css tells similar classes apart: "
            text += f"at {_FLAT}, with {count} classes, no similarity can exceed {highest:.2f}"
            reasons[name] = Reason("default", text)
        else:
            reasons[name] = _default_reason(name, value)
    return reasons


def _highest_similarity(classes: int, temperature: float) -> float:
    """The softmax of a cosine of 1 where those to all other prototypes are -1."""
    return 1 / (1 + (classes - 1) * math.exp(-2 / temperature))


def _default_reason(name: str, value: object) -> Reason:
    """The evidence for a default, where there is some for this very value."""
    text = _EVIDENCE.get((name, value), "the method's default")
    return Reason("default", text, is_consequence=name == "agreement")
