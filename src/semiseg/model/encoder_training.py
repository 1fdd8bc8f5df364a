"""Which part of an encoder is trained: its last blocks, its norms, or low-rank updates.

What is not trained needs no gradient and stays in eval mode, so that its batch norms keep their
statistics. `merge` gives a network that was trained with low-rank updates its usual weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from semiseg.config.encoder_training import EncoderTraining
from semiseg.core.errors import ConfigError
from semiseg.model.network import Network, rebuild
from semiseg.model.vit import PlainViT


def train_part(network: Network, training: EncoderTraining, rank: int = 8) -> None:
    """Train only a part of the encoder of a network.

    Args:
        network: a network whose encoder is trained as a whole.
        training: the part.
        rank: the rank of the updates of `lora`.

    Raises:
        ConfigError: the encoder has no such part.
    """
    encoder, name = network.encoder, network.spec.encoder
    if training.part == "full":
        return
    if training.last is not None:
        stages, count = parameter_stages(network)
        _check_last(network, training, count)
        frozen_stages = count - training.last
        trained = {key for key, stage in stages.items() if stage > frozen_stages}
    else:
        trained = _norm_parameters(encoder) if training.part == "norms" else set()
        frozen_stages = 0
        if training.part == "norms" and not trained:
            raise ConfigError(
                f"--encoder-training norms needs normalization layers with weights, and the "
                f"encoder {name} has none. Choose another part of it, such as full or last-1."
            )
    for key, parameter in encoder.named_parameters():
        parameter.requires_grad_(key in trained)
    if training.part == "lora":
        _add_updates(encoder, name, rank)
    if isinstance(encoder, PlainViT):
        encoder.frozen_blocks = encoder.depth if training.part == "head" else frozen_stages
    network.resting = tuple(_frozen_modules(encoder, "encoder"))
    network.train(network.training)


def check_part(encoder: str, decoder: str, training: EncoderTraining, rank: int) -> None:
    """Refuse a part that an encoder does not have, without memory for its weights.

    Args:
        encoder: its name.
        decoder: the decoder, or `auto`.
        training: the part that is to be trained.
        rank: the rank of the updates with `lora`.

    Raises:
        ConfigError: the encoder has no such part.
    """
    try:
        with torch.device("meta"):
            network = Network(2, encoder, decoder, "none")
    except ConfigError:
        return  # few encoders need memory to be built; their part is checked with their weights
    with torch.device("meta"):
        train_part(network, training, rank)


def parameter_stages(network: Network) -> tuple[dict[str, int], int]:
    """The place of each parameter in the encoder, from the image on.

    The stages of a vision transformer are its blocks. Those of another encoder end where it gives a
    map to the decoder, so that the stem belongs to the first one.

    Returns:
        The stage of each parameter that has a gradient, by its name in the encoder. The first stage
        is 1; what is before the first block of a vision transformer has 0. And the number of
        stages.
    """
    encoder = network.encoder
    parameters = {key: p for key, p in encoder.named_parameters() if p.requires_grad}
    if isinstance(encoder, PlainViT):
        numbers = {key: encoder.block_number(key.removeprefix("model.")) for key in parameters}
        return numbers, encoder.depth
    was_training = network.training
    network.eval()
    stages: dict[str, int] = {}
    count = 0
    with torch.enable_grad():
        side, device = 2 * network.stride, network.mean.device
        image = torch.zeros(1, network.spec.channels, side, side, device=device)
        maps = [m for m in encoder(image) if m.requires_grad]
        for values in maps:
            gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
                values.sum(), list(parameters.values()), retain_graph=True, allow_unused=True
            )
            reached = [k for k, g in zip(parameters, gradients, strict=True) if g is not None]
            new = [key for key in reached if key not in stages]
            count += bool(new)
            stages |= dict.fromkeys(new, count)
    network.train(was_training)
    # What no map depends on, such as a last convolution for classification, is at the end.
    return {key: stages.get(key, count) for key in parameters}, count


def _check_last(network: Network, training: EncoderTraining, count: int) -> None:
    """Refuse more last blocks than there are, or all of them.

    Raises:
        ConfigError: the number is out of range.
    """
    if training.last is not None and training.last < count:
        return
    parts = "blocks" if isinstance(network.encoder, PlainViT) else "stages"
    raise ConfigError(
        f"--encoder-training {training} is not possible: the encoder {network.spec.encoder} has "
        f"{count} {parts}. Choose last-1 to last-{count - 1}, or full."
    )


def _norm_parameters(encoder: nn.Module) -> set[str]:
    """The names of the parameters of normalization layers."""
    # timm's norms share no class, but each has the word in its name.
    return {
        f"{path}.{name}"
        for path, module in encoder.named_modules()
        if "Norm" in type(module).__name__
        for name, _ in module.named_parameters(recurse=False)
    }


def _frozen_modules(module: nn.Module, path: str) -> Iterator[str]:
    """The paths of the largest modules that have parameters and train none of them."""
    gradients = [parameter.requires_grad for parameter in module.parameters()]
    if gradients and not any(gradients):
        yield path
        return
    for name, child in module.named_children():
        yield from _frozen_modules(child, f"{path}.{name}")


class LowRankUpdate(nn.Module):
    """A weight plus an update of low rank, which starts at 0.

    Args:
        weight: `(O, I)`, or `(O, I, 1, 1)` of a convolution.
        rank: the rank of the update, at most `min(O, I)`.

    Attributes:
        down: `(rank, I)`.
        up: `(O, rank)`.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape[:2]
        rank = min(rank, outputs, inputs)
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as in a linear layer

    def forward(self, weight: Tensor) -> Tensor:
        """The updated weight."""
        return weight + (self.up @ self.down).view_as(weight)


def _add_updates(encoder: nn.Module, name: str, rank: int) -> None:
    """Give the layers for `lora` an update each.

    Raises:
        ConfigError: there is no such layer.
    """
    layers = list(_attention_layers(encoder) if isinstance(encoder, PlainViT) else _mixers(encoder))
    if not layers:
        raise ConfigError(
            f"--encoder-training lora finds no layer to update in the encoder {name}. Choose "
            "another part of it, such as full or last-1."
        )
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRankUpdate(layer.weight, rank))


def _attention_layers(encoder: nn.Module) -> Iterator[nn.Linear]:
    """The linear layers of attention; in some blocks these are layers of the block itself."""
    earlier: set[nn.Module] = set()
    for module in encoder.modules():
        if any(word in type(module).__name__ for word in ("Attention", "ParallelScaling")):
            for layer in module.modules():
                if isinstance(layer, nn.Linear) and layer not in earlier:
                    earlier.add(layer)
                    yield layer


def _mixers(encoder: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    """The layers that mix channels only: linear ones, and convolutions of 1x1 without groups."""
    for module in encoder.modules():
        if isinstance(module, nn.Linear) or (
            isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
        ):
            yield module


def merge(network: Network) -> Network:
    """A network with its low-rank updates added to its weights.

    Returns:
        A new network on the CPU; the network itself if it has no updates.
    """
    updated = {
        path: module
        for path, module in network.named_modules()
        if parametrize.is_parametrized(module)
    }
    if not updated:
        return network
    # `remove_parametrizations` on a copy would change the class of the original too.
    state = {k: v for k, v in network.state_dict().items() if ".parametrizations." not in k}
    state |= {f"{path}.weight": module.weight for path, module in updated.items()}
    merged = rebuild(network.spec)
    merged.load_state_dict(state)
    return merged.train(network.training)


def plain_key(key: str) -> str:
    """The name of a tensor as in a network without low-rank updates.

    Example:
        >>> plain_key("encoder.qkv.parametrizations.weight.original")
        'encoder.qkv.weight'
    """
    return key.replace(".parametrizations.weight.original", ".weight")


def save_memory(network: Network) -> None:
    """Keep only the input of each block of the encoder for the backward pass.

    Args:
        network: a network whose trained part is chosen.

    Raises:
        ConfigError: the encoder cannot.
    """
    encoder, name = network.encoder, network.spec.encoder
    if isinstance(encoder, PlainViT) and encoder.splittable:
        encoder.checkpointing = True
        return
    if any(isinstance(module, _BatchNorm) and module.training for module in encoder.modules()):
        raise ConfigError(
            f"--gradient-checkpointing would change the batch-norm statistics of the encoder "
            f"{name}, since they would count each batch twice. Leave it out; a smaller --crop or "
            "--batch with --accumulate needs less memory too."
        )
    switch = getattr(getattr(encoder, "model", None), "set_grad_checkpointing", None)
    try:
        if switch is None:
            raise AssertionError
        switch(True)
    except AssertionError as error:  # timm's for models that have the method but cannot
        raise ConfigError(
            f"The encoder {name} has no gradient checkpointing. Leave --gradient-checkpointing "
            "out; a smaller --crop or --batch with --accumulate needs less memory too."
        ) from error
