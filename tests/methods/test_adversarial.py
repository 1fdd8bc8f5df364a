"""The adversarial direction: its length, its effect, and what it leaves alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from semiseg.losses.adversarial import adversarial_direction


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(8, 6, 1), nn.ReLU(), nn.Conv2d(6, 5, 1))


def features(batch=3):
    return torch.randn(batch, 8, 7, 5, generator=torch.Generator().manual_seed(1))


def noise(decoder, z, length=2.0, xi=1e-2, seed=2, decode=None):
    with torch.no_grad():
        target = decoder(z)
    generator = torch.Generator().manual_seed(seed)
    return adversarial_direction(
        decode or decoder, z, target, generator, xi=xi, length=length
    ), target


def divergence(decoder, z, target):
    with torch.no_grad():
        q = decoder(z).log_softmax(1)
    return F.kl_div(q, target.softmax(1), reduction="none").sum((1, 2, 3))


@pytest.mark.parametrize("length", [0.5, 2.0])
def test_each_image_gets_noise_of_the_length(decoder, length):
    r, _ = noise(decoder, features(), length)
    torch.testing.assert_close(r.flatten(1).norm(dim=1), torch.full((3,), length))


def test_the_noise_is_short_of_nothing_where_the_gradient_is_tiny(decoder):
    """With a constant of 1e-8 in the divisor it would be 1e-4 and shorter."""
    r, _ = noise(decoder, features(), xi=1e-4)
    torch.testing.assert_close(r.flatten(1).norm(dim=1), torch.full((3,), 2.0))


def test_it_changes_the_prediction_more_than_random_noise_does(decoder):
    z = features()
    r, target = noise(decoder, z)
    other = torch.randn(z.shape, generator=torch.Generator().manual_seed(3))
    other = 2 * other / other.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert (divergence(decoder, z + r, target) > 4 * divergence(decoder, z + other, target)).all()


def test_it_is_the_gradient_at_the_probing_step(decoder):
    """Written out in double precision, image by image."""
    z = features().double()
    decoder = decoder.double()
    drawn = torch.rand(z.shape, generator=torch.Generator().manual_seed(2)) - 0.5
    seen = []
    r, _ = noise(decoder.float(), z.float(), decode=lambda x: seen.append(x) or decoder.float()(x))
    decoder = decoder.double()
    for i, image in enumerate(z):
        d = drawn[i].double()
        d = (d / d.norm()).requires_grad_()
        p = decoder(image[None]).softmax(1).detach()
        q = decoder((image + 1e-2 * d)[None]).softmax(1)
        torch.testing.assert_close(seen[0][i].double(), image + 1e-2 * d, rtol=1e-5, atol=1e-5)
        (g,) = torch.autograd.grad((p * (p.log() - q.log())).sum(), d)
        assert F.cosine_similarity(r[i].double().flatten(), g.flatten(), dim=0) > 0.999


def test_no_gradient_is_left_anywhere(decoder):
    z = features().requires_grad_()
    target = decoder(z)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        r = adversarial_direction(decoder, z, target, generator, xi=1e-2, length=2.0)
    assert not r.requires_grad
    assert r.any()
    assert z.grad is None
    assert all(p.grad is None for p in decoder.parameters())
    for p in decoder.parameters():
        p.grad = torch.ones_like(p)
    noise(decoder, z)
    assert all((p.grad == 1).all() for p in decoder.parameters())


def test_a_constant_prediction_gives_no_noise(decoder):
    nn.init.zeros_(decoder[2].weight)
    r, _ = noise(decoder, features())
    assert not r.any()


def test_no_images_and_half_precision(decoder):
    r, _ = noise(decoder, features()[:0])
    assert r.shape == (0, 8, 7, 5)
    whole, _ = noise(decoder, features())
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = noise(decoder, features())
    assert half.dtype == torch.float32
    assert F.cosine_similarity(half.flatten(), whole.flatten(), dim=0) > 0.999
