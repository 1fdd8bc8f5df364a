"""`export`: a trained model in a form that others can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from semiseg.core.errors import DataError, RunError

if TYPE_CHECKING:
    from PIL import Image

    from semiseg.inference.predictor import Predictor

_TIE = 1e-3  # logits that differ by less may change places


class Export(NamedTuple):
    """An exported model, as it was compared with the original.

    Attributes:
        path: the file, or the folder.
        image: what both were run on.
        difference: the largest of their logits (and similarities).
        ties: pixels of that image whose label changed, their best two logits being equal but for
            less than 0.001.
    """

    path: Path
    image: str
    difference: float
    ties: int


def export(run: Path, *, out: Path, format: Literal["onnx", "safetensors"] = "onnx") -> Export:
    """Write a trained model for other programs, and run it once against the original.

    Args:
        run: the run folder of a training.
        out: `onnx`: the file to write, or a folder for `model.onnx`; `safetensors`: the folder.
        format: `onnx` for onnxruntime and others, which needs no torch; `safetensors` for semiseg
            and the hub, with a model card.

    Returns:
        Where it is and how much it differs from the original.

    Raises:
        RunError: no model that can be read, an output that cannot be written, or an export that
            labels a pixel otherwise than the original.
        ConfigError: the network has a part that ONNX cannot express, or a package is missing.
    """
    from semiseg.inference.torch_model import Model
    from semiseg.model.release import load_release

    run, out = Path(run), Path(out)
    model = Model(load_release(run))
    name, picture = _picture(run, model)
    try:
        if format == "safetensors":
            if out.resolve() == run.resolve():
                raise RunError(f"{out} is the run itself. Choose another --out.")
            model.save_pretrained(out)
            exported: Predictor = Model(load_release(out))
        else:
            from semiseg.inference.onnx_graph import write_onnx
            from semiseg.inference.onnx_model import OnnxModel

            out = out if out.suffix.lower() == ".onnx" else out / "model.onnx"
            out.parent.mkdir(parents=True, exist_ok=True)
            part = out.with_name(f"{out.stem}.part.onnx")
            try:
                write_onnx(model.release, part)
                exported = OnnxModel(part, "cpu")
                difference, ties = compare(model, exported, picture)
                part.replace(out)
            finally:
                part.unlink(missing_ok=True)
            return Export(out, name, difference, ties)
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error
    return Export(out, name, *compare(model, exported, picture))


def compare(original: Predictor, exported: Predictor, picture: Image.Image) -> tuple[float, int]:
    """The largest difference on a picture, and the pixels at working size that are ties.

    Raises:
        RunError: a pixel is labeled otherwise without being a tie.
    """
    import numpy as np

    from semiseg.inference.reading import enlargement
    from semiseg.inference.sliding import to_array

    images = to_array(picture, original.segment.size)
    theirs, ours = original.segment.maps(images), exported.segment.maps(images)
    difference = max(
        float(np.abs(a - b).max())
        for a, b in zip(theirs, ours, strict=True)
        if a is not None and b is not None
    )
    (height, width), cells = images.shape[-2:], theirs.logits.shape[-2:]
    rows, columns = enlargement(cells[0], height, height), enlargement(cells[1], width, width).T
    expected, found = (rows @ maps.logits[0] @ columns for maps in (theirs, ours))
    changed = expected.argmax(axis=0) != found.argmax(axis=0)
    best = np.sort(expected, axis=0)
    wrong = changed & (best[-1] - best[-2] > _TIE)
    if wrong.any() or not np.isfinite(difference):
        raise RunError(
            f"The export is not the same model: it labels {int(wrong.sum())} of {wrong.size} "
            f"pixels otherwise, and its logits differ by up to {difference:.2g}. Nothing can be "
            "done about that but to use another format, and to report it."
        )
    return difference, int(changed.sum())


def _picture(run: Path, model: Predictor) -> tuple[str, Image.Image]:
    """An image of the run's `val` where the data are still there, else a drawn scene."""
    from PIL import Image

    from semiseg.core.rng import Key
    from semiseg.data.formats.images import read_image
    from semiseg.scenes.draw import draw_scene
    from semiseg.training.run_data import samples_of

    for sample in samples_of(run)[1]:
        try:
            return str(sample.image), read_image(sample.image, model.value_range)
        except DataError:
            continue
    image, _ = draw_scene(Key.of(0, "export"), (160, 160))
    return "a drawn scene", Image.fromarray(image)
