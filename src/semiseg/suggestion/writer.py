"""What `suggest` writes: lists, a picture, and a data folder with masks to correct."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.core.errors import RunError
from semiseg.data.formats.labelme import BACKGROUND

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from semiseg.data.formats.masks import Classes
    from semiseg.inference.predictor import Predictor
    from semiseg.suggestion.suggest import Suggestion

_SHOWN = 24  # images in the picture


def write(chosen: Sequence[Suggestion], model: Predictor, out: Path) -> None:
    """Write all of it.

    Raises:
        RunError: the folder cannot be written.
    """
    import yaml

    from semiseg.core.types import Sample
    from semiseg.plots.labeled_samples import draw_samples

    classes = model.classes
    shapes = classes.encoding == "labels"  # drawn in LabelMe, and to be corrected there
    try:
        out.mkdir(parents=True, exist_ok=True)
        samples = []
        for one in chosen:
            name = _paired(one)
            image = out / "train" / "images" / f"{name}{one.image.suffix}"
            beside, apart = image.with_suffix(".json"), out / "train" / "masks" / f"{name}.png"
            mask = beside if shapes else apart
            for path in (image, mask):
                if not path.parent.resolve().is_relative_to(out.resolve()):
                    told = f"{path.parent} lies outside of {out}, by a link."
                    raise RunError(f"{told} Remove the link, or choose another --out.")
                path.parent.mkdir(parents=True, exist_ok=True)
            if not image.exists() or not image.samefile(one.image):
                _own(image)
                shutil.copyfile(one.image, image)
            _own(mask)
            predicted = model.predict(one.image).mask
            if shapes:
                _draw_shapes(mask, predicted, classes, image)
            else:
                drawn = classes.to_image(predicted)
                (drawn.convert("RGB") if classes.encoding == "colors" else drawn).save(mask, "PNG")
            samples.append(Sample(one.name, image, mask))
        text = yaml.safe_dump(_spelled(classes), sort_keys=False, allow_unicode=True)
        for name in ("classes.yaml", "suggested.txt", "suggested.csv", "suggested.png"):
            _own(out / name)
        (out / "classes.yaml").write_text(text, encoding="utf-8")
        lines = "".join(f"{one.image.absolute()}\n" for one in chosen)
        (out / "suggested.txt").write_text(lines, encoding="utf-8")
        _write_table(chosen, out / "suggested.csv")
        draw_samples(samples[:_SHOWN], classes, model.value_range).save(out / "suggested.png")
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error


def _own(path: Path) -> None:
    """Remove a link in the place of a file, or what it leads to would be written."""
    if path.is_symlink():
        path.unlink()


def _draw_shapes(path: Path, mask: NDArray[np.uint8], classes: Classes, image: Path) -> None:
    """Write a mask as LabelMe's polygons."""
    from semiseg.data.formats.outlines import label_of, outlines, write_outlines

    labels = [label_of(*named) for named in zip(classes.names, classes.codes, strict=True)]
    background = classes.codes.index(0) if 0 in classes.codes else None
    size = mask.shape[1], mask.shape[0]
    write_outlines(path, outlines(mask, background), labels, image, size)


def holds_masks(out: Path) -> bool:
    """Whether an output folder holds masks, which may have been corrected."""
    return (out / "train" / "masks").is_dir() or holds_shapes(out)


def refuse_other_kind(out: Path, classes: Classes) -> None:
    """Shapes beside masks of pixels, from an earlier call for another run, would be of no use.

    Raises:
        RunError: the folder holds masks of the other kind.
    """
    shapes = classes.encoding == "labels"
    if (out / "train" / "masks").is_dir() if shapes else holds_shapes(out):
        kind = "masks of pixels" if shapes else "LabelMe's shapes"
        raise RunError(f"{out} holds {kind}, of which this run has none. Choose another --out.")


def holds_shapes(out: Path) -> bool:
    """Whether they are LabelMe's, beside the images."""
    return next((out / "train" / "images").rglob("*.json"), None) is not None


def _paired(one: Suggestion) -> str:
    """A name without a suffix, also where another image differs in it alone: `a_jpg` and `a_png`.

    An image and its mask have one stem.
    """
    suffix = one.image.suffix
    return (
        f"{one.name.removesuffix(suffix)}_{suffix[1:]}" if one.name.endswith(suffix) else one.name
    )


def _spelled(classes: Classes) -> dict[str, Any]:
    """The contents of `classes.yaml`."""
    coded = classes.encoding == "ids"
    entries = [
        {"name": name, **({"id": code} if coded else {}), "color": list(color)}
        for name, code, color in zip(classes.names, classes.codes, classes.colors, strict=True)
    ]
    ignored: list[Any] = []
    if classes.encoding == "colors":
        ignored = [f"#{code:06x}" for code in classes.ignored]
    elif coded:
        ignored = [code for code in classes.ignored if code != 255]
    elif 0 in classes.ignored:
        ignored = [BACKGROUND]
    return {"classes": entries, **({"ignore": ignored} if ignored else {})}


def _write_table(chosen: Sequence[Suggestion], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["rank", "image", "score", "doubt", "disagreement", "distance"])
        for rank, one in enumerate(chosen, 1):
            values = (one.score, one.doubt, one.disagreement, one.distance)
            shown = ["" if v is None else f"{v:.4f}" for v in values]
            table.writerow([rank, one.image.absolute(), *shown])
