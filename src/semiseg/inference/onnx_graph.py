"""A released model as an ONNX graph.

torch exports the network for images whose sides are multiples of its stride. This module adds the
rest of the graph: it pads an 8-bit image of any size, and cuts the maps. torch's exporter cannot
express how sizes that are padded and halved five times fit together, nor the rotary positions of
DINOv3.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, cast

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3
from torch import Tensor, nn
from torch.export import Dim

from semiseg.core.errors import ConfigError
from semiseg.core.types import STRIDE
from semiseg.inference.onnx_model import METADATA, STRIDE_KEY
from semiseg.inference.scenes import prior_of, prototypes_of
from semiseg.model.metadata import NetworkSpec
from semiseg.model.network import Network
from semiseg.model.prototypes import similarity
from semiseg.model.release import Release

_OPSET = 20
_BEFORE = """
<ir_version: 10, opset_import: ["" : {opset}]>
before (uint8[batch, {channels}, height, width] image)
    => (float[batch, {channels}, H, W] padded, int64[2] cells)
<float[1, {channels}, 1, 1] scale = {{{scale}}}, float[1, {channels}, 1, 1] shift = {{{shift}}},
 int64[2] stride = {{{stride}, {stride}}}, int64[6] none = {{0, 0, 0, 0, 0, 0}},
 int64[2] four = {{{four}, {four}}}, int64[2] three = {{{three}, {three}}}>
{{
    numbers = Cast<to = 1>(image)
    scaled = Mul(numbers, scale)
    normal = Sub(scaled, shift)
    sides = Shape<start = 2>(image)
    less = Neg(sides)
    missing = Mod(less, stride)
    margins = Concat<axis = 0>(none, missing)
    padded = Pad(normal, margins)
    more = Add(sides, three)
    cells = Div(more, four)
}}
"""
_AFTER = """
<ir_version: 10, opset_import: ["" : {opset}]>
after (float[batch, {classes}, H, W] whole, int64[2] cells)
    => (float[batch, {classes}, h, w] {name})
<int64[2] zero = {{0, 0}}, int64[2] axes = {{2, 3}}>
{{
    {name} = Slice(whole, zero, cells, axes)
}}
"""


_MEAN = """
<ir_version: 10, opset_import: ["" : {opset}]>
mean (float[batch, {classes}, h, w] first_logits, float[batch, {classes}, h, w] second_logits)
    => (float[batch, {classes}, h, w] logits)
<int64[1] classes = {{1}}, float log_two = {{0.69314718}}, float lowest = {{{lowest:.9g}}}>
{{
    top_of_first = ReduceMax(first_logits, classes)
    low_of_first = Sub(first_logits, top_of_first)
    exp_of_first = Exp(low_of_first)
    sum_of_first = ReduceSum(exp_of_first, classes)
    total_of_first = Log(sum_of_first)
    log_of_first = Sub(low_of_first, total_of_first)
    top_of_second = ReduceMax(second_logits, classes)
    low_of_second = Sub(second_logits, top_of_second)
    exp_of_second = Exp(low_of_second)
    sum_of_second = ReduceSum(exp_of_second, classes)
    total_of_second = Log(sum_of_second)
    log_of_second = Sub(low_of_second, total_of_second)
    larger = Max(log_of_first, log_of_second)
    less_of_first = Sub(log_of_first, larger)
    less_of_second = Sub(log_of_second, larger)
    part_of_first = Exp(less_of_first)
    part_of_second = Exp(less_of_second)
    parts = Add(part_of_first, part_of_second)
    log_parts = Log(parts)
    log_sum = Add(larger, log_parts)
    log_mean = Sub(log_sum, log_two)
    logits = Max(log_mean, lowest)
}}
"""  # no probability itself: with 16 bits, those below 3e-8 would be 0


def write_onnx(release: Release, path: Path) -> None:
    """Write a release as ONNX, with `model.json` in its metadata.

    The input is `image`, `(B, N, h, w)` uint8, scaled to working size; three channels are RGB, and
    others are the bands that the model reads. The outputs are `logits` and, with prototypes,
    `similarity`, `(B, C, ceil(h/4), ceil(w/4))` each. Of two networks, the logits are the logarithm
    of the mean of their probabilities.

    Raises:
        ConfigError: a package is missing, or ONNX cannot express a part of the network.
    """
    require_onnx()
    import onnx

    graph = _graph if release.second is None else _graph_of_pair
    model = graph(release)
    versions = {o.domain: o.version for o in model.opset_import}  # each part has its own list
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*version) for version in versions.items())
    metadata = {**release.metadata.to_dict(), STRIDE_KEY: release.network.stride}
    onnx.helper.set_model_props(model, {METADATA: json.dumps(metadata, ensure_ascii=False)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def mean_of_two(classes: int) -> Any:  # noqa: ANN401 - a ModelProto
    """The graph from `first_logits` and `second_logits`, `(B, C, h, w)` each, to their `logits`.

    These are the logarithm of the mean of both probabilities.
    """
    import onnx

    lowest = math.log(torch.finfo(torch.float32).tiny)  # as in `predict`
    return onnx.parser.parse_model(_MEAN.format(opset=_OPSET, classes=classes, lowest=lowest))


def _graph_of_pair(release: Release) -> Any:  # noqa: ANN401 - a ModelProto
    """Two networks for the same images, as `write_onnx` describes it.

    Raises:
        ConfigError: ONNX cannot express a part of a network.
    """
    import onnx

    model = mean_of_two(release.network.classes)
    for prefix, network in (("first_", release.network), ("second_", release.second)):
        one = _graph(Release(cast(Network, network), {}, release.metadata))
        one = onnx.compose.add_prefix(one, prefix)
        # The networks pad to multiples of different strides: their symbols for sides that are free
        # mean different numbers, and onnxruntime shares memory where the symbols are equal.
        for value in one.graph.value_info:
            for dimension in value.type.tensor_type.shape.dim:
                if dimension.dim_param not in ("", "batch"):
                    dimension.dim_param = f"{prefix}{dimension.dim_param}"
        logits = f"{prefix}logits"
        model = onnx.compose.merge_models(one, model, [(logits, logits)], outputs=["logits"])
    inputs = model.graph.input  # each network has its own
    own = [one.name for one in inputs]
    for node in model.graph.node:
        node.input[:] = ["image" if name in own else name for name in node.input]
    inputs[0].name = "image"
    del inputs[1:]
    return model


def _graph(release: Release) -> Any:  # noqa: ANN401 - a ModelProto
    """One network for images of any size, with the outputs that `write_onnx` describes.

    Raises:
        ConfigError: ONNX cannot express a part of the network.
    """
    import onnx

    network = release.network
    core, names = _core(release)
    mean, std = network.normalization()
    text = _BEFORE.format(
        opset=_OPSET,
        channels=network.spec.channels,
        scale=", ".join(f"{1 / (255 * s):.9g}" for s in std),
        shift=", ".join(f"{m / s:.9g}" for m, s in zip(mean, std, strict=True)),
        stride=network.stride,
        four=STRIDE,
        three=STRIDE - 1,
    )
    before = onnx.parser.parse_model(text)
    model = onnx.compose.merge_models(
        before, core, [("padded", "padded")], outputs=["cells", *(f"{n}_map" for n in names)]
    )
    for name in names:
        after = onnx.parser.parse_model(
            _AFTER.format(opset=_OPSET, classes=network.classes, name=name)
        )
        after = onnx.compose.add_prefix(
            after, f"{name}_", rename_inputs=False, rename_outputs=False
        )
        rest = [o.name for o in model.graph.output if o.name != f"{name}_map"]
        model = onnx.compose.merge_models(
            model, after, [(f"{name}_map", "whole"), ("cells", "cells")], outputs=[*rest, name]
        )
    outputs = [o for o in model.graph.output if o.name in names]  # without the cells
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    return model


def _core(release: Release) -> tuple[Any, list[str]]:
    """The network for normalized images (sides: multiples of its stride), and its outputs."""
    network = exportable(release.network)
    prototypes, seen = prototypes_of(release.tensors)

    class Core(nn.Module):
        seen: Tensor
        prototypes: Tensor
        prior: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.register_buffer("seen", seen)
            self.register_buffer("prototypes", prototypes)
            self.register_buffer("prior", prior_of(release.tensors))

        def forward(self, padded: Tensor) -> tuple[Tensor, ...]:
            output = network.heads(network.decoder(network.encoder(padded)))
            if prototypes is None or output.representation is None:
                return (output.logits,)
            cosines = similarity(output.representation, self.prototypes, self.seen)
            return output.logits, cosines + self.prior

    stride = network.stride
    shapes = ({0: Dim("batch"), 2: stride * Dim("rows"), 3: stride * Dim("columns")},)
    example = torch.zeros(2, network.spec.channels, 3 * stride, 4 * stride)
    names = ["logits"] if prototypes is None else ["logits", "similarity"]
    outputs = [f"{n}_map" for n in names]
    return to_onnx(Core(), example, shapes, "padded", outputs, network.spec, _OPSET), names


def to_onnx(
    module: nn.Module,
    example: Tensor,
    shapes: tuple[dict[int, Any], ...],
    name: str,
    outputs: Sequence[str],
    spec: NetworkSpec,
    opset: int,
) -> Any:  # noqa: ANN401 - a ModelProto
    """A module as an ONNX graph.

    Args:
        module: what is exported.
        example: its input.
        shapes: the sides of the input that stay free, as torch's exporter takes them.
        name: of the input.
        outputs: the names of the outputs.
        spec: the specification of the network in the module, for the error.
        opset: the version of the operators.

    Raises:
        ConfigError: ONNX cannot express a part of the module.
    """
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(StringIO()), _quiet():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                (example,),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=[name],
                output_names=list(outputs),
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:  # the stages of the exporter raise many kinds
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"ONNX cannot express the encoder {spec.encoder} with the decoder "
            f"{spec.decoder} ({reason}). Use --format hub, or train with another "
            "encoder or decoder."
        ) from error
    return cast(Any, program).model_proto


def require_onnx() -> None:
    """Refuse to export without the packages that it needs.

    Raises:
        ConfigError: one is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise ConfigError(
            f"The export needs {error.name}, which is not installed: "
            "pip install 'semiseg[onnx-export]'."
        ) from error


def exportable(network: Network) -> Network:
    """A copy that gives the same maps in operations that torch's exporter can express."""
    copied = copy.deepcopy(network).eval()
    for name, module in list(copied.named_modules()):
        if isinstance(module, Conv2dSame):
            copied.set_submodule(name, _fixed_padding(module))
        elif isinstance(module, RotaryEmbeddingDinoV3):
            copied.set_submodule(name, _RotaryEmbedding(module))
    return copied.eval()


def _fixed_padding(conv: Conv2dSame) -> nn.Module:
    """A convolution with a constant padding.

    timm's convolution computes it from the size of the image. All sides are multiples of every
    stride here, so the padding is always the same. Nested formulas of the size would take torch's
    exporter hours.
    """
    kernel, stride, dilation = (
        cast("tuple[int, int]", v) for v in (conv.kernel_size, conv.stride, conv.dilation)
    )
    sides = zip(kernel, dilation, stride, strict=True)
    rows, columns = (max(0, (k - 1) * d + 1 - s) for k, d, s in sides)
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        kernel,
        stride,
        dilation=dilation,
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    plain.load_state_dict(conv.state_dict())
    margins = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    return nn.Sequential(nn.ZeroPad2d(margins), plain)


class _RotaryEmbedding(nn.Module):
    """The rotary positions of DINOv3 for a grid whose sides are known only when the graph runs.

    timm's module computes with the sides as Python numbers, which the exporter makes constants.

    Args:
        rope: the module of timm.
    """

    periods: Tensor

    def __init__(self, rope: RotaryEmbeddingDinoV3) -> None:
        super().__init__()
        self.register_buffer("periods", cast(Tensor, rope.periods))
        self.offset = 0.5 + rope.grid_offset
        self.rotate_half = rope.rotate_half

    def get_embed(self, shape: Sequence[int]) -> Tensor:
        """The sines and cosines `(h w, 2 D)` for a grid of `(h, w)` patches."""
        axes = [(torch.arange(n, dtype=torch.float32) + self.offset) / n for n in shape]
        places = 2 * torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) - 1  # in -1..1
        angles = (2 * math.pi * places.flatten(0, 1)[..., None] / self.periods).flatten(1)
        pairs = (angles, angles)
        joined = torch.cat(pairs, -1) if self.rotate_half else torch.stack(pairs, -1).flatten(1)
        return torch.cat([joined.sin(), joined.cos()], dim=-1)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, whose warnings address its developers."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
