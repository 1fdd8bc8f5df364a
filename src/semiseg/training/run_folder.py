"""The run folder: what a training leaves behind.

```
RUN/
  config.yaml        every setting, as resolved; `semiseg train --config` repeats the run
  plan.yaml          the settings that matter, each with its reason; see `semiseg.config.plan`
  split/             labeled.txt, unlabeled.txt, val.txt: the names of the images; classes.json
  checkpoints/       the two newest checkpoints, to resume from
  metrics.csv        losses and scores by step; tensorboard/ holds the same
  diagnostics/       how good the pseudo-labels were; see `training.diagnostics`
  scores.json        the scores, with split hashes and versions
  confusion.csv      pixels of val by true class (rows) and predicted class (columns)
  report.html        all of this to look at; see `reporting`
  model.safetensors  the released model, with model.json beside it
```
"""

from __future__ import annotations

import csv
import io
import json
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from semiseg._version import __version__
from semiseg.core.errors import RunError
from semiseg.core.files import read_json, read_text, read_yaml, write_text
from semiseg.core.scores import (
    Adjustment,
    ClassScores,
    MeanIou,
    Scores,
    SplitRecord,
    read_scores,
)
from semiseg.core.types import Plan, Sample
from semiseg.data.formats.masks import Classes
from semiseg.data.image_lists import list_hash
from semiseg.data.splits import Split
from semiseg.evaluation.logit_adjustment import describe_strength, offset, selection_score
from semiseg.model.release import LOGIT_OFFSETS, save_release
from semiseg.training.checkpoint import newest_intact
from semiseg.training.module import TrainingModule

CONFIG = "config.yaml"
PLAN = "plan.yaml"
SCORES = "scores.json"
CONFUSION = "confusion.csv"
CHECKPOINTS = "checkpoints"
_CLASSES = "classes.json"
_PACKAGES = ("torch", "torchvision", "lightning", "segmentation-models-pytorch", "timm")


def check(out: Path, overwrite: bool) -> None:
    """Make sure that a run folder may be written, before hours are spent on its contents.

    Raises:
        RunError: the folder is taken, or cannot be created or written.
    """
    if out.is_dir() and any(out.iterdir()):
        if not (out / CONFIG).is_file():
            raise RunError(
                f"{out} exists and is no run folder (it has no {CONFIG}), so it is left alone. "
                "Choose another --out."
            )
        if not overwrite:
            raise RunError(
                f"{out} already holds a run. Go on with it (--resume), replace it "
                "(--overwrite), or choose another --out."
            )
    nearest = next(p for p in (out, *out.absolute().parents) if p.exists())
    try:
        if not nearest.is_dir():
            raise NotADirectoryError(f"{nearest} is a file")
        probe = nearest / ".semiseg-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunError(
            f"{out} cannot be written ({error}). Choose an --out that you may write to."
        ) from error


FREE = frozenset({"data", "out", "workers"})
"""Settings that may change without changing a bit of the result."""


def begun(out: Path) -> bool:
    """Whether there is a run to resume."""
    return (out / CONFIG).is_file()


def resumed_settings(
    given: Mapping[str, Any], defaults: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a run that is to be resumed.

    Args:
        given: the settings of this call; what differs from its default was meant.
        defaults: the defaults of `given`.
        options: settings of the method in this call.

    Returns:
        The run's settings with what may change taken from this call, and the method's.

    Raises:
        RunError: the run cannot be read, another version wrote it, or a setting contradicts it.
    """
    out = Path(given["out"])
    stored = _read_settings(out)
    settings = {k: stored.get(k, v) for k, v in given.items()}
    extra = {k: v for k, v in stored.items() if k not in given}
    meant = {k: v for k, v in given.items() if k not in FREE and v != defaults.get(k)}
    for name, value in {**meant, **options}.items():
        if name not in stored or plain(value) != stored[name]:
            raise RunError(
                f"--{name.replace('_', '-')} {value} contradicts the run in {out}, which has "
                f"{stored.get(name)}. Resume without it, or start a new run with another --out."
            )
    changed = {k: given[k] for k in FREE if given[k] is not None}
    return {**settings, **changed}, extra


def _read_settings(out: Path) -> dict[str, Any]:
    """The contents of `config.yaml`, if this version wrote it."""
    file = out / CONFIG
    try:
        text = read_text(file)
        content = read_yaml(file)
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}). Start the run anew.") from error
    writer = text.partition("\n")[0].removeprefix("# semiseg ").strip()
    if writer != __version__ or not isinstance(content, dict):
        raise RunError(
            f"{out} was written by semiseg {writer}; this is {__version__}. Resume it with that "
            "version, or start a new run with another --out."
        )
    return content


def finished(out: Path) -> Scores | None:
    """The scores of a finished run, or None."""
    if not (out / SCORES).is_file():
        return None
    return read_scores(out / SCORES)


def continued(out: Path, split: Split, classes: Classes) -> tuple[Path | None, int]:
    """The newest intact checkpoint and its step, or None and 0 if none was written yet.

    Raises:
        RunError: the images or the classes are not those that the run began with.
    """
    known = out / "split" / _CLASSES
    if _stored(known, read_json) != classes.to_dict():
        raise RunError(
            f"The classes are no longer those of {known}: masks or the file that names the classes "
            "were changed since the run began. Restore them, or start a new run."
        )
    for name, samples in split.lists().items():
        file = out / "split" / f"{name}.txt"
        if _stored(file, read_text) != _listed(samples):
            raise RunError(
                f"The {name} images are no longer those of {file}: images or masks were added or "
                "removed since the run began. Restore them, or start a new run."
            )
    return newest_intact(out / CHECKPOINTS) or (None, 0)


def _stored(file: Path, read: Callable[[Path], object]) -> object:
    """What a file of the run holds, if it is there and intact."""
    try:
        return read(file)
    except (OSError, ValueError):
        return None


def held_out(out: Path, init: Path | None, resume: bool) -> list[str]:
    """The names of the images that must stay out of the training: its own, or the first run's."""
    before = out if resume else init
    file = None if before is None else Path(before) / "split" / "val.txt"
    if file is None or not file.is_file():
        return []
    try:
        return read_text(file).split("\n")
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}). Restore it, or start anew.") from error


def create(
    out: Path, settings: Mapping[str, object], split: Split, classes: Classes, plan: Plan
) -> None:
    """Create the folder with `config.yaml`, `plan.yaml`, the split's lists and the classes.

    An old run in it is removed.
    """
    # Names that no folder of the user's has: what lies there is left by a kill, and removed.
    fresh = out.with_name(f"{out.name}.semiseg-new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "split").mkdir(parents=True)
    held = {k: plain(v) for k, v in settings.items()}
    held["data"] = str(Path(str(settings["data"])).absolute())  # the run may be read from elsewhere
    text = _yaml(held)
    for name, samples in split.lists().items():
        (fresh / "split" / f"{name}.txt").write_text(_listed(samples), encoding="utf-8")
    write_text(fresh / "split" / _CLASSES, json.dumps(classes.to_dict(), indent=2) + "\n")
    write_text(fresh / PLAN, _yaml(plan.to_dict()))
    write_text(fresh / CONFIG, f"# semiseg {__version__}\n{text}")
    # Renamed as a whole: a run folder is complete or not there, whenever the process is killed.
    old = out.with_name(f"{out.name}.semiseg-old")
    shutil.rmtree(old, ignore_errors=True)
    if out.is_dir():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def plain(value: object) -> object:
    """A setting as YAML holds it."""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _listed(samples: Iterable[Sample]) -> str:
    return "".join(f"{s.name}\n" for s in samples)


def finish(
    out: Path,
    module: TrainingModule,
    classes: Classes,
    split: Split,
    s: SimpleNamespace,
) -> Scores:
    """Release the better of student and teacher after the last step, and write `scores.json`.

    Each with its logits adjusted as is best on `val`, see `evaluation.adjustment`. The module's own
    network is changed, whose training is over.

    Returns:
        The scores. Of `miou`, `last` is the student's after the last step, `best` the highest of
        either network at any look and of the released one (which flatters: it was chosen on
        `val`), `released` that of the released network.
    """
    networks = module.method.networks()
    final = module.looks[-1]
    # A checkpoint of an earlier version may lack what it would have tried.
    tried = [
        (name, one)
        for name in networks
        for one in final[name].get("tried", [{"strength": 0.0, **final[name]}])
    ]
    which, released = max(tried, key=lambda pair: selection_score(pair[1]))
    network, strength = networks[which], released["strength"]
    added = offset(module.method.class_weights, network.classes, strength)
    network.add_to_logits(added)
    seen = [look[name]["miou"] for look in module.looks for name in networks]
    found = [score for score in (*seen, released["miou"]) if score is not None]
    lists = split.lists()
    scores = Scores(
        method=s.method,
        miou=MeanIou(final["student"]["miou"], max(found, default=None), released["miou"]),
        per_class={name: ClassScores(**v) for name, v in released["per_class"].items()},
        which=which,
        adjustment=Adjustment(strength, final[which]["miou"]),
        labels=len(split.labeled),
        steps=module.steps,
        skipped_steps=module.guard.skipped,
        seconds=round(module.seconds, 1),
        timing=module.timing(),
        split=SplitRecord(
            seed=s.split_seed,
            **{name: list_hash(samples) for name, samples in lists.items()},
            images={name: len(samples) for name, samples in lists.items()},
            source=dict(split.source),
        ),
        versions={
            "semiseg": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
    )
    content = scores.to_dict()
    told = ("method", "which", "adjustment", "miou", "per_class", "labels", "steps", "split")
    about = {k: content[k] for k in told}
    extra = {**module.method.released_tensors(strength), LOGIT_OFFSETS: added}
    save_release(out, network, classes, s.size, s.range, extra, about)
    write_text(out / CONFUSION, _confusion_csv(classes.names, released["confusion"]))
    # Last, since it is what makes the run a finished one.
    write_text(out / SCORES, json.dumps(content, indent=2) + "\n")
    return scores


def what_was_adjusted(scores: Scores) -> list[str]:
    """What was taken out of the logits and what it gave, as a sentence; nothing if nothing was."""
    found, reached = scores.adjustment, scores.miou.released
    if not found.strength or f"{reached:.1f}" == f"{found.without:.1f}":
        return []
    return [
        f"the released model is the {scores.which} with "
        f"{describe_strength(found.strength)} taken out of its logits, since they give rare "
        "classes too many pixels: mIoU "
        f"{reached:.1f} on val, by which the share was chosen, instead of "
        f"{found.without:.1f}"
    ]


def what_it_began_with(init: Path, scores: Scores) -> list[str]:
    """How good the model is from which the training began, as a sentence.

    Nothing where the two cannot be compared: other images of `val`, other classes, or no scores.
    """
    try:
        before = read_scores(init / SCORES)
    except RunError:
        return []
    own, old = scores.miou.released, before.miou.released
    same_images = scores.split.val == before.split.val
    if (
        own is None
        or old is None
        or not same_images
        or scores.per_class.keys() != before.per_class.keys()
    ):
        return []
    told = f"{init}, from which it began, has mIoU {old:.1f} on the same images of val"
    worse = ": it is better than the new model. Use it, or train longer (--steps, --budget)"
    return [told + worse * (old > own)]


def _confusion_csv(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Pixels by true class (rows) and predicted class (columns)."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["true \\ predicted", *names])
    writer.writerows([name, *row] for name, row in zip(names, counts, strict=True))
    return file.getvalue()
