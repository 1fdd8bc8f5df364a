"""Exports in lower precision: they run, and what is printed of them is measured."""

import logging
import re
import shutil

import numpy as np
import pytest

import semiseg
from semiseg.cli import main
from semiseg.commands._precision import Measured, PrecisionCost, images_of, reduce_precision
from semiseg.core.errors import ConfigError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.exports


@pytest.fixture(scope="module")
def full(tiny_run, tmp_path_factory):
    """A run in full precision."""
    path = tmp_path_factory.mktemp("full") / "model.onnx"
    export = semiseg.export(tiny_run("css"), out=path)
    assert export.cost is None
    return path


@pytest.mark.parametrize(("precision", "least"), [("fp16", 1.5), ("int8", 2.0)])
def test_a_lower_precision_is_smaller_measured_and_nearly_the_same(
    precision, least, full, tiny_run, tiny_folder, tmp_path
):
    images, handlers = (
        images_of(tiny_run("css"), None, precision),
        set(logging.getLogger().handlers),
    )
    cost = reduce_precision(full, tmp_path / "model.onnx", images)
    assert cost.reduced.size == (tmp_path / "model.onnx").stat().st_size
    assert least * cost.reduced.size < cost.full.size == full.stat().st_size
    assert min(cost.reduced.seconds, cost.full.seconds) > 0
    scores = semiseg.evaluate(tmp_path / "model.onnx", tiny_folder, accelerator="cpu")
    assert (cost.reduced.miou, cost.images) == (pytest.approx(scores.miou), scores.images)
    small, large = semiseg.load(tmp_path / "model.onnx"), semiseg.load(full)
    assert small.metadata == large.metadata
    properties = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert properties["precision"] == precision
    assert not set(logging.getLogger().handlers) - handlers
    assert small.two_spaces
    for shape in ((48, 64, 3), (50, 131, 3)):
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        ours, theirs = (model.predict(image, probabilities=True) for model in (small, large))
        assert 0 < np.abs(ours.probabilities - theirs.probabilities).mean() < 0.05


def test_the_command_prints_the_loss_and_keeps_one_file(
    full, tiny_run, tiny_folder, tmp_path, monkeypatch, capsys
):
    # torch's exporter takes most of the time; its graph is that of the fixture
    def copy(release, path):
        shutil.copyfile(full, path)

    monkeypatch.setattr("semiseg.inference.onnx_graph.write_onnx", copy)
    words = ["export", str(tiny_run("css")), "--out", str(tmp_path), "--precision", "int8"]
    main([*words, "--data", str(tiny_folder)])
    output, log = capsys.readouterr()
    assert "on 2 images of val (with fewer than 20, the difference is mostly chance); " in output
    steps = re.findall(r"^· ((?:writing|checking|measuring) .*)$", log, re.MULTILINE)
    assert [step.split()[0] for step in steps] == ["writing", "checking", "writing", "measuring"]
    assert steps[-1] == "measuring int8 and fp32 on 2 images of val"
    assert re.search(r"model\.onnx: mIoU [\d.]+ % with int8 and [\d.]+ % with fp32 \(", output)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_the_words_say_whether_it_pays_here():
    fast, slow = Measured(60.0, 0.010, 4_000_000), Measured(61.0, 0.020, 16_000_000)
    text = PrecisionCost("int8", fast, slow, 40).text()
    assert text.startswith("mIoU 60.0 % with int8 and 61.0 % with fp32 (-1.0 points) on 40 images")
    assert "on 40 images of val; " in text
    assert "chance" not in PrecisionCost("int8", fast, slow, 20).text()
    assert "chance" in PrecisionCost("int8", fast, slow, 19).text()
    assert text.endswith("10 ms and 20 ms an image on this CPU; 4.0 MB and 16.0 MB")
    same = PrecisionCost("int8", fast, slow._replace(miou=60.04), 40).text()
    assert "(+0.0 points)" in same
    slower = PrecisionCost("fp16", slow, fast, 40).text()
    assert slower.endswith("GPUs do. Here, only the file is smaller")


def test_what_cannot_be_measured_or_written_is_refused(css_release, tmp_path):
    with pytest.raises(ConfigError, match="--data"):
        semiseg.export(css_release, out=tmp_path / "a.onnx", precision="int8")
    with pytest.raises(ConfigError, match="--precision int8 is for --format onnx"):
        semiseg.export(css_release, out=tmp_path / "a", precision="int8", file_format="hub")
    assert not list(tmp_path.iterdir())
