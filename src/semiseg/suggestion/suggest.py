"""`suggest`: which unlabeled images to label next, with masks to correct."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from semiseg.core.errors import ConfigError, DataError, RunError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from semiseg.data.pairs import Folders

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
        distance: 1 - cosine of its encoder features to those of the nearest image that is labeled
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
    run: Path,
    images: Path,
    *,
    out: Path,
    n: int = 20,
    data: Path | None = None,
    overwrite: bool = False,
    accelerator: str = "auto",
) -> list[Suggestion]:
    """Choose the images whose masks would teach a trained model most.

    An image counts by how much the model doubts of it, how far its two spaces disagree and how far
    it is from what is labeled or chosen already; so no two of a kind are chosen.

    Args:
        run: the run folder of a training.
        images: an image, a folder, a pattern in quotes, or a text file with a path a line. Images
            that the run had masks of are passed over.
        out: the folder to write: `suggested.txt` and `suggested.csv`, the list without and with
            the reasons; `suggested.png`, a picture of them; and a data folder to correct,
            `train/images`, `train/masks` (the model's) and `classes.yaml`. Where the run's masks
            were LabelMe's, the model's are too, beside the images.
        n: how many to choose.
        data: the data folder, if it was moved since the training.
        overwrite: replace the masks of an earlier call, corrected or not.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Returns:
        The images, the one to begin with first.

    Raises:
        DataError: there are no images that could be suggested.
        ConfigError: a setting is out of its range, the model is an exported one, or `data` are not
            those of the run.
        RunError: no model that can be read, or an output folder that cannot be written.
    """
    from rich.console import Console

    from semiseg.inference.device import torch_device
    from semiseg.inference.sources import find_images
    from semiseg.inference.torch_model import Model
    from semiseg.model.release import load_release
    from semiseg.suggestion.features import look
    from semiseg.suggestion.writer import holds_masks, refuse_other_kind, write
    from semiseg.training.run_data import data_of, samples_of, settings_of

    run, out, given = Path(run), Path(out), data is not None
    if n < 1:
        raise ConfigError(f"--n {n} is too small; at least 1 is needed.")
    if run.suffix.lower() == ".onnx":
        raise ConfigError(f"{run} is an exported model; suggest needs the run folder it is from.")
    data = data_of(run) if data is None else Path(data)
    if data is not None and out.resolve() == data.resolve():
        raise ConfigError(f"--out {out} is the data folder of {run}. Choose another one.")
    if holds_masks(out) and not overwrite:
        raise RunError(
            f"{out / 'train'} exists, and may hold masks that you corrected. Choose another --out, "
            "or replace them (--overwrite)."
        )
    model = Model(load_release(run), torch_device(accelerator))
    refuse_other_kind(out, model.classes)
    console = Console(stderr=True)
    masked, held = samples_of(run, data)
    if not masked and data is None and Path(images).is_dir():  # the data themselves, moved
        masked, held = samples_of(run, Path(images))
    if given and not masked:
        raise ConfigError(
            f"--data {data} holds not the images that {run} was trained on, which its split/ "
            "lists. Name the folder that they are in now."
        )
    labeled = {s.name: s.image for s in masked}
    known = {s.image.resolve() for s in (*masked, *held)}
    named, notes = find_images(Path(images), out)
    masks = {s.mask.resolve() for s in (*masked, *held) if s.mask is not None}
    named = {k: f for k, f in named.items() if f.resolve() not in masks}  # PNG files beside JPEG
    fresh = {k: f for k, f in named.items() if f.resolve() not in known}
    if not model.two_spaces:
        notes.append(f"{run} has no prototypes: doubt in logit space alone is counted")
    if not labeled:
        told = settings_of(run).get("data", "a folder that it does not tell")
        notes.append(
            f"the data of {run} ({told}) are not there: which images have masks is not known, so "
            "these may be chosen too, and distance is to the chosen ones alone. If they were "
            "moved, name their folder: --data DATA"
        )
    if len(fresh) < len(named):
        notes.append(f"{len(named) - len(fresh)} images had masks in {run} and are passed over")
    _say(console, notes)
    seen, broken = look(model, fresh, console)
    if not seen:
        raise DataError(
            f"{images} holds no image that could be suggested: {len(broken)} are broken, "
            f"{len(named) - len(fresh)} are labeled."
        )
    others = [vector for _, vector in look(model, labeled, console)[0]]
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
        labeled: the features of the labeled images.
        n: how many to take at most; what is like one that is taken or labeled never is.
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


def next_steps(run: Path, out: Path, moved: Path | None = None) -> str:
    """What to do with the masks: the commands by which they join the data of the run.

    They never replace anything: the masks get a folder of their own there or, where subfolders are
    not read, go beside the others. Where the data are gone, or lists decide what is trained on, or
    shapes and pixels would be mixed, no command is right.

    Args:
        run: the run folder.
        out: where `suggest` wrote.
        moved: the data folder, if it was moved since the training.
    """
    from semiseg.data.layouts import find_layout
    from semiseg.data.tree import Tree
    from semiseg.reporting.commands import go_on
    from semiseg.suggestion.writer import holds_shapes
    from semiseg.training.run_data import data_of, dataset_of, settings_of

    settings = settings_of(run)
    data = data_of(run) if moved is None else moved.absolute()
    shapes = holds_shapes(out)
    masks = out / "train" / ("images" if shapes else "masks")
    try:
        layout = find_layout(Tree(data), dataset_of(run)) if data else None
        folders = layout.folders("train") if layout else None
        copies = _copies(out, folders, shapes) if folders else []
    except DataError:  # the data were changed after the training
        copies = []
    if not copies:
        return (
            f"Correct the masks in {masks}. Add them with their images to your data, under names "
            "that are free there, or train on them alone:\n"
            f"  {go_on(settings, run, out, ('value_range', 'size'))}"
        )
    return "\n".join(
        (
            f"Correct the masks in {masks}. Then add them to your data and go on:",
            *(f"  {copy}" for copy in copies),
            f"  {go_on(settings, run, data)}",
            "What else you set for the first run, such as --steps, is to be set again.",
        )
    )


def _copies(out: Path, folders: Folders, shapes: bool) -> list[str]:
    """The commands that add masks to those of a data folder; none where they would not fit."""
    import shlex
    from itertools import count

    from semiseg.data.formats.labelme import LABELME_SUFFIX

    masks = folders.files.masks
    if any(mask.suffix.lower() == LABELME_SUFFIX for mask in masks) != shapes:
        return []
    if not folders.deep:  # a folder of their own would not be read
        return _copies_beside(out, folders)
    if not shapes and not any(mask.is_relative_to(folders.masks) for mask in masks):
        return []  # they lie beside the images, and would be images beside a folder of masks
    base = out.resolve().name.lstrip(".") or "suggested"  # what is hidden is not read
    free = (f"{base}-{i}" if i else base for i in count())
    targets = folders.images, folders.masks
    places = list(zip(("images", "masks"), targets, strict=True))[: 2 - shapes]
    name = next(n for n in free if not any((folder / n).exists() for folder in targets))
    return [
        shlex.join(("cp", "-r", f"{out}/train/{kind}/.", str(folder / name)))
        for kind, folder in places
    ]


def _copies_beside(out: Path, folders: Folders) -> list[str]:
    """Likewise, where all lie in one folder: under the image's name, with the ending of a mask's.

    Images that are there already stay; others of their names, and masks, let no command be right.
    """
    from filecmp import cmp
    from shlex import quote

    from semiseg.data.formats.images import IMAGE_SUFFIXES
    from semiseg.data.formats.labelme import LABELME_SUFFIX
    from semiseg.data.pairs import PHOTOGRAPHS, pair
    from semiseg.data.tree import Tree, list_files

    out = Path.cwd() / out if str(out).startswith("-") else out  # or it would be an option
    images, target = out / "train" / "images", folders.images
    labeled = next((sample for sample in pair(folders).samples if sample.mask), None)
    if labeled is None or labeled.mask is None:
        return []
    mask = labeled.mask
    shapes = mask.suffix.lower() == LABELME_SUFFIX
    source = images if shapes else out / "train" / "masks"
    place = target if shapes or mask.parent == target else folders.masks
    ending = "" if place != target else mask.stem.removeprefix(labeled.image.stem)
    new = Tree(images).images(images)
    drawn = list_files(source, (LABELME_SUFFIX,) if shapes else IMAGE_SUFFIXES)
    if not drawn or any(path.parent not in (images, source) for path in (*new, *drawn)):
        return []  # none, or in subfolders
    before = {path.stem: path for path in list_files(target, IMAGE_SUFFIXES, deep=False)}
    there = [path for path in new if path.stem in before]
    other = any(not cmp(before[path.stem], path, shallow=False) for path in there)
    taken = any((place / f"{path.stem}{ending}{path.suffix}").exists() for path in drawn)
    twins = place == target and not (shapes or ending)  # PNG files beside JPEG files
    if other or taken or (twins and any(p.suffix.lower() not in PHOTOGRAPHS for p in new)):
        return []
    copies = []
    if len(there) < len(new):
        copies.append(f"cp -n {quote(f'{images}/')}* {quote(str(target))}")
    if ending:
        name = f'{quote(str(place))}/"$(basename -- "$mask" .png){ending}.png"'
        copies.append(f'for mask in {quote(f"{source}/")}*.png; do cp -n "$mask" {name}; done')
    elif not shapes or not copies:
        copies.append(f"cp -n {quote(f'{source}/')}*{drawn[0].suffix} {quote(str(place))}")
    return copies


def _say(console: Console, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        console.print(f"· {sentence}", markup=False, highlight=False, soft_wrap=True)
