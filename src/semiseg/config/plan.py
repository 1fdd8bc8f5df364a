"""The plan of a training: what is decided where the user did not, by which rule, and why.

All rules stand here; `docs/plan.md` tells them with their evidence. Without a budget the plan
follows from the data and the device alone, and is the same each time. With one, the pace of the
machine is known too: the working size, the steps, the looks and on a GPU the batch follow from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from semiseg.core.errors import ConfigError
from semiseg.core.text import duration, plural
from semiseg.core.types import Entry, Likeness, Plan, Source

Settings = Mapping[str, Any]

BATCH, LOOKS = 4, 5
RATES: dict[str, tuple[float, float]] = {"adamw": (6e-3, 1e-3), "sgd": (1e-2, 1e-3)}
"""Default learning rates of decoder and heads, and of the pretrained encoder."""

# The reference: a css step of 4 + 4 such crops takes a second to one and a half on one or two
# cores, so this is about 25 minutes. Sizes and steps grow together from it: steps with the square
# of the size.
_SIZE, STEPS = 240, 1000
_GPU_SIZE = 512  # without a budget
_SMALLEST, _LARGEST, _LARGEST_GPU = 128, 512, 768  # with a budget
_GRID = 16  # of the sizes that are tried
_MULTIPLE = 32  # of a crop, and its least
_BATCHES = (16, 8)  # on a GPU, where neither size nor steps are short
_FEWEST_STEPS, _MOST_STEPS = 100, 20_000
_RESERVE = 0.05  # of a budget: starting, checkpoints, a machine busier than when measured
_FOR_LOOKS = 0.2  # of a budget, at most
_FEW_SCORED = 6  # images of `val`
_UNLIKE, _UNLIKE_RATIO = 0.9, 2.0  # see `Likeness`; among images of one kind: up to 0.8, about 1
_UNITS = {  # as people write them, and their seconds
    "d(?:ays?)?": 86_400,
    "h(?:ours?)?": 3_600,
    "m(?:in(?:ute)?s?)?": 60,
    "s(?:ec(?:ond)?s?)?": 1,
}
_EVEN = 2.0  # the most frequent class then has at most so many times the pixels of the rarest
_WHY = {  # what docs/results.md and docs/css.md tell of the defaults
    ("photometry", "mild"): "with the threshold 0.95 a point above strong colors on camvid",
    ("scale", (0.75, 1.5)): "half the size, as in the paper, would mostly show padding",
    ("confidence_threshold", 0.95): "98 to 99 % of what it taught on camvid and peanut was right",
    ("contrast_weight", 0.1): "more has not been shown to help",
    ("indicator_temperature", 0.1): "at 0.5 no similarity of 21 classes passes 0.73 by itself",
    ("class_prior", "loss"): "representation space is right on 5 points more of camvid",
    ("class_balance", "labels"): "else easy classes are taught more than their share",
}
_SHARES = {  # of the steps
    "supervised_warmup": "the first {} steps are on labeled images alone: a teacher learns first",
    "teacher_memory": "the teacher is the mean of about {} steps; longer ones trail the student",
}
_OWN = (
    *_SHARES,
    "confidence_threshold",
    "contrast_weight",
    "indicator_temperature",
    "class_prior",
    "class_balance",
)


class Facts(NamedTuple):
    """What the rules look at.

    Attributes:
        side: median short side of the images that have masks, hidden or not, in pixels.
        labeled: labeled images.
        unlabeled: unlabeled images that the method uses.
        scenes: images of a look: those of `val`, and those of the diagnostics.
        pixels: of each class in the labeled images, by its name.
        likeness: of the unlabeled images to the labeled ones; None where it is not known.
        device: `cpu`, `cuda` or `mps`.
        world: devices that train together.
        extent: the values that gray images of more than 8 bits span; None where there are none,
            where they span their type, and where the user says it.
        val: images of `val`.
    """

    side: float
    labeled: int
    unlabeled: int
    scenes: int
    pixels: Mapping[str, int]
    likeness: Likeness | None
    device: str
    world: int
    extent: tuple[float, float] | None
    val: int


class Line(NamedTuple):
    """What grows with the pixels: `fixed + each * pixels`."""

    fixed: float
    each: float

    @classmethod
    def through(cls, *points: tuple[float, float]) -> Line:
        """The line through the first and the last `(pixels, value)`, with no part below 0."""
        (x0, y0), (x1, y1) = points[0], points[-1]
        each = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
        fixed = y1 - each * x1
        return cls(fixed, each) if each > 0 and fixed >= 0 else cls(0.0, y1 / x1)

    def at(self, pixels: float) -> float:
        """The value for so many pixels."""
        return self.fixed + self.each * pixels


class Pace(NamedTuple):
    """How fast a method is on a machine, as measured.

    Attributes:
        step: seconds of a micro batch, by labeled images times crop squared.
        look: seconds that a look takes an image, by size squared.
        most: the pixels (labeled images times crop squared) that memory holds.
        spent: seconds that reading the data and measuring took.
    """

    step: Line
    look: Line
    most: float
    spent: float


_Why = tuple[Any, Source, str]
"""A value, what it comes from, and why."""


class _Sizes(NamedTuple):
    """What costs time."""

    size: int
    crop: int
    batch: int
    steps: int
    looks: int


def parse_budget(text: str) -> float:
    """Seconds of a time such as `10m`, `2h`, `1h30m` or `1.5d`.

    Raises:
        ConfigError: it is no time.
    """
    pattern = "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _UNITS)
    found = re.fullmatch(pattern, re.sub(r"\s", "", text.lower()))
    parts = found.groups(default="0") if found else ()
    seconds = sum(float(p) * unit for p, unit in zip(parts, _UNITS.values(), strict=False))
    if not seconds:
        raise ConfigError(
            f"--budget {text} is no time. Write 90s, 10m, 2h or 1d, or several: 1h30m."
        )
    return seconds


def crop_of(size: int) -> int:
    """The largest multiple of 32 within a size."""
    return max(_MULTIPLE, size // _MULTIPLE * _MULTIPLE)


def workers_of(device: str) -> int:
    """Processes that load images."""
    cores = os.cpu_count() or 1
    # On a CPU the loader and the network share the cores: one process keeps it fed.
    return min(1 if device == "cpu" else 8, cores - 1)


def largest_size(facts: Facts, budget: bool) -> int:
    """The largest working size: the images' own, or what the device can do."""
    cpu = facts.device == "cpu"
    limit = (_LARGEST if cpu else _LARGEST_GPU) if budget else (_SIZE if cpu else _GPU_SIZE)
    return max(_MULTIPLE, min(round(facts.side), limit))


def check(settings: Settings, world: int) -> None:
    """Refuse a size that nothing can be learned at, and a budget that has nothing to decide.

    Raises:
        ConfigError: the sentence says what to change.
    """
    for name in ("size", "crop"):
        if settings[name] is not None and settings[name] < _MULTIPLE:
            told = f"--{name} {settings[name]} is too small; at least {_MULTIPLE} is needed."
            raise ConfigError(told)
    if settings["budget"] is None:
        return
    parse_budget(settings["budget"])
    size = next((n for n in ("size", "crop") if settings[n] is not None), None)
    if settings["steps"] is not None and size is not None:
        raise ConfigError(
            f"--budget, --steps and --{size} contradict one another, since the budget decides how "
            "many steps of which size there are. Leave one of them out."
        )
    if world > 1:
        raise ConfigError(
            "--budget is for one device; the pace of several is not measured. Give --steps and "
            "--size instead."
        )


def make_plan(
    settings: Settings, own: Settings, defaults: Settings, facts: Facts, pace: Pace | None = None
) -> Plan:
    """Fill in what was left open, and say why each value is what it is.

    Args:
        settings: those of `train`, None where the plan is to decide.
        own: those of the method.
        defaults: of both; what differs from them was given.
        facts: on the data and the device.
        pace: as measured, where there is a budget.

    Raises:
        ConfigError: the budget is too short.
    """
    sizes = _afforded(settings, facts, pace) if pace else _without_budget(settings, facts)
    told: dict[str, _Why] = {
        **({"budget": (settings["budget"], "user", "as given")} if pace else {}),
        **_why_range(facts),
        **_why_sizes(settings, sizes, facts, pace),
        **_why_rates(settings, sizes, facts),
        **_why_method(own, sizes.steps),
    }
    given = {k: v for k, v in {**settings, **own}.items() if v is not None}
    # A file or a comparison has lists for tuples.
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    given = {k: v for k, v in given.items() if v != defaults[k]}
    entries = [
        Entry(name, given[name], "user", "as given") if name in given else Entry(name, *why)
        for name, why in told.items()
    ]
    entries += [Entry(k, given[k], "user", "as given") for k in own if k in given and k not in told]
    seconds = None if pace is None else _seconds(settings, facts, pace, sizes)
    return Plan(tuple(entries), tuple(_warnings(facts)), seconds)


def _without_budget(settings: Settings, facts: Facts) -> _Sizes:
    """From the data and the device alone."""
    size: int = settings["size"] or largest_size(facts, budget=False)
    steps = STEPS if facts.device == "cpu" else _rounded(max(STEPS, _wanted(size)))
    return _Sizes(
        size,
        settings["crop"] or crop_of(size),
        settings["batch"] or max(BATCH, 2 * facts.world),
        settings["steps"] or steps,
        settings["looks"] or LOOKS,
    )


def _wanted(size: int) -> float:
    """The steps that are worth a size: with the square of it, so that both grow with a budget."""
    return STEPS * size**2 / _SIZE**2


def _rounded(steps: float) -> int:
    """Down to two digits."""
    unit: int = 10 ** max(0, len(str(int(steps))) - 2)
    return int(steps) // unit * unit


def _afforded(settings: Settings, facts: Facts, pace: Pace) -> _Sizes:
    """The largest size for which the budget still pays the steps it is worth; then more steps.

    Raises:
        ConfigError: it does not pay the least.
    """
    batch, need = settings["batch"] or BATCH, settings["steps"]
    tried = [_fit(settings, facts, pace, size, batch) for size in _sizes(settings, facts)]
    held = [t for t in tried if t.batch * t.crop**2 <= pace.most] or tried[:1]
    enough = [t for t in held if t.steps >= (need or _wanted(t.size))]
    best = enough[-1] if enough else held[0]
    if facts.device == "cuda" and not settings["batch"] and best is held[-1]:
        more = [_fit(settings, facts, pace, best.size, n) for n in _BATCHES]
        worth = need or 2 * max(STEPS, _wanted(best.size))
        paid = (t for t in more if t.steps >= worth and t.batch * t.crop**2 <= pace.most)
        best = next(paid, best)
    least = need or _FEWEST_STEPS
    if best.steps < least:
        # Of a budget as short as that, looks take up to their share.
        needed = _seconds(settings, facts, pace, best._replace(steps=least))
        minutes = int(needed / (1 - _RESERVE - _FOR_LOOKS) / 60) + 1
        raise ConfigError(
            f"--budget {settings['budget']} is too short on this machine: {least} steps at size "
            f"{best.size} take --budget {minutes}m. Give that or more, or a smaller --size."
        )
    return best._replace(steps=need or min(_MOST_STEPS, _rounded(best.steps)))


def _sizes(settings: Settings, facts: Facts) -> list[int]:
    """The sizes that a budget may choose among, the smallest first."""
    if settings["size"]:
        return [settings["size"]]
    if settings["crop"]:  # it decides what a step costs; the size is then that without a budget
        return [largest_size(facts, budget=False)]
    high = largest_size(facts, budget=True)
    low = min(high, _SMALLEST)
    return sorted({low, high, *range(low // _GRID * _GRID + _GRID, high, _GRID)})


def _fit(settings: Settings, facts: Facts, pace: Pace, size: int, batch: int) -> _Sizes:
    """All steps that the budget pays at a size and a batch."""
    seconds = parse_budget(settings["budget"])
    crop = settings["crop"] or crop_of(size)
    look = pace.look.at(size**2) * facts.scenes
    aside = _FOR_LOOKS * seconds
    # The report looks once more.
    looks = settings["looks"] or max(1, min(LOOKS, int(aside / look) - 1))
    for_looks = (looks + 1) * look if settings["looks"] else min(aside, (LOOKS + 1) * look)
    left = (1 - _RESERVE) * seconds - pace.spent - max(for_looks, 2 * look)
    step = settings["accumulate"] * pace.step.at(batch * crop**2)
    return _Sizes(size, crop, batch, max(0, int(left / step)), looks)


def _seconds(settings: Settings, facts: Facts, pace: Pace, sizes: _Sizes) -> float:
    """What a training takes, with its looks, the report, and what was spent already."""
    accumulate: int = settings["accumulate"]
    step = accumulate * pace.step.at(sizes.batch * sizes.crop**2)
    look = pace.look.at(sizes.size**2) * facts.scenes
    return pace.spent + sizes.steps * step + (sizes.looks + 1) * look


def _why_range(facts: Facts) -> dict[str, _Why]:
    """Black and white of images of more than 8 bits."""
    if facts.extent is None:
        return {}
    why = "what the gray images of more than 8 bits span, which becomes black and white"
    return {"range": (facts.extent, "data", why)}


def _why_sizes(
    settings: Settings, sizes: _Sizes, facts: Facts, pace: Pace | None
) -> dict[str, _Why]:
    """Size, crop, batch, steps and looks."""
    limit = largest_size(facts, budget=pace is not None and not settings["crop"])
    own = f"the short side of the images is {facts.side:g} pixels"
    place = "the CPU" if facts.device == "cpu" else "this device"
    size: _Why = (sizes.size, "data", own)
    if sizes.size < limit:
        size = (sizes.size, "budget", f"{own}, and so many are worth the time")
    elif limit < round(facts.side):
        size = (sizes.size, "device", f"{own}, at most {limit} on {place}")
    crop = f"the largest multiple of {_MULTIPLE} within the size"
    derived: Source = "default" if settings["size"] else size[1]
    each = f"{sizes.batch} labeled" + (
        f" and {sizes.batch} unlabeled images a step" if facts.unlabeled else " images a step"
    )
    repeats = ", which repeat" if facts.labeled < sizes.steps * sizes.batch else ""
    grown = sizes.batch > BATCH and not settings["batch"]
    batch = f"{each}{repeats}" + ("; the device has time for more than 4" if grown else "")
    steps: _Why = (
        sizes.steps,
        "default",
        "at size 240 about 10 minutes of a core, half an hour with a teacher",
    )
    if pace is not None:
        step = pace.step.at(sizes.batch * sizes.crop**2) * settings["accumulate"]
        whole = duration(_seconds(settings, facts, pace, sizes))
        told = f"of {step:.2g} s each as measured, in all about {whole}"
        if sizes.steps == _MOST_STEPS:
            told += "; more are not known to help, so it ends early"
        steps = (sizes.steps, "budget", told)
    elif facts.device != "cpu":
        steps = (sizes.steps, "device", f"{STEPS} at size {_SIZE}, with the square of the size")
    looks: _Why = (sizes.looks, "default", "validations, the last one after the last step")
    if pace is not None and sizes.looks < LOOKS:
        looks = (sizes.looks, "budget", "more would take over a fifth of the time")
    return {
        "size": size,
        "crop": (sizes.crop, derived, crop),
        "batch": (sizes.batch, "budget" if grown and pace else "default", batch),
        "steps": steps,
        "looks": looks,
    }


def _why_rates(settings: Settings, sizes: _Sizes, facts: Facts) -> dict[str, _Why]:
    """The other settings of `train`."""
    rest, inner = RATES[settings["optimizer"]]
    rise = round(settings["lr_warmup"] * sizes.steps)
    counts = [n for n in facts.pixels.values() if n]
    times = max(counts) / min(counts) if counts else 1.0
    if settings["class_weights"] == "none":
        weights = "each labeled pixel counts the same"
    elif times <= _EVEN:
        weights = "the classes are about equally frequent, so the weights are all about 1"
    else:
        rarest = min((n, name) for name, n in facts.pixels.items() if n)[1]
        weights = f"the commonest class has {times:,.0f} times the pixels of '{rarest}'"
        if settings["class_weights"] == "sqrt":
            weights += "; worth 5 points of mIoU on camvid"
    shared = "they share the cores with the network" if facts.device == "cpu" else "they feed it"
    return {
        "lr": (rest, "default", f"of decoder and heads with {settings['optimizer']}, falling to 0"),
        "encoder_lr": (inner, "default", "lower: the encoder is trained already"),
        "lr_warmup": (settings["lr_warmup"], "default", f"the rates rise over {rise} steps"),
        "class_weights": (settings["class_weights"], "default", weights),
        "photometry": _usual("photometry", settings),
        "scale": _usual("scale", settings),
        "workers": (workers_of(facts.device), "device", f"processes that load images; {shared}"),
    }


def _why_method(own: Settings, steps: int) -> dict[str, _Why]:
    """The settings of the method that matter most."""
    found: dict[str, _Why] = {}
    for name in (name for name in _OWN if name in own):
        if name in _SHARES:
            found[name] = (own[name], "default", _SHARES[name].format(round(own[name] * steps)))
        else:
            found[name] = _usual(name, own)
    return found


def _usual(name: str, settings: Settings) -> _Why:
    """A default, with its evidence where there is some for just this value."""
    value = settings[name]
    key = tuple(value) if isinstance(value, list) else value
    return value, "default", _WHY.get((name, key), "the method's default")


def _warnings(facts: Facts) -> list[str]:
    """What the unlabeled images will hardly help with, and scores that say little."""
    found = []
    if facts.val < _FEW_SCORED:
        found.append(
            f"warning: val has {plural(facts.val, 'image')}: a score on so few is chance, and so "
            "is what is chosen by it. Label more, or give a val/ of their own"
        )
    if 0 < facts.unlabeled < facts.labeled:
        found.append(
            f"warning: there are fewer unlabeled images ({facts.unlabeled}) than labeled ones "
            f"({facts.labeled}): they will help little, and --method supervised is faster"
        )
    near = facts.likeness
    if near and near.apart > max(_UNLIKE, _UNLIKE_RATIO * near.among):
        found.append(
            "warning: the unlabeled images look unlike the labeled ones in color and texture: "
            "they may not help. Are they of the same kind? Compare with --method supervised"
        )
    return found
