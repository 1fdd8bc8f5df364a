"""Exported models: the same answers, without Lightning or without torch."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny_vit import TINY_EVA, TINY_VIT

import semiseg
from semiseg.cli import main
from semiseg.commands.export import differences
from semiseg.commands.settings.runs import ExportSettings
from semiseg.config.settings import help_texts
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.core.scores import ClassScores, MeanIou, SplitRecord
from semiseg.inference.formats import FORMATS, format_of
from semiseg.scenes.draw import NAMES
from semiseg.training.run_data import listed_samples

ROOT = Path(__file__).parents[1]
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {names}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Blocker())
"""
TORCH = ("torch", "torchvision", "lightning", "segmentation_models_pytorch", "timm")
onnx_extra = pytest.mark.skipif(
    any(
        not __import__("importlib.util").util.find_spec(n)
        for n in ("onnx", "onnxruntime", "onnxscript")
    ),
    reason="the extra onnx-export is not installed",
)


def without(names, code):
    """Run code in a Python where these packages cannot be imported."""
    src = str(Path(semiseg.__file__).parents[1])
    process = subprocess.run(
        [sys.executable, "-c", BLOCKER.format(names=tuple(names)) + code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": src},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, (width, height) in {
        "a.png": (64, 48),
        "b.png": (75, 101),
        "c.png": (300, 60),
    }.items():
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def save(folder, encoder, decoder="auto", weights="none"):
    """Write a network without training as a release, and load it as a model."""
    import torch

    from semiseg.data.formats.masks import Classes
    from semiseg.model.metadata import ModelMetadata
    from semiseg.model.network import Network
    from semiseg.model.release import Release, save_release
    from semiseg.scenes.draw import COLORS

    torch.manual_seed(0)
    classes = Classes(NAMES, COLORS, "ids", tuple(range(len(NAMES))))
    network = Network(len(NAMES), encoder, decoder, weights).eval()
    if weights == "none":
        for parameter in network.encoder.parameters():  # so that positions matter
            torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.normal_(network.logit_head.weight, std=3)
    metadata = ModelMetadata(network=network.spec, classes=classes, size=64)
    folder.mkdir(exist_ok=True)
    save_release(folder, Release(network, {}, metadata))
    return semiseg.load(folder, accelerator="cpu")


def agree(ours, theirs):
    assert (ours.mask == theirs.mask).mean() > 0.9999
    assert (ours.nearest == theirs.nearest).mean() > 0.9999
    np.testing.assert_allclose(ours.confidence, theirs.confidence, atol=1e-3)
    np.testing.assert_allclose(ours.similarity, theirs.similarity, atol=1e-3)


@pytest.mark.exports
@onnx_extra
def test_the_onnx_model_says_the_same_of_images_of_any_size(exported, css_release, photos):
    onnx, original = semiseg.load(exported), semiseg.load(css_release, accelerator="cpu")
    assert onnx.classes == original.classes
    for file in sorted(photos.iterdir()):
        agree(onnx.predict(file), original.predict(file))
    agree(onnx.predict(photos / "b.png", tta=True), original.predict(photos / "b.png", tta=True))


@pytest.mark.exports
@onnx_extra
def test_batch_height_and_width_are_free_and_the_metadata_tell_all(exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    assert [(i.name, i.type) for i in session.get_inputs()] == [("image", "tensor(uint8)")]
    assert [o.name for o in session.get_outputs()] == ["logits", "similarity"]
    for shape in ((1, 3, 32, 32), (3, 3, 33, 130), (2, 3, 1, 7)):
        logits, similarity = session.run(None, {"image": np.zeros(shape, np.uint8)})
        cells = tuple(-(-n // 4) for n in shape[2:])
        assert logits.shape == similarity.shape == (shape[0], len(NAMES), *cells)
    about = json.loads(session.get_modelmeta().custom_metadata_map["semiseg"])
    assert about["classes"]["names"] == list(NAMES)
    assert about["size"] == 48
    assert about["range"] is None
    assert {"mean", "std", "crop"} <= set(about["network"])


@pytest.mark.exports
@onnx_extra
@pytest.mark.parametrize("encoder", [TINY_VIT, TINY_EVA])
def test_positions_fit_images_of_any_size(encoder, tmp_path):
    """The graph interpolates learned positions, and computes rotary ones, for each grid."""
    original = save(tmp_path / "run", encoder)
    onnx = semiseg.load(semiseg.export(tmp_path / "run", out=tmp_path / "vit.onnx").path)
    rng = np.random.default_rng(0)
    # The grid of the training has 4 x 4 patches. Smaller and larger ones, and less than a patch.
    for shape in ((1, 3, 56, 56), (3, 3, 64, 64), (1, 3, 5, 200), (2, 3, 150, 90)):
        images = rng.integers(0, 256, shape, dtype=np.uint8)
        ours, theirs = (m.segment.forward(images).logits for m in (onnx, original))
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.slow
@onnx_extra
@pytest.mark.skipif("SEMISEG_DINOV2" not in os.environ, reason="SEMISEG_DINOV2 names no file")
def test_dinov2_is_exported_with_its_real_weights(tmp_path):
    weights = os.environ["SEMISEG_DINOV2"]
    original = save(tmp_path / "run", "vit_small_patch14_dinov2", weights=weights)
    exported = semiseg.export(tmp_path / "run", out=tmp_path / "vit.onnx")
    assert exported.difference < 1e-3
    onnx = semiseg.load(exported.path)
    for shape in ((1, 3, 30, 100), (1, 3, 252, 168)):
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        ours, theirs = (m.segment.forward(images).logits for m in (onnx, original))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.exports
@onnx_extra
def test_predict_needs_no_torch_for_an_onnx_model(exported, css_release, photos, tmp_path):
    words = ["predict", str(exported), str(photos), "--out", str(tmp_path / "without")]
    words += ["--reliability", "--overlay", "--abstain", "0.3"]
    code = f"from semiseg.cli import main\nmain({words!r})\nassert 'torch' not in sys.modules"
    assert "3 masks" in without(TORCH, code)
    semiseg.predict(css_release, photos, out=tmp_path / "with", abstain=0.3, accelerator="cpu")
    for file in photos.iterdir():
        ours, theirs = (np.array(Image.open(tmp_path / x / file.name)) for x in ("without", "with"))
        assert (ours == theirs).mean() > 0.999
        assert (tmp_path / "without" / "reliability" / file.name).is_file()


@pytest.mark.exports
@onnx_extra
def test_evaluate_scores_an_onnx_model_as_the_original(exported, css_release, tiny_folder):
    ours, theirs = (
        semiseg.evaluate(m, tiny_folder, accelerator="cpu") for m in (exported, css_release)
    )
    assert ours.miou == pytest.approx(theirs.miou, abs=0.01)


@pytest.mark.exports
@onnx_extra
def test_evaluate_scores_the_images_of_a_list(exported, css_release, tiny_folder, tmp_path):
    names = [path.stem for path in sorted((tiny_folder / "train" / "images").iterdir())][:2]
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    ours, theirs = (
        semiseg.evaluate(m, tiny_folder, listed=tmp_path / "list.txt", accelerator="cpu")
        for m in (exported, css_release)
    )
    assert (ours.images, ours.hash) == (2, theirs.hash)
    assert ours.miou == pytest.approx(theirs.miou, abs=0.01)
    assert f"on 2 images of {tmp_path / 'list.txt'}" in ours.text()


def test_a_list_of_images_to_score_names_images_with_masks(tiny_folder, tmp_path):
    listed = tmp_path / "list.txt"
    with pytest.raises(ConfigError, match="no such file"):
        listed_samples(listed, tiny_folder, None)
    listed.write_text("val\n")
    with pytest.raises(DataError, match="line 1: there is no labeled image val"):
        listed_samples(listed, tiny_folder, None)
    image = next((tiny_folder / "val" / "images").iterdir())
    listed.write_text(f"{image.name}\n")
    assert [sample.image for sample in listed_samples(listed, tiny_folder, None)] == [image]


@pytest.mark.exports
@onnx_extra
def test_a_model_without_prototypes_is_exported_by_the_command(plain_release, tmp_path, capsys):
    main(["export", str(plain_release), "--out", str(tmp_path)])
    output = capsys.readouterr().out
    assert "model.onnx: largest difference" in output
    model = semiseg.load(tmp_path / "model.onnx")
    assert not model.two_spaces
    assert model.predict(np.zeros((50, 60, 3), np.uint8)).nearest is None


@pytest.mark.exports
@onnx_extra
def test_files_that_are_no_model_are_reported(exported, tmp_path):
    import onnx

    with pytest.raises(RunError, match="There is no model"):
        semiseg.load(tmp_path / "nowhere.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(RunError, match="cannot be read"):
        semiseg.load(tmp_path / "broken.onnx")
    stranger = onnx.load(exported)
    del stranger.metadata_props[:]
    onnx.save(stranger, tmp_path / "stranger.onnx")
    with pytest.raises(RunError, match="semiseg did not write"):
        semiseg.load(tmp_path / "stranger.onnx")
    with pytest.raises(ConfigError, match="abacus"):
        semiseg.load(exported, accelerator="abacus")


@pytest.mark.exports
@onnx_extra
def test_a_decoder_that_onnx_cannot_express_is_one_sentence(tmp_path):
    save(tmp_path, "lcnet_035", "upernet")
    with pytest.raises((RunError, ConfigError), match="--format hub"):
        semiseg.export(tmp_path, out=tmp_path / "model.onnx")
    assert not list(tmp_path.glob("*.onnx"))


def test_a_changed_label_is_an_error_and_a_tie_is_none(css_release, photos):
    original, other = (semiseg.load(css_release, accelerator="cpu") for _ in range(2))
    with Image.open(photos / "a.png") as file:
        picture = file.convert("RGB")
    assert differences(original, other, picture) == (0, 0)
    inner = other.segment.forward

    def shifted(by):
        def forward(images):
            maps = inner(images)
            logits = maps.logits.copy()
            logits[:, 0] += by
            return maps._replace(logits=logits)

        return forward

    other.segment.forward = shifted(5e-4)
    difference, _ = differences(original, other, picture)
    assert difference == pytest.approx(5e-4, rel=0.1)
    other.segment.forward = shifted(1e6)
    with pytest.raises(RunError, match="differs from the original"):
        differences(original, other, picture)


@pytest.mark.parametrize("name", FORMATS)
def test_the_flag_and_its_help_know_each_format(name):
    settings = ExportSettings(Path("run"), out=Path("out"), file_format=name)
    assert settings.file_format == name
    assert f"`{name}` {FORMATS[name].purpose}" in help_texts(ExportSettings)["file_format"]
    with pytest.raises(ConfigError, match=rf"--format .*Allowed: .*\b{name}\b"):
        ExportSettings(Path("run"), out=Path("out"), file_format="abacus")


@pytest.mark.exports
@onnx_extra
@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.reader])
def test_what_a_format_writes_is_loaded_by_it(name, exported, css_release, photos, tmp_path):
    path = exported
    if name != "onnx":
        path = semiseg.export(css_release, out=tmp_path / "out", file_format=name).path
    assert format_of(path) is FORMATS[name]
    original = semiseg.load(css_release, accelerator="cpu")
    again = semiseg.load(path, accelerator="cpu")
    agree(again.predict(photos / "a.png"), original.predict(photos / "a.png"))


@pytest.mark.slow
def test_the_folder_for_the_hub_is_read_without_lightning(css_release, photos, tmp_path):
    files = semiseg.export(css_release, out=tmp_path / "out", file_format="hub")
    assert files.difference == 0
    names = {"model.safetensors", "model.json", "README.md", "config.json"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names
    code = f"""
import semiseg
model = semiseg.load({str(tmp_path / "out")!r}, accelerator="cpu")
found = model.predict({str(photos / "a.png")!r})
assert "lightning" not in sys.modules
print(int(found.mask.sum()))
"""
    expected = semiseg.load(css_release, accelerator="cpu").predict(photos / "a.png").mask
    output = without(["lightning", "lightning_fabric", "pytorch_lightning"], code)
    assert int(output) == int(expected.sum())


@pytest.mark.slow
def test_an_export_is_replaced_only_if_that_is_asked_for(css_release, tmp_path):
    words = {"out": tmp_path / "out", "file_format": "hub"}
    semiseg.export(css_release, license="cc-by-4.0", **words)
    assert "license: cc-by-4.0" in (tmp_path / "out" / "README.md").read_text()
    (tmp_path / "out" / "README.md").write_text("my own words")
    with pytest.raises(RunError, match=r"model\.safetensors exists.*--overwrite"):
        semiseg.export(css_release, **words)
    assert (tmp_path / "out" / "README.md").read_text() == "my own words"
    semiseg.export(css_release, overwrite=True, **words)
    assert "license: unknown" in (tmp_path / "out" / "README.md").read_text()
    (tmp_path / "model.onnx").write_bytes(b"the model of a colleague")
    with pytest.raises(RunError, match=r"model\.onnx exists"):
        semiseg.export(css_release, out=tmp_path)
    assert (tmp_path / "model.onnx").read_bytes() == b"the model of a colleague"


def test_the_run_itself_is_no_place_for_its_export(css_release):
    with pytest.raises(RunError, match="the run folder itself"):
        semiseg.export(css_release, out=css_release, file_format="hub")


def test_an_image_of_the_run_s_val_is_compared_on(css_release, tiny_folder, tmp_path):
    run = shutil.copytree(css_release, tmp_path / "run")
    (run / "split").mkdir()
    (run / "split" / "labeled.txt").write_text("0000\n")
    (run / "split" / "val.txt").write_text("0001\n")
    (run / "config.yaml").write_text(f"data: {tiny_folder}\n")
    files = semiseg.export(run, out=tmp_path / "out", file_format="hub")
    assert files.image.startswith(str(tiny_folder / "val" / "images" / "0001"))


def test_the_hub_s_client_saves_and_reads(css_release, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = semiseg.load(css_release, accelerator="cpu")
    facts = replace(
        model.metadata,
        labels=23,
        steps=600,
        which="teacher",
        miou=MeanIou(50.0, 53.0, 52.61),
        per_class={"soil": ClassScores(50.0, 60.0, 60.0, None, 9)},
        split=SplitRecord(0, "abc", "", "def", {"labeled": 23, "val": 101}),
    )
    model = semiseg.Model(model.release._replace(metadata=facts))
    model.save_pretrained(tmp_path / "hub")
    again = semiseg.Model.from_pretrained(tmp_path / "hub")
    assert isinstance(again, semiseg.Model)
    np.testing.assert_array_equal(
        again.predict(photos / "a.png").mask, model.predict(photos / "a.png").mask
    )
    assert again.metadata == replace(facts, sha256=again.metadata.sha256)
    card = (tmp_path / "hub" / "README.md").read_text()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["library_name"] == "semiseg"
    assert header["license"] == "unknown"
    assert header["pipeline_tag"] == "image-segmentation"
    assert {"semantic-segmentation", "css", "lcnet_035"} <= set(header["tags"])
    (index,) = header["model-index"]
    (result,) = index["results"]
    assert result["dataset"]["name"] == "The 101 validation images of the training"
    assert result["metrics"] == [{"type": "mean_iou", "value": 0.5261, "name": "mIoU"}]
    for line in (
        "css",
        "52.6",
        "23 (`abc`)",
        "101 (`def`)",
        "beetle",
        "semiseg.load",
        "| soil | 50.0",
    ):
        assert line in card
