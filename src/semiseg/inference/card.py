"""The model card: what people should know about a model before they use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from huggingface_hub import EvalResult, ModelCardData

from semiseg.config.methods import METHODS, default_settings
from semiseg.core.choices import PAIR, Choice
from semiseg.core.reading import RGB_CHANNELS, Reading
from semiseg.core.scores import ClassScores, MeanIou, SplitRecord
from semiseg.core.text import escape_markdown, markdown_table, percent
from semiseg.evaluation.logit_adjustment import describe_strength
from semiseg.model.metadata import ModelMetadata, WeightsRecord
from semiseg.plots.palette import css_color

_TASK = "image-segmentation"
_UNKNOWN = "unknown"
"""The license of a model whose owner has not chosen one, as the hub calls it."""
_HEAD = """---
{header}
---

# Semantic segmentation of {count} classes, trained with {method}
"""
_USE = """
## Use

```python
import semiseg

model = semiseg.load("hf-hub:OWNER/NAME")  # the name of this model on the hub, or its folder
mask = model.predict("image.jpg").mask  # (H, W) class indices, of the size of the image
```

```bash
semiseg predict hf-hub:OWNER/NAME IMAGES --out masks --overlay
semiseg train DATA --start-from hf-hub:OWNER/NAME
```

`model.json` holds this information for programs. `model.safetensors` holds the weights.
"""


def model_card(metadata: ModelMetadata) -> str:
    """The card in Markdown. It omits what the metadata do not contain."""
    classes = metadata.classes
    method = escape_markdown(metadata.method or "an unknown method")
    head = _HEAD.format(header=_header(metadata), count=len(classes), method=method)
    parts = [head, _training(metadata)]
    if metadata.per_class and metadata.miou is not None:
        parts.append(_scores(metadata.per_class, metadata.miou, metadata.choice))
    rows = [
        [i, name, f"`{css_color(color)}`"]
        for i, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True))
    ]
    parts.append(f"## Classes\n\n{_table(['index', 'name', 'color'], rows)}\n")
    parts.append(_input(metadata))
    return "\n".join(parts) + _USE


def _header(metadata: ModelMetadata) -> str:
    """What the hub searches and shows beside the card, in YAML."""
    name, miou, split = metadata.method, metadata.miou, metadata.split
    learning = ["semi-supervised-learning"] if _learned_from_unlabeled(metadata) else []
    others = [] if metadata.second is None else [metadata.second.network.encoder]
    tags = ["semantic-segmentation", *learning, *([name] if name else [])]
    results = []
    if miou is not None and miou.released is not None:
        count = None if split is None else split.images.get("val")
        images = "validation images" if count is None else f"{count} validation images"
        results = [
            EvalResult(
                task_type=_TASK,
                dataset_type="own",
                dataset_name=f"The {images} of the training",
                metric_type="mean_iou",
                metric_name="mIoU",
                metric_value=round(miou.released / 100, 4),
            )
        ]
    data = ModelCardData(
        library_name="semiseg",
        license=metadata.license or _UNKNOWN,
        pipeline_tag=_TASK,
        tags=[*tags, metadata.network.encoder, *others],
        model_name=f"semiseg {name or 'model'}",
        eval_results=results,
    )
    return str(data.to_yaml()).strip()


def describe_release(which: str, strength: float, first_stage: bool = False) -> str:
    """The released network, and how its logits were adjusted.

    Args:
        which: `student`, `teacher`, `second`, or `both` for the mean of two networks.
        strength: the share of the log class weights that was subtracted from its logits.
        first_stage: it was trained in a first stage on labeled images only.
    """
    name = "mean of two networks" if which == PAIR else which
    text = f"the {name}" + " of stage 1 (labeled images only)" * first_stage
    logits = "the logits of the first one" if which == PAIR else "its logits"
    return text + (f", {logits} adjusted by {describe_strength(strength)}" if strength else "")


def _training(metadata: ModelMetadata) -> str:
    network, split, which = metadata.network, metadata.split, metadata.which
    strength = 0.0 if metadata.adjustment is None else metadata.adjustment.strength
    second = None
    if metadata.second is not None:
        spec = metadata.second.network
        second = f"{spec.encoder}, {spec.decoder}"
        if metadata.second.strength:
            second += f"; its logits adjusted by {describe_strength(metadata.second.strength)}"
    others = _count(split, "unlabeled") if _learned_from_unlabeled(metadata) else None
    facts = {
        "Method": metadata.method,
        "Network": f"{network.encoder}, {network.decoder}",
        "Second network": second,
        **_weights(metadata.weights, "encoder"),
        **_weights(metadata.second_weights, "second encoder"),
        "Steps": metadata.steps,
        "Labeled images": _count(split, "labeled"),
        "Unlabeled images": others,
        "Validation images": _count(split, "val"),
        "Released model": None if which is None else describe_release(which, strength),
        "semiseg": metadata.semiseg,
    }
    rows = [
        f"| {name} | {value if name.endswith('images') else escape_markdown(value)} |"
        for name, value in facts.items()
        if value is not None
    ]
    note = (
        "\n\nThe hashes are those of the sorted image names.\n" if split and split.images else "\n"
    )
    return "## Training\n\n| | |\n|---|---|\n" + "\n".join(rows) + note


def _learned_from_unlabeled(metadata: ModelMetadata) -> bool:
    """Whether the method uses unlabeled images, as one that is not known here may do."""
    method = metadata.method
    return method not in METHODS or default_settings(method).uses_unlabeled


def _weights(weights: WeightsRecord | None, encoder: str) -> dict[str, str | None]:
    """The weights that an encoder started from, with their license and their hash."""
    if weights is None:
        return {}
    return {
        f"{encoder.capitalize()} weights": weights.source,
        f"License of the {encoder} weights": weights.describe_license() or None,
        f"SHA-256 of the {encoder} weights": weights.sha256,
    }


def _count(split: SplitRecord | None, name: str) -> str | None:
    """The number of images in a list with the hash of their names, in Markdown."""
    if split is None or name not in split.images:
        return None
    return f"{split.images[name]} (`{''.join(c for c in split.hash_of(name) if c.isalnum())}`)"


def _scores(per_class: Mapping[str, ClassScores], miou: MeanIou, choice: Choice | None) -> str:
    rows = [
        [name, percent(scores.iou), percent(scores.precision), percent(scores.recall)]
        for name, scores in per_class.items()
    ]
    text = f"## Scores on the validation images\n\nmIoU {percent(miou.released)} %."
    if choice is not None:
        text += (
            " Each half of the images is scored with the network and the logit adjustment that "
            "the other half chose. This model is the choice of all images, where its mIoU is "
            f"{percent(choice.miou)} %."
        )
    return f"{text}\n\n{markdown_table(['class', 'IoU, %', 'precision, %', 'recall, %'], rows)}\n"


def _input(metadata: ModelMetadata) -> str:
    network, reading = metadata.network, metadata.reading
    value_range, is_rgb = reading.value_range, reading.channels == RGB_CHANNELS
    images = "RGB images" if is_rgb else f"Images of {reading.channels} bands,"
    text = (
        f"## Input\n\n{images} of any size. The model scales their short side to "
        f"{metadata.first_size} pixels, and normalizes values in 0..1 with the mean "
        f"{_numbers(network.mean)} and the standard deviation {_numbers(network.std)}.\n"
    )
    if metadata.second is not None:
        other = metadata.second.network
        text += (
            f"For its second network it scales the short side to {metadata.second.size} pixels; "
            f"the mean is {_numbers(other.mean)}, the standard deviation {_numbers(other.std)}. "
            "The probabilities of the model are the mean of those of both networks.\n"
        )
    if value_range:
        black, white = value_range
        text += f"In images of more than 8 bits, {black:g} is black and {white:g} is white.\n"
    if reading.bands and is_rgb:
        named = zip(reading.bands, metadata.band_names or ("",) * RGB_CHANNELS, strict=True)
        bands = ", ".join(f"{n} ({escape_markdown(name)})" if name else f"{n}" for n, name in named)
        text += f"Of a TIFF, it reads the bands {bands}.\n"
    if reading.nodata:
        text += f"Pixels of the value {_numbers(reading.nodata)} hold no data.\n"
    return text if is_rgb else f"{text}\n{_bands(reading, metadata.band_names)}\n"


def _bands(reading: Reading, names: Sequence[str] | None) -> str:
    """A table of the bands with their names, ranges and colors."""
    bands = reading.bands or ()
    ranges = reading.ranges or ((0.0, 255.0),) * len(bands)
    colors = dict(zip(reading.rgb or (), ("red", "green", "blue"), strict=False))
    rows = [
        [str(number), name, f"{ends[0]:g}", f"{ends[1]:g}", colors.get(number, "")]
        for number, name, ends in zip(bands, names or [""] * len(bands), ranges, strict=True)
    ]
    return markdown_table(["band", "name", "0", "255", "color"], rows)


def _table(head: list[str], rows: list[list[object]]) -> str:
    """A table whose last column is Markdown already."""
    lines = [[*map(escape_markdown, row[:-1]), str(row[-1])] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)
