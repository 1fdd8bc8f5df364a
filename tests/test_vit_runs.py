"""Vision transformers in all that a run does: learned positions, rotary positions, real weights."""

import csv
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_vit import TINY_EVA, TINY_VIT

import semiseg
from semiseg.cli import main
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.rng import Key
from semiseg.model.network import Network
from semiseg.scenes.draw import write_scenes
from semiseg.suggestion.features import inspect_images
from semiseg.training.checkpoint import newest_intact
from semiseg.training.failures import explained

ENCODERS = [TINY_VIT, TINY_EVA]
TINY = {
    # 33 is no multiple of a patch. So little trained a network is sure of nothing.
    **{"weights": "none", "size": 48, "crop": 33, "batch": 2, "steps": 4, "validations": 2},
    **{"workers": 0, "threads": 1, "accelerator": "cpu"},
}


@pytest.fixture(scope="module", params=ENCODERS)
def run(request, tiny_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("vit") / "run"
    settings = {**TINY, "method": "css", "encoder": request.param, "confidence_threshold": 0.0}
    return semiseg.train(tiny_folder, out=out, accumulate=2, drop_path=0.5, **settings).folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of the usual size, smaller than a patch, and larger than a window."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, (width, height) in {"a": (64, 48), "b": (3, 2), "c": (1, 1), "d": (230, 130)}.items():
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "encoder"),
    [
        ("supervised", TINY_VIT),
        ("mean_teacher", TINY_EVA),
        pytest.param("cutmix", TINY_VIT, marks=pytest.mark.variants),
        pytest.param("contrastive", TINY_EVA, marks=pytest.mark.variants),
    ],
)
def test_the_other_methods_train(method, encoder, tiny_folder, tmp_path):
    settings = {**TINY, "method": method, "encoder": encoder}
    result = semiseg.train(tiny_folder, out=tmp_path / "run", **settings)
    assert result.scores.miou.released is not None


@pytest.mark.parametrize("encoder", ENCODERS)
def test_each_parameter_gets_a_gradient(encoder):
    """Processes that train together wait for the gradients of all parameters."""
    network = Network(3, encoder, weights="none")
    network(torch.rand(2, 3, 40, 50)).logits.square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.slow
def test_a_run_that_lost_its_last_steps_ends_in_the_same_bits(run, tiny_folder, tmp_path):
    out = shutil.copytree(run, tmp_path / "run")
    expected = (out / "model.safetensors").read_bytes()
    for name in ("scores.json", "model.safetensors", "model.json"):
        (out / name).unlink()
    last, step = newest_intact(out / "checkpoints")
    assert step == TINY["steps"]
    last.unlink()
    assert newest_intact(out / "checkpoints")[1] < TINY["steps"]
    main(["train", str(tiny_folder), "--out", str(out), "--resume"])
    assert (out / "model.safetensors").read_bytes() == expected


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["fit", "keep"])
def test_images_of_any_size_are_segmented(run, photos, tmp_path, scale):
    out = tmp_path / "masks"
    semiseg.predict(
        run,
        photos,
        out=out,
        scale=scale,
        tta=scale == "fit",
        probabilities=True,
        reliability=True,
        accelerator="cpu",
    )
    for photo in photos.iterdir():
        for folder in (out, out / "reliability"):
            with Image.open(photo) as image, Image.open(folder / photo.name) as result:
                assert result.size == image.size
        probabilities = np.load(out / "probabilities" / f"{photo.stem}.npz")["probabilities"]
        np.testing.assert_allclose(probabilities.astype(float).sum(axis=0), 1, atol=2e-3)


@pytest.mark.slow
def test_the_run_is_evaluated_and_reported(run, tiny_folder):
    scores = semiseg.evaluate(run, tiny_folder, accelerator="cpu")
    assert 0 <= scores.miou <= 100
    assert semiseg.report(run).path.is_file()


@pytest.mark.slow
def test_suggest_sees_what_the_encoder_sees(run, photos):
    model = semiseg.load(run, accelerator="cpu")
    candidates, errors = inspect_images(model, {p.stem: p for p in sorted(photos.iterdir())})
    assert not errors
    assert all(c.features.shape == (model.network.encoder.width,) for c in candidates)
    assert not np.allclose(candidates[0].features, candidates[3].features)


LOADED_AGAIN = """
import sys
import tiny_vit  # timm builds the encoder by its name
import semiseg
loaded = semiseg.load(sys.argv[1], accelerator="cpu"), semiseg.Model.from_pretrained(sys.argv[1])
print(*(int(model.predict(sys.argv[2]).mask.sum()) for model in loaded))
"""


@pytest.mark.variants
@pytest.mark.slow
@pytest.mark.parametrize("run", [TINY_EVA], indirect=True)
def test_another_process_loads_the_exported_folder(run, photos, tmp_path):
    folder = semiseg.export(run, out=tmp_path / "out", file_format="hub").path
    expected = semiseg.load(run, accelerator="cpu").predict(photos / "d.png").mask
    process = subprocess.run(
        [sys.executable, "-c", LOADED_AGAIN, folder, photos / "d.png"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == 2 * [str(expected.sum())]


@pytest.mark.slow
def test_images_smaller_than_a_patch_train(tmp_path):
    data = tmp_path / "data"
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            rng = Key.of(i, split).numpy()
            for kind, high, shape in (("images", 256, (9, 11, 3)), ("masks", 2, (9, 11))):
                file = data / split / kind / f"{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, high, shape, dtype=np.uint8)).save(file)
    settings = {**TINY, "size": "auto", "crop": "auto", "encoder": TINY_VIT}
    assert semiseg.train(data, out=tmp_path / "run", **settings).scores.miou.released is not None


@pytest.mark.slow
def test_a_dry_run_estimates_the_cost(tiny_folder, tmp_path, capsys):
    words = [f"--{name}={value}" for name, value in TINY.items()]
    main(["train", str(tiny_folder), "--encoder", TINY_EVA, *words, "--dry-run"])
    output = capsys.readouterr().out
    assert "parameters" in output
    assert "cache of features" not in output


@pytest.mark.slow
def test_a_dry_run_counts_cached_features(tiny_folder):
    settings = {**TINY, "encoder": TINY_EVA, "encoder_training": "head"}
    cost = semiseg.dry_run(tiny_folder, **settings)
    assert 0 < cost.filling_hours < cost.hours
    assert "to fill the cache of features" in cost.text()
    with pytest.raises(ConfigError, match="--feature-disk"):
        semiseg.dry_run(tiny_folder, **settings, feature_views=400, feature_disk=1e-6)


def test_an_unknown_vision_transformer_is_one_sentence(tiny_folder, tmp_path, capsys):
    words = ["--encoder", "vit_small_patch14_dino", "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit):
        main(["train", str(tiny_folder), *words])
    error = capsys.readouterr().err
    assert "no encoder 'vit_small_patch14_dino'. Did you mean 'vit_small_patch14_dinov2'" in error
    assert "Traceback" not in error


@pytest.mark.slow
@pytest.mark.skipif("SEMISEG_DINOV2" not in os.environ, reason="SEMISEG_DINOV2 names no file")
@pytest.mark.parametrize("method", ["css", "unimatch-v2"])
def test_a_method_learns_with_the_real_weights_of_dinov2(method, tmp_path, monkeypatch):
    for module in ("fitting", "callbacks"):
        monkeypatch.setattr(f"semiseg.training.{module}.LOG_EVERY", 1)
    data = write_scenes(tmp_path / "data", labeled=6, unlabeled=6, val=2, size=(112, 112))
    run = semiseg.train(
        data,
        method=method,
        encoder="vit_small_patch14_dinov2",
        out=tmp_path / "run",
        confidence_threshold=0.6,
        **{**TINY, "weights": os.environ["SEMISEG_DINOV2"], "size": 112, "crop": 112, "steps": 20},
    )
    with (run.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["train/supervised"]) for row in rows if row["train/supervised"]]
    assert len(losses) == 20
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert any(0 < float(row["train/used"]) < 1 for row in rows if row["train/used"])


def test_what_apple_s_gpu_cannot_compute_is_one_sentence(tmp_path):
    missing = (
        "The operator 'aten::_upsample_bicubic2d_aa_backward.grad_input' is not currently "
        "implemented for the MPS device. If you want this op to be considered, comment on it."
    )
    with (
        pytest.raises(RunError, match="PYTORCH_ENABLE_MPS_FALLBACK=1"),
        explained(tmp_path, tmp_path),
    ):
        raise NotImplementedError(missing)
