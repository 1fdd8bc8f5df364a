"""A second network of the same architecture, for methods with several students."""

from __future__ import annotations

import copy

from semiseg.model.network import Network, rebuild


def with_new_decoder(network: Network) -> Network:
    """A copy of a network with the same encoder, and a decoder and heads with new random weights.

    The draws come from torch's global generator.

    Args:
        network: the network, before the first step.

    Returns:
        The copy; it trains and freezes the same parts.
    """
    second, source = copy.deepcopy(network), rebuild(network.spec)
    for name in ("decoder", "logit_head", "representation_head"):
        part = getattr(second, name)
        if part is not None:
            part.load_state_dict(getattr(source, name).state_dict())
    return second
