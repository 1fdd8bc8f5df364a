"""The settings of the runs of a comparison, and what its reader should be careful about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from semiseg.comparison.records import BASELINE, SAME_TIME
from semiseg.comparison.rows import Row
from semiseg.config.methods import METHODS, default_settings
from semiseg.config.settings import AUTO
from semiseg.config.train import FREE, group_of
from semiseg.core.text import percent, plural

_ALWAYS = (
    *("steps", "batch", "accumulate", "size", "crop", "scale", "photometry"),
    *("encoder", "decoder", "optimizer", "lr", "encoder_lr", "weight_decay", "precision"),
)
"""The settings that a description of an experiment needs, also where all methods share them."""
_OF_THE_RUN = {*FREE, "data", "labels", "seed", "split_seed", "unlabeled", "start_from"}
FEW_STEPS = 100
_SMALL_SHARE = 0.01  # of the pixels of unlabeled images
_OTHER_TIME = 0.2  # as a share of the time that each run should take


def settings_table(rows: Sequence[Row]) -> list[list[str]]:
    """The important settings by method, and all others that differ between the methods.

    Returns:
        The head (`setting` and the methods), and a line for each setting; empty if no run has
        settings.
    """
    configs = _configs(rows)
    if not configs:
        return []
    values = {
        method: {
            name: "/".join(dict.fromkeys(_spell(config.get(name)) for config in own))
            for name in group_of()
        }
        for method, own in configs.items()
    }
    steps = {row.method: [r.scores.steps for r in row.records] for row in rows}
    for method, own in values.items():
        own["steps"] = "/".join(dict.fromkeys(f"{count:,}" for count in steps[method]))
    names = [
        name
        for name in group_of()
        if name not in _OF_THE_RUN and len({own[name] for own in values.values()}) > 1
    ]
    ordered = dict.fromkeys((*_ALWAYS, *names))
    lines = [[name, *(own[name] for own in values.values())] for name in ordered]
    return [["setting", *values], *lines]


def own_settings(rows: Sequence[Row]) -> dict[str, str]:
    """The settings that only a method has, as text, by method; methods without any are left out."""
    texts = {}
    for method, own in _configs(rows).items():
        if method in METHODS:
            names = default_settings(method).values()
            values = [f"{name} {_spell(own[0][name])}" for name in names if name in own[0]]
            texts[method] = ", ".join(values)
    return {method: text for method, text in texts.items() if text}


def cautions(rows: Sequence[Row], seconds: float | None, missing: int = 0) -> list[str]:
    """What keeps the numbers from saying what a reader may take from them, as sentences.

    Args:
        rows: the rows.
        seconds: the time that each run should take; None with equal steps.
        missing: the runs that have still to be trained.
    """
    sentences = []
    if missing:
        sentences.append(
            f"The result is preliminary: {plural(missing, 'run')} must still finish. The "
            "intervals are corrected only for the methods that have finished runs."
        )
    if seconds is not None and have_other_times(rows, seconds):
        times = {row.method: row.seconds for row in rows}
        real = ", ".join(f"{method} {time:.0f} s" for method, time in times.items())
        sentences.append(
            f"The methods did not take equal time: each run should take {seconds:.0f} s, "
            f"but the means are {real}."
        )
    return [*sentences, *(sentence for row in rows for sentence in _doubts(row))]


def have_other_times(rows: Sequence[Row], seconds: float) -> bool:
    """Whether runs that should take so many seconds did not."""
    return any(abs(row.seconds - seconds) > _OTHER_TIME * seconds for row in rows)


def _doubts(row: Row) -> list[str]:
    """Why a row says nothing about its method: few steps, or hardly any unlabeled pixel."""
    if row.method in (BASELINE, SAME_TIME):
        return []
    reasons = []
    if row.steps < FEW_STEPS:
        reasons.append(f"its runs have {row.steps} steps, fewer than {FEW_STEPS}")
    shares = [record.used for record in row.records if record.used is not None]
    if shares and fmean(shares) < _SMALL_SHARE:
        share = percent(100 * fmean(shares))
        reasons.append(f"it used {share} % of the pixels of the unlabeled images")
    if not reasons:
        return []
    return [
        f"This comparison says nothing about {row.method} with labels {row.labels_name}: "
        f"{', and '.join(reasons)}. Give the runs more steps or more time."
    ]


def _configs(rows: Sequence[Row]) -> dict[str, list[Mapping[str, object]]]:
    """The settings of the runs by the method of their row."""
    configs: dict[str, list[Mapping[str, object]]] = {}
    for row in rows:
        for record in row.records:
            if record.config:
                configs.setdefault(row.method, []).append(record.config)
    return configs


def _spell(value: object) -> str:
    """A value in a table."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, AUTO) else str(value)
