"""`suggest`: which unlabelled images to label next, with masks to correct."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from semiseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from semiseg.deliver.model import Model

    Features = NDArray[np.float32]

_SAME = 0.01  # a smaller distance: nothing new is to be seen


class Suggestion(NamedTuple):
    """An image that is worth a mask.

    Attributes:
        name: of its files in the output folder.
        image: the file.
        score: `(doubt + disagreement) / 2`, or the doubt alone, times the distance.
        doubt: the mean over its pixels of 1 - confidence.
        disagreement: the share of its pixels whose nearest prototype is of another class than the
            mask's; None for a model without prototypes.
        distance: 1 - cosine of its encoder features to those of the nearest image that is labelled
            or stands above it in the list.
    """

    name: str
    image: Path
    score: float
    doubt: float
    disagreement: float | None
    distance: float

    @property
    def worth(self) -> float:
        """What its pixels have to teach, whatever other images teach."""
        return self.doubt if self.disagreement is None else (self.doubt + self.disagreement) / 2


def suggest(
    run: Path, images: Path, *, out: Path, n: int = 20, accelerator: str = "auto"
) -> list[Suggestion]:
    """Choose the images whose masks would teach a trained model most.

    An image counts by how much the model doubts of it, how far its two spaces disagree and how far
    it is from what is labelled or chosen already; so no two of a kind are chosen.

    Args:
        run: the run folder of a training.
        images: an image, a folder, a pattern in quotes, or a text file with a path a line. Images
            that the run had masks of are passed over.
        out: the folder to write: `suggested.txt` and `suggested.csv`, the list without and with
            the reasons; `suggested.png`, a picture of them; and a data folder to correct,
            `train/images`, `train/masks` (the model's) and `classes.yaml`.
        n: how many to choose.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Returns:
        The images, the one to begin with first.

    Raises:
        DataError: there are no images that could be suggested.
        ConfigError: a setting is out of its range, or the model is an exported one.
        RunError: no model that can be read, or an output folder that cannot be written.
    """
    from rich.console import Console

    from semiseg.deliver.inputs import find_images
    from semiseg.deliver.model import Model
    from semiseg.deliver.run_data import samples_of
    from semiseg.deliver.suggested import write
    from semiseg.model.device import torch_device
    from semiseg.model.release import load_release

    run, out = Path(run), Path(out)
    if n < 1:
        raise ConfigError(f"--n {n} is too small; at least 1 is needed.")
    if run.suffix.lower() == ".onnx":
        raise ConfigError(f"{run} is an exported model; suggest needs the run folder it is from.")
    model = Model(load_release(run), torch_device(accelerator))
    console = Console(stderr=True)
    masked, held = samples_of(run)
    labeled = {s.name: s.image for s in masked}
    known = {s.image.resolve() for s in (*masked, *held)}
    named = find_images(Path(images), out)
    fresh = {k: f for k, f in named.items() if f.resolve() not in known}
    notes = []
    if not model.two_spaces:
        notes.append(f"{run} has no prototypes: doubt in logit space alone is counted")
    if not labeled:
        notes.append(f"the data of {run} are not there: distance is to the chosen images alone")
    if len(fresh) < len(named):
        notes.append(f"{len(named) - len(fresh)} images had masks in {run} and are passed over")
    _say(console, notes)
    seen, broken = _look(model, fresh, console)
    if not seen:
        raise DataError(
            f"{images} holds no image that could be suggested: {len(broken)} are broken, "
            f"{len(named) - len(fresh)} are labelled."
        )
    others = [vector for _, vector in _look(model, labeled, console)[0]]
    chosen = choose([s for s, _ in seen], [v for _, v in seen], others, n)
    _say(console, broken)
    if len(chosen) < n:
        _say(console, [f"{len(chosen)} of {len(seen)} images differ; the rest is as good as known"])
    write(chosen, model, out)
    return chosen


def choose(
    candidates: list[Suggestion], vectors: list[Features], labeled: list[Features], n: int
) -> list[Suggestion]:
    """Take, time after time, the image of the largest worth times distance.

    Args:
        candidates: with their doubt and disagreement.
        vectors: the features of each.
        labeled: the features of the labelled images.
        n: how many to take at most; what is like one that is taken or labelled never is.
    """
    import numpy as np

    every = np.stack([*vectors, *labeled]).astype(np.float64)
    every -= every.mean(axis=0)  # what all images share tells none from another
    every /= np.linalg.norm(every, axis=1, keepdims=True).clip(min=1e-12)
    own, theirs = every[: len(vectors)], every[len(vectors) :]
    distance = np.ones(len(own)) if not labeled else (1 - own @ theirs.T).min(axis=1)
    worth = np.array([c.worth for c in candidates])
    chosen: list[Suggestion] = []
    while len(chosen) < n:
        score = np.where(distance > _SAME, worth * distance, -1.0)
        best = int(score.argmax())
        if score[best] < 0:
            break
        found = candidates[best]._replace(score=float(score[best]), distance=float(distance[best]))
        chosen.append(found)
        distance = np.minimum(distance, 1 - own @ own[best])
        distance[best] = 0
    return chosen


def _look(
    model: Model, named: dict[str, Path], console: Console
) -> tuple[list[tuple[Suggestion, Features]], list[str]]:
    """What the model makes of each image, with the encoder's mean features; what is broken."""
    import numpy as np
    from rich.progress import track

    from semiseg.data.loading import ahead
    from semiseg.deliver.predict import read_or_tell

    captured: list[Features] = []
    handle = model.network.encoder.register_forward_hook(
        lambda _module, _inputs, maps: captured.append(maps[-1][0].mean((1, 2)).cpu().numpy())
    )
    seen: list[tuple[Suggestion, Features]] = []
    broken: list[str] = []
    pictures = ahead(lambda file: read_or_tell(file, model.value_range), named.values())
    pairs = zip(named.items(), pictures, strict=True)
    hidden = not console.is_terminal
    try:
        for (name, file), picture in track(
            pairs, "looking", len(named), console=console, disable=hidden
        ):
            if isinstance(picture, DataError):
                broken.append(str(picture))
                continue
            captured.clear()
            found = model.predict(picture)
            doubt = float(1 - found.confidence.mean())
            apart = None if found.nearest is None else float((found.nearest != found.mask).mean())
            vector = np.mean(captured, axis=0)  # over the windows of a large image
            seen.append((Suggestion(name, file, 0.0, doubt, apart, 1.0), vector))
    finally:
        handle.remove()
    return seen, broken


def _say(console: Console, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        console.print(f"· {sentence}", highlight=False, soft_wrap=True)
