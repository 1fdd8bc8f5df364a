"""`predict`: masks, and what helps to judge them, for any number of images."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.text import plural

if TYPE_CHECKING:
    from PIL import Image
    from rich.console import Console

    from semiseg.inference.predictor import Predictor


def predict(
    run: Path,
    images: Path,
    *,
    out: Path,
    colors: bool = False,
    overlay: bool = False,
    probabilities: bool = False,
    confidence: bool = False,
    reliability: bool = False,
    abstain: float | None = None,
    tta: bool = False,
    overwrite: bool = False,
    accelerator: str = "auto",
) -> list[Path]:
    """Segment images: a file, a folder, a pattern or a list.

    Args:
        run: the run folder of a training, or a model that was exported as `.onnx`.
        images: an image, a folder that is searched with its subfolders, a pattern in quotes, or a
            text file with a path a line.
        out: the folder for the masks, one PNG an image, of the image's size and name. Its values
            are the ids of the training masks; where those held colors, the class indices, with
            the colors as the palette.
        colors: write `colors/NAME.png` too, the mask in RGB.
        overlay: write `overlays/NAME.jpg` too, the mask's colors over the image.
        probabilities: write `probabilities/NAME.npz` too, those of all classes in half precision.
        confidence: write `confidence/NAME.png` too, 0 to 255 for 0 to 1.
        reliability: write `reliability/NAME.png` too. Red is the confidence, green how sure the
            nearest prototype is, blue whether the two agree. For methods with prototypes.
        abstain: write 255 where the confidence is below this, or the nearest prototype disagrees.
        tta: average over three scales and both mirror images, which takes six times as long.
        overwrite: replace what is there; without it, no file is, and images whose files are all
            there are passed over.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Returns:
        The masks that were written.

    Raises:
        DataError: there are no images, or some cannot be read; the others are written all the same.
        ConfigError: the model has not what a setting needs.
        RunError: no model that can be read, or an output folder that cannot be written.
    """
    from rich.console import Console

    from semiseg.inference.load import load
    from semiseg.inference.sources import find_images

    wanted = {
        "colors": colors,
        "overlays": overlay,
        "probabilities": probabilities,
        "confidence": confidence,
        "reliability": reliability,
        "": True,
    }
    named, notes = find_images(Path(images), Path(out))
    files = _targets(named, Path(out), [kind for kind, asked in wanted.items() if asked])
    left = files
    if not overwrite:  # what is there may have been corrected by hand
        absent = {s: {k: t for k, t in ts.items() if not t.is_file()} for s, ts in files.items()}
        left = {s: targets for s, targets in absent.items() if targets}
    console = Console(stderr=True)
    if len(left) < len(files):
        told = f"{len(files) - len(left)} of {len(files)} images have their files in {out} already"
        notes.append(f"{told}; --overwrite replaces them")
    if kept := sum(targets != files[source] for source, targets in left.items()):
        told = f"of {plural(kept, 'image')} only the files are written that {out} lacks"
        notes.append(f"{told}, and show the model's mask; --overwrite replaces the others")
    for note in notes:
        console.print(f"· {note}", markup=False, highlight=False, soft_wrap=True)
    model = load(run, accelerator)
    _check(model, Path(run), reliability, abstain)
    failed = _write(model, left, console, abstain, tta)
    if failed:
        raise DataError(
            f"{len(failed)} of {len(files)} images could not be read, the others are in {out}:\n"
            + "\n".join(map(str, failed.values()))
        )
    return [targets[""] for targets in left.values() if "" in targets]


def _check(model: Predictor, run: Path, reliability: bool, abstain: float | None) -> None:
    """Refuse what the model cannot give."""
    from semiseg.core.types import IGNORE_INDEX

    if reliability and not model.two_spaces:
        raise ConfigError(
            f"--reliability compares logit space with the nearest prototype, and {run} has no "
            f"prototypes: it was trained by {model.about.get('method', 'another method')}. Use "
            "--confidence, or a model that was trained by css."
        )
    if abstain is None:
        return
    if not 0 <= abstain <= 1:
        raise ConfigError(f"--abstain {abstain} is no confidence, from 0 to 1.")
    classes = model.classes
    if classes.encoding == "ids" and IGNORE_INDEX in classes.codes:
        name = classes.names[classes.codes.index(IGNORE_INDEX)]
        raise ConfigError(
            f"--abstain writes 255, but in the masks of {run} this means class {name}. Use "
            "--confidence, which leaves the mask as it is."
        )


def _targets(named: dict[str, Path], out: Path, kinds: list[str]) -> dict[Path, dict[str, Path]]:
    """The images and the files to write for each, by kind."""
    from semiseg.inference.writers import OUTPUTS

    sources = {source.resolve() for source in named.values()}
    owner: dict[Path, Path] = {}
    targets: dict[Path, dict[str, Path]] = {}
    for name, source in named.items():
        targets[source] = {k: out / k / f"{name}{OUTPUTS[k].suffix}" for k in kinds}
        for target in targets[source].values():
            if target.resolve() in sources:
                raise DataError(
                    f"{target}, a result of {source}, would replace an image. Choose another --out."
                )
            if owner.setdefault(target, source) != source:
                raise DataError(
                    f"{owner[target]} and {source} would both be written to {target}. Rename one "
                    "of them, or segment their folders one by one."
                )
    return targets


def _write(
    model: Predictor,
    files: dict[Path, dict[str, Path]],
    console: Console,
    abstain: float | None,
    tta: bool,
) -> dict[Path, DataError]:
    """Segment and write; what is said of the images that cannot be read."""
    from rich.progress import track

    from semiseg.core.types import IGNORE_INDEX
    from semiseg.data.read_ahead import read_ahead
    from semiseg.inference.writers import OUTPUTS, SegmentedImage, save_output

    failed: dict[Path, DataError] = {}
    waiting: deque[tuple[Path, Image.Image]] = deque()
    hidden = not console.is_terminal

    def pictures() -> Iterator[Image.Image]:
        found = read_ahead(lambda file: read_or_tell(file, model.value_range), files)
        for file, picture in track(
            zip(files, found, strict=True), "predict", len(files), console=console, disable=hidden
        ):
            if isinstance(picture, DataError):
                failed[file] = picture
            else:
                waiting.append((file, picture))
                yield picture

    every = any("probabilities" in targets for targets in files.values())
    for prediction in model.stream(pictures(), tta, every):
        file, picture = waiting.popleft()
        mask = prediction.mask
        if abstain is not None:
            mask = mask.copy()
            mask[prediction.doubtful(abstain)] = IGNORE_INDEX
        segmented = SegmentedImage(picture, prediction, mask, model.classes)
        for kind, target in files[file].items():
            save_output(segmented, OUTPUTS[kind], target)
    return failed


def read_or_tell(file: Path, value_range: tuple[float, float] | None) -> Image.Image | DataError:
    """The picture, or what is wrong with it: one broken file stops no others."""
    from semiseg.data.formats.images import read_image

    try:
        return read_image(file, value_range)
    except DataError as error:
        return error
