"""The run folder: what a training leaves behind.

```
RUN/
  config.yaml        every setting, as resolved; `semiseg train --config` repeats the run
  split/             labeled.txt, unlabeled.txt, val.txt: the names of the images
  checkpoints/       the newest checkpoint, to continue from
  metrics.csv        losses and scores by step; tensorboard/ holds the same
  scores.json        the scores, with split hashes and versions
  model.safetensors  the released model, with model.json beside it
```
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from semiseg._version import __version__
from semiseg.data.masks import Classes
from semiseg.data.splits import Split, list_hash
from semiseg.engine.module import TrainingModule
from semiseg.errors import RunError
from semiseg.model.release import save_release

CONFIG = "config.yaml"
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
                f"{out} already holds a run. Choose another --out, or replace it with --overwrite."
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


def create(out: Path, settings: Mapping[str, object], split: Split) -> None:
    """Create the folder (an old run in it is removed) with `config.yaml` and the split's lists."""
    if out.is_dir():
        shutil.rmtree(out)
    (out / "split").mkdir(parents=True)
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in settings.items()}
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    (out / CONFIG).write_text(f"# semiseg {__version__}\n{text}", encoding="utf-8")
    for name, samples in split.lists().items():
        lines = "".join(f"{s.name}\n" for s in samples)
        (out / "split" / f"{name}.txt").write_text(lines, encoding="utf-8")


def finish(
    out: Path,
    module: TrainingModule,
    classes: Classes,
    size: int,
    split: Split,
    split_seed: int,
    seconds: float,
) -> dict[str, Any]:
    """Release the better of student and teacher after the last step, and write `scores.json`.

    Returns:
        The scores. Of `miou`, `last` is the student's after the last step, `best` the highest of
        either network at any look (which flatters: it was chosen on `val`), `released` that of
        the released network.
    """
    networks = module.method.networks()
    final = module.looks[-1]
    which = max(networks, key=lambda name: final[name]["miou"] or 0.0)
    found = [look[n]["miou"] for look in module.looks for n in networks if look[n]["miou"]]
    lists = split.lists()
    content: dict[str, Any] = {
        "method": module.method.name,
        "miou": {
            "last": final["student"]["miou"],
            "best": max(found, default=None),
            "released": final[which]["miou"],
        },
        "per_class": final[which]["per_class"],
        "which": which,
        "labels": len(split.labeled),
        "steps": module.steps,
        "seconds": round(seconds, 1),
        "split": {
            "seed": split_seed,
            **{name: list_hash(samples) for name, samples in lists.items()},
            "images": {name: len(samples) for name, samples in lists.items()},
        },
        "versions": {
            "semiseg": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
    }
    about = {k: content[k] for k in ("method", "which", "miou", "labels", "steps", "split")}
    extra = module.method.released_tensors()
    save_release(out, networks[which], classes, size, extra, about)
    (out / "scores.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content
