"""`predict`: masks, and overlays to look at, for a file or a folder of images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from semiseg.errors import DataError, RunError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from semiseg.data.masks import Classes

_OPACITY = 0.5


def predict(
    run: Path, images: Path, *, out: Path, overlay: bool = False, accelerator: str = "auto"
) -> list[Path]:
    """Segment an image or all images below a folder.

    Args:
        run: the run folder of a training.
        images: an image file, or a folder that is searched with its subfolders.
        out: the folder for the masks, one PNG an image, of the image's size and name. Its values
            are the ids of the training masks; where those held colours, the class indices, with
            the colours as the palette.
        overlay: write `overlays/NAME.jpg` too, the mask's colours over the image.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Returns:
        The masks that were written.

    Raises:
        DataError: there are no images, or some cannot be read; the others are written all the same.
        RunError: no model that can be read, or an output folder that cannot be written.
    """
    from rich.console import Console
    from rich.progress import track

    from semiseg.data.images import read_image
    from semiseg.deliver.model import load

    files = _targets(Path(images), Path(out))
    model = load(run, accelerator)
    console = Console(stderr=True)
    failed: list[str] = []
    for source, target in track(
        files.items(), "predict", console=console, disable=not console.is_terminal
    ):
        try:
            picture = read_image(source, model.release.value_range)
        except DataError as error:
            failed.append(str(error))
            continue
        mask = model.predict(picture).mask
        _save(model.classes.to_image(mask), target)
        if overlay:
            name = target.relative_to(out).with_suffix(".jpg")
            _save(draw_overlay(picture, mask, model.classes), Path(out) / "overlays" / name)
    if failed:
        raise DataError(
            f"{len(failed)} of {len(files)} images could not be read, the others are in {out}:\n"
            + "\n".join(failed)
        )
    return list(files.values())


def draw_overlay(image: Image.Image, mask: NDArray[np.uint8], classes: Classes) -> Image.Image:
    """The image in grey tones of half weight under the classes' colours.

    Args:
        image: RGB, `(W, H)`.
        mask: `(H, W)` class indices.
        classes: their colours.
    """
    from PIL import Image

    colors = classes.to_image(mask).convert("RGB")
    return Image.blend(image, colors, _OPACITY)


def _targets(images: Path, out: Path) -> dict[Path, Path]:
    """The images and the masks to write for them."""
    from semiseg.data.images import IMAGE_SUFFIXES, list_images

    if not images.exists():
        raise DataError(f"There is no file or folder {images}.")
    root = images if images.is_dir() else images.parent
    files = list_images(images) if images.is_dir() else [images]
    if out.resolve() != images.resolve():  # masks of an earlier call are no images to segment
        files = [f for f in files if not f.resolve().is_relative_to(out.resolve())]
    if not files:
        raise DataError(
            f"{images} holds no images; the suffixes {', '.join(IMAGE_SUFFIXES)} are read."
        )
    names = Counter(f.relative_to(root).with_suffix("") for f in files)
    targets = {}
    for file in files:
        name = file.relative_to(root)
        # a.jpg and a.png in one folder: keep the suffix, so that neither mask replaces the other.
        single = names[name.with_suffix("")] == 1
        targets[file] = out / (name.with_suffix(".png") if single else f"{name}.png")
    inside = next((s for s, t in targets.items() if t.resolve() == s.resolve()), None)
    if inside is not None:
        raise DataError(
            f"The mask of {inside} would replace the image itself. Choose another --out."
        )
    return targets


def _save(picture: Image.Image, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=92)  # of JPEG; PNG has no such thing and ignores it
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error}). Choose another --out.") from error
