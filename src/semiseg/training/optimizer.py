"""The optimizer: a learning rate for each part of the network, and weight decay on weights only."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from semiseg.config.settings import decided
from semiseg.config.train import OptimizerConfig
from semiseg.model.encoder_training import parameter_stages
from semiseg.model.network import Network
from semiseg.model.vit import PlainViT


def build_optimizer(network: Network, settings: OptimizerConfig) -> Optimizer:
    """The optimizer of the parameters that are trained.

    Args:
        network: the student.
        settings: the optimizer, as planned.
    """
    encoder_rates, undecayed = _encoder_rates(network, settings), _undecayed(network)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = encoder_rates.get(name, decided(settings.lr))
        decays = parameter.dim() > 1 and name not in undecayed
        decay = settings.weight_decay if decays else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    params = [
        {"params": list(p), "lr": rate, "weight_decay": decay}
        for (rate, decay), p in groups.items()
    ]
    if settings.optimizer == "sgd":
        return SGD(params, lr=decided(settings.lr), momentum=0.9, nesterov=True)
    return AdamW(params, lr=decided(settings.lr), fused=True)


def _encoder_rates(network: Network, settings: OptimizerConfig) -> dict[str, float]:
    """The learning rate of each trained parameter of the encoder: its stage decides."""
    rate, factor = decided(settings.encoder_lr), decided(settings.layer_decay)
    if factor == 1:
        return {f"encoder.{name}": rate for name, _ in network.encoder.named_parameters()}
    stages, count = parameter_stages(network)
    return {f"encoder.{name}": rate * factor ** (count - i) for name, i in stages.items()}


def _undecayed(network: Network) -> set[str]:
    """The positions and the extra tokens of a vision transformer, which are no weights."""
    encoder = network.encoder
    if not isinstance(encoder, PlainViT):
        return set()
    names = {name for name, _ in encoder.model.named_parameters(recurse=False)}
    if hasattr(encoder.model, "no_weight_decay"):  # it adds those of the parts
        names |= set(encoder.model.no_weight_decay())
    return {f"encoder.model.{name}" for name in names}
