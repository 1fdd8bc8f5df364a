"""Plain vision transformers: the encoder, its split at the frozen blocks, and its decoder."""

from __future__ import annotations

import pytest
import torch
from tiny_vit import TINY_EVA, TINY_VIT

from semiseg.core.errors import ConfigError
from semiseg.model.detail_decoder import DetailDecoder
from semiseg.model.encoders import plain_vit_patch
from semiseg.model.network import Network
from semiseg.model.vit import PlainViT, patch_of


@pytest.fixture(params=[TINY_VIT, TINY_EVA])
def vit(request):
    torch.manual_seed(0)
    return PlainViT(request.param).eval()


def image(vit, rows=3, columns=5):
    return torch.rand(2, 3, rows * vit.patch, columns * vit.patch)


@torch.no_grad()
def test_the_maps_are_those_of_timm(vit):
    batch = image(vit)
    first, *maps = vit(batch)
    assert first is batch
    theirs = vit.model.forward_intermediates(
        batch, indices=list(vit.levels), intermediates_only=True
    )
    assert len(maps) == len(theirs) == 4
    for ours, other in zip(maps, theirs, strict=True):
        assert ours.shape == (2, 32, 3, 5)
        assert torch.equal(ours, other)


@torch.no_grad()
@pytest.mark.parametrize("frozen", range(5))
def test_the_blocks_after_the_frozen_ones_go_on_from_their_features(vit, frozen):
    batch = image(vit)
    whole = vit(batch)
    vit.frozen_blocks = frozen
    features = vit.frozen_features(batch)
    assert bool(features) == (frozen > 0)
    # All levels; or some levels, the tokens of the patches, and the prefix tokens.
    assert len(features) == [0, 2, 3, 4, 4][frozen]
    for ours, other in zip(vit(batch, features), whole, strict=True):
        assert torch.equal(ours, other)


def test_recomputed_activations_give_the_same_gradient(vit):
    batch = image(vit)
    gradients = []
    for vit.checkpointing in (False, True):
        vit.train().zero_grad()
        vit(batch)[-1].square().mean().backward()
        gradients.append([p.grad.clone() for p in vit.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_parameter_belongs_to_a_block(vit):
    numbers = {name: vit.block_number(name) for name, _ in vit.model.named_parameters()}
    assert {n for name, n in numbers.items() if not name.startswith("blocks.")} == {0}
    assert {n for name, n in numbers.items() if name.startswith("blocks.2.")} == {3}


@pytest.mark.parametrize("name", [TINY_VIT, TINY_EVA])
@torch.no_grad()
def test_a_network_segments_images_of_any_size(name):
    network = Network(3, name, weights="none").eval()
    assert network.spec.decoder == "detail"
    assert network.stride == {TINY_VIT: 28, TINY_EVA: 16}[name]
    for height, width in ((50, 70), (5, 9), (224, 128)):
        logits = network(torch.rand(1, 3, height, width)).logits
        assert logits.shape == (1, 3, -(-height // 4), -(-width // 4))


@torch.no_grad()
def test_the_detail_branch_sees_what_the_patches_do_not():
    torch.manual_seed(0)
    coarse = [torch.rand(1, 8, 2, 2)]
    plain, striped = torch.zeros(1, 3, 28, 28), torch.zeros(1, 3, 28, 28)
    striped[..., ::7] = 1
    for detail in (True, False):
        decoder = DetailDecoder([8], detail).eval()
        same = torch.equal(decoder([plain, *coarse]), decoder([striped, *coarse]))
        assert same is not detail


def test_the_patch_of_a_name():
    assert patch_of("vit_small_patch14_dinov2") == 14
    assert plain_vit_patch("vit_small_patch16_dinov3.lvd1689m") == 16
    assert plain_vit_patch("swin_tiny_patch4_window7_224") is None
    assert plain_vit_patch("resnet18") is None
    with pytest.raises(ConfigError, match="vit_small_patch14_dinov2"):
        plain_vit_patch("vit_small_patch14_dinov")


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        (TINY_VIT, "fpn", "Use --decoder detail"),
        ("lcnet_035", "detail", "is for vision transformers"),
        ("beit_base_patch16_224", "auto", "images of one size only"),
    ],
)
def test_parts_that_do_not_fit_are_refused(encoder, decoder, message):
    with pytest.raises(ConfigError, match=message):
        Network(3, encoder, decoder, weights="none")
