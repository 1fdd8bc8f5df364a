"""The adversarial direction of features: virtual adversarial training (VAT) in feature space."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def adversarial_direction(
    decode: Callable[[Tensor], Tensor],
    features: Tensor,
    target_logits: Tensor,
    generator: torch.Generator,
    *,
    length: float,
    xi: float = 1e-2,
) -> Tensor:
    """The noise of a given length that changes a prediction the most, by one power iteration.

    It is `length * g / |g|` for each image. `g` is the gradient of `KL(target || decode(features +
    xi d))` with respect to `d`, a random direction of length 1 (Miyato et al., arXiv 1704.03976).
    `|g|` is about `xi^2`. A constant that is added to `|g|` would therefore make the noise far
    shorter than `length`; here a tiny number only replaces a norm of 0.

    No gradient reaches a parameter or `features`, and the result has no graph. All of it is
    computed in single precision, since half precision rounds the small differences away.

    Args:
        decode: from features of the shape of `features` to logits of the shape of
            `target_logits`. It should change no statistics.
        features: `(B, D, h, w)` float.
        target_logits: `(B, C, h, w)` float, `decode(features)`. With mixed precision they are
            computed again, since rounding changes them more than the probing step does.
        generator: a CPU generator, which draws `d`.
        length: the length of the noise of each image, over all its values.
        xi: the length of the probing step. At 1e-6, as in the programs of CCT and PS-MT, the
            difference of the predictions vanishes in rounding.

    Returns:
        `(B, D, h, w)` in single precision; 0 for an image whose gradient is exactly 0.
    """
    features, device = features.detach().float(), features.device.type
    if torch.is_autocast_enabled(device):
        with torch.no_grad(), torch.autocast(device, enabled=False):
            target_logits = decode(features)
    target = target_logits.detach().float().softmax(dim=1)
    noise = torch.rand(features.shape, generator=generator).to(features.device) - 0.5
    direction = _of_length_one(noise).requires_grad_()
    with torch.enable_grad(), torch.autocast(device, enabled=False):
        predicted = decode(features + xi * direction).float().log_softmax(dim=1)
        divergence = F.kl_div(predicted, target, reduction="sum")
        # Unlike `backward`, this leaves the gradients of all parameters as they are.
        (gradient,) = torch.autograd.grad(divergence, direction)
    return length * _of_length_one(gradient)


def _of_length_one(values: Tensor) -> Tensor:
    """Divide the values `(B, D, h, w)` of each image by their norm, unless that is 0."""
    tiny = torch.finfo(values.dtype).tiny
    # By the maximum first: the squares of small gradients are below the smallest number.
    values = values / values.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=tiny)
    return values / values.square().sum(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=tiny)
