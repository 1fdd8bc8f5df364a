"""Networks for images with other channels than RGB: filters, normalization, weights, releases."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm.models import adapt_input_conv
from tiny_methods import CLASSES, at, one_of_each, small
from tiny_vit import TINY_EVA, TINY_VIT

from semiseg.config.encoder_training import parse_encoder_training
from semiseg.config.methods import default_settings
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.reading import Reading
from semiseg.core.types import Inputs, Labeled, Unlabeled
from semiseg.data.formats.masks import Classes
from semiseg.methods import build_method
from semiseg.model.encoder_training import parameter_stages, train_part
from semiseg.model.input_channels import adapt_filters
from semiseg.model.metadata import ModelMetadata, NetworkSpec
from semiseg.model.network import Network, rebuild
from semiseg.model.release import Release, load_release, save_release, transfer
from semiseg.model.second_network import with_new_decoder
from semiseg.model.weights import encoder_sha256

PYRAMID = "lcnet_035"
ENCODERS = pytest.mark.parametrize("encoder", [PYRAMID, "resnet18", TINY_VIT, TINY_EVA])


def first_filters(network: Network) -> torch.Tensor:
    """The filters that see the image."""
    spec = network.spec
    state = network.encoder.state_dict()
    (key,) = [k for k, v in state.items() if v.ndim == 4 and v.shape[1] == spec.channels]
    return state[key]


@pytest.fixture
def rgb_file(tmp_path: Path) -> tuple[Network, str]:
    """A network for RGB, and a file with the weights of its encoder."""
    torch.manual_seed(1)
    network = Network(3, PYRAMID, "fpn", "none")
    file = tmp_path / "rgb.safetensors"
    save_file({k: v.contiguous() for k, v in network.encoder.state_dict().items()}, file)
    return network, str(file)


def save_run(folder: Path, channels: int) -> str:
    """A run folder with random weights for images with these channels."""
    torch.manual_seed(2)
    network = Network(3, PYRAMID, "fpn", "none", channels=channels)
    classes = Classes(("a", "b", "c"), ((0, 0, 0), (9, 9, 9), (99, 99, 99)), "ids", (0, 1, 2))
    bands = None if channels == 3 else tuple(range(1, channels + 1))
    metadata = ModelMetadata(
        network=network.spec, classes=classes, size=48, reading=Reading(bands=bands)
    )
    folder.mkdir()
    save_release(folder, Release(network.eval(), {}, metadata))
    return str(folder)


@pytest.mark.parametrize("channels", [2, 4, 5, 6, 13])
def test_without_colors_the_filters_are_those_of_timm(channels: int) -> None:
    filters = torch.randn(8, 3, 3, 3)
    assert torch.equal(adapt_filters(filters, channels, None), adapt_input_conv(channels, filters))


@pytest.mark.parametrize("groups", [1, 16])
def test_colors_keep_their_filters_and_others_get_the_mean(groups: int) -> None:
    filters = torch.randn(8, groups, 3, 3, 3)
    adapted = adapt_filters(filters.flatten(1, 2), 5, (3, 0, 4)).reshape(8, groups, 5, 3, 3)
    scaled = adapted * (5 / 3)
    torch.testing.assert_close(scaled[:, :, [3, 0, 4]], filters)
    torch.testing.assert_close(scaled[:, :, 1], filters.mean(2))
    torch.testing.assert_close(scaled[:, :, 2], filters.mean(2))
    torch.testing.assert_close(adapted.sum(2), filters.sum(2))  # a gray image excites as much


@ENCODERS
def test_a_gray_image_in_all_bands_gives_the_features_of_rgb(encoder: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    rgb = Network(3, encoder, weights="none").eval()
    file = tmp_path / "rgb.pt"
    torch.save(rgb.encoder.state_dict(), file)
    bands = Network(3, encoder, weights=str(file), channels=6, colors=(2, 1, 0)).eval()
    gray = torch.randn(1, 1, 2 * rgb.stride, 2 * rgb.stride)
    with torch.no_grad():
        ours = bands.encoder(gray.repeat(1, 6, 1, 1))[1:]
        theirs = rgb.encoder(gray.repeat(1, 3, 1, 1))[1:]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_the_colors_keep_the_normalization_of_the_pretraining() -> None:
    norm = Network(3, "resnet18", "fpn", "none", channels=5, colors=(2, 1, 0)).normalization()
    assert norm.mean == pytest.approx((0.406, 0.456, 0.485, 0.449, 0.449))
    assert norm.std == pytest.approx((0.225, 0.224, 0.229, 0.226, 0.226))
    norm = Network(3, "resnet18", "fpn", "none", channels=2).normalization()
    assert norm.mean == pytest.approx((0.449, 0.449))


def test_a_file_for_rgb_is_adapted_and_its_hash_is_that_of_the_adapted_encoder(
    rgb_file: tuple[Network, str],
) -> None:
    rgb, file = rgb_file
    network = Network(3, PYRAMID, "fpn", file, channels=4, colors=(0, 1, 2))
    torch.testing.assert_close(first_filters(network)[:, :3] * (4 / 3), first_filters(rgb))
    record = network.weights_record
    assert record.source == "the file rgb.safetensors, with filters for 4 channels"
    assert record.sha256 == encoder_sha256(network.encoder)
    plain = Network(3, PYRAMID, "fpn", file)
    assert plain.weights_record.sha256 == encoder_sha256(rgb.encoder)


def test_a_file_for_as_many_channels_is_loaded_as_it_is(tmp_path: Path) -> None:
    """As those of Sentinel-2, which have 13 bands."""
    torch.manual_seed(4)
    pretrained = Network(3, PYRAMID, "fpn", "none", channels=13)
    state = {k: v.contiguous() for k, v in pretrained.encoder.state_dict().items()}
    save_file(state, tmp_path / "bands.safetensors")
    network = Network(3, PYRAMID, "fpn", str(tmp_path / "bands.safetensors"), channels=13)
    assert torch.equal(first_filters(network), first_filters(pretrained))
    assert network.weights_record.source == "the file bands.safetensors"
    with pytest.raises(ConfigError, match=r"\(8, 13, 3, 3\) in the file and \(8, 3, 3, 3\)"):
        Network(3, PYRAMID, "fpn", str(tmp_path / "bands.safetensors"), channels=5)


def test_the_encoder_of_a_run_with_the_same_bands_starts_another(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", 5)
    network = Network(3, PYRAMID, "fpn", run, channels=5, colors=(0, 1, 2))
    assert torch.equal(first_filters(network), first_filters(load_release(Path(run)).network))
    assert len(network.normalization().mean) == 5
    rgb = Network(3, PYRAMID, "fpn", save_run(tmp_path / "rgb", 3), channels=5)
    assert rgb.weights_record.source == "the run rgb, with filters for 5 channels"
    with pytest.raises(ConfigError, match="does not fit"):
        Network(3, PYRAMID, "fpn", run)


def test_a_missing_file_is_missing_for_any_number_of_channels(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no weights file"):
        Network(3, PYRAMID, "fpn", str(tmp_path / "nowhere.pth"), channels=5)


@ENCODERS
@pytest.mark.parametrize("channels", [2, 4])
def test_a_network_is_built_again_from_its_specification(encoder: str, channels: int) -> None:
    network = Network(3, encoder, weights="none", channels=channels).eval()
    again = rebuild(NetworkSpec.from_dict(network.spec.to_dict())).eval()
    again.load_state_dict(network.state_dict())
    image = torch.rand(1, channels, 50, 70)
    with torch.no_grad():
        assert torch.equal(network(image).logits, again(image).logits)
    assert with_new_decoder(network)(image).logits.shape == network(image).logits.shape


def test_specifications_of_rgb_are_those_of_before(tmp_path: Path) -> None:
    content = Network(3, PYRAMID, "fpn", "none").spec.to_dict()
    assert "channels" not in content
    assert NetworkSpec.from_dict(content).channels == 3
    bands = Network(3, PYRAMID, "fpn", "none", channels=5).spec.to_dict()
    for wrong in (bands | {"mean": [0.5] * 3}, content | {"std": [1.0] * 5}):
        with pytest.raises(ValueError, match=r"not that of (5|3) channels"):
            NetworkSpec.from_dict(wrong)
    for number in (0, 1, 1 << 20):
        with pytest.raises(ValueError, match="channels"):
            NetworkSpec.from_dict(bands | {"channels": number})


def test_a_model_for_other_channels_than_it_reads_is_refused(tmp_path: Path) -> None:
    file = Path(save_run(tmp_path / "run", 5)) / "model.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"bands": [1, 2, 3, 4]}))
    with pytest.raises(RunError, match="5 channels, and images of 4"):
        load_release(file.parent)


def test_a_run_with_other_channels_cannot_be_continued(tmp_path: Path) -> None:
    release = load_release(Path(save_run(tmp_path / "run", 3)))
    student = Network(3, PYRAMID, "fpn", "none", channels=5)
    with pytest.raises(ConfigError, match=r"have 3 channels, those of this training have 5\. "):
        transfer(release, student, ("a", "b", "c"))


@ENCODERS
def test_a_part_of_the_encoder_is_trained(encoder: str) -> None:
    network = Network(3, encoder, weights="none", channels=4)
    assert parameter_stages(network)[1] > 1
    train_part(network, parse_encoder_training("last-1"))
    features = network.frozen_features(torch.rand(1, 4, 56, 56))
    assert bool(features) == encoder.startswith("semiseg_tiny")


@pytest.mark.parametrize("name", one_of_each())
def test_each_method_learns_from_five_channels(name: str) -> None:
    torch.manual_seed(0)
    settings = dataclasses.replace(default_settings(name), **small(name))
    method = build_method(name, Network(CLASSES, PYRAMID, weights="none", channels=5), settings)
    method.train()
    image, mask = torch.rand(2, 5, 64, 64), torch.randint(CLASSES, (2, 64, 64))
    unlabeled = Unlabeled(
        image,
        image.flip(0),
        torch.ones(2, 64, 64, dtype=torch.bool),
        label=mask,
        confidence=torch.ones(2, 64, 64),
        more_strong=(Inputs(image.flip(0)),),
    )
    losses = method.compute(Labeled(image, mask), unlabeled, at())
    losses.total.backward()
    method.commit(losses)
    method.after_step(50, 100)
    assert bool(losses.total.isfinite())
