"""ONNX models in lower precision: 16-bit floating-point numbers, or 8-bit integers."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import ConfigError

Reduced: TypeAlias = Literal["fp16", "int8"]
"""The precisions below that of the training."""
_INPUT = "image"
_QUANTIZED = ["Conv", "Gemm", "MatMul"]
"""The operators whose weights and inputs become integers: nearly all of the time passes in them."""


PRECISION_KEY = "precision"
"""The key of the precision in the metadata of the ONNX file."""


@contextmanager
def _quiet_root() -> Iterator[None]:
    """Silence what the converters log to the root logger, and remove the handler that they add."""
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in [*root.handlers]:
            if handler not in handlers:
                root.removeHandler(handler)


@_quiet_root()
def write_fp16(source: Path, target: Path) -> None:
    """Write an ONNX model with weights and computations of 16 bits; inputs and outputs stay.

    Raises:
        ConfigError: a part of the network cannot be expressed.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    with _explained("fp16"):
        model = OnnxModel(convert_float_to_float16(onnx.load(source), keep_io_types=True))
        model.topological_sort()  # the conversion appends its casts at the end
        onnx.checker.check_model(model.model)
    _save(model.model, target, onnx.load(source), "fp16")


@_quiet_root()
def write_int8(source: Path, target: Path, images: Iterable[NDArray[np.uint8]]) -> None:
    """Write an ONNX model whose convolutions and products of matrices are those of 8-bit integers.

    The ranges of their inputs are those that occur in some images. Each output channel of the
    weights has a range of its own. The first operators and the last ones stay as they are: they
    are a small part of the work, and most of the loss.

    Args:
        source: the model in full precision.
        target: the file.
        images: `(1, N, h, w)` each, as the model takes them.

    Raises:
        ConfigError: a part of the network cannot be expressed.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):  # type: ignore[misc]
        """Gives the images to the calibration, one after another."""

        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> Mapping[str, NDArray[np.uint8]] | None:
            """The next image; None after the last one."""
            image = next(self._images, None)
            return None if image is None else {_INPUT: image}

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, _explained("int8"):
        fused = Path(folder) / "fused.onnx"
        # Batch norm and activations join the convolutions before them. The sides of images are
        # free, which the symbolic inference of shapes does not know.
        quant_pre_process(source, fused, skip_symbolic_shape=True)
        quantize_static(
            fused,
            target,
            Images(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTIZED,
            nodes_to_exclude=_ends_of(onnx.load(fused).graph),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    _save(onnx.load(target), target, onnx.load(source), "int8")


def _save(model: Any, target: Path, source: Any, precision: Reduced) -> None:  # noqa: ANN401
    """Write a `ModelProto` with the metadata of the one that it comes from, and its precision."""
    import onnx

    properties = {p.key: p.value for p in source.metadata_props}
    onnx.helper.set_model_props(model, {**properties, PRECISION_KEY: precision})
    onnx.save(model, target)


def _ends_of(graph: Any) -> list[str]:  # noqa: ANN401 - a GraphProto
    """The names of the operators with weights that come first and last in a graph."""
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = [makers[output.name] for output in graph.output]
    inputs = [node for entry in graph.input for node in readers.get(entry.name, ())]
    last = _nearest(outputs, lambda node: [makers[name] for name in node.input if name in makers])
    first = _nearest(
        inputs, lambda node: [n for name in node.output for n in readers.get(name, ())]
    )
    return sorted({node.name for node in (*first, *last)})


def _nearest(nodes: list[Any], neighbors: Callable[[Any], list[Any]]) -> Iterator[Any]:
    """The nearest operators with weights; the sizes of arrays lead nowhere."""
    seen: set[str] = set()
    waiting = [*nodes]
    while waiting:
        node = waiting.pop()
        if node.output[0] in seen or node.op_type == "Shape":
            continue
        seen.add(node.output[0])
        if node.op_type in _QUANTIZED:
            yield node
        else:
            waiting += neighbors(node)


@contextmanager
def _explained(precision: Reduced) -> Iterator[None]:
    """Turn the errors of the converters into one sentence, and silence their warnings.

    Raises:
        ConfigError: in place of any error inside.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # they raise many kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(
            f"onnxruntime cannot write this network in {precision} ({reason}). Leave --precision "
            "out."
        ) from error
