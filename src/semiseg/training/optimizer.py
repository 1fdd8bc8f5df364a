"""The optimizer: a learning rate for each part of the network, and weight decay on weights only."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from semiseg.config.groups import OptimizerConfig
from semiseg.config.settings import decided
from semiseg.methods.base import Method
from semiseg.model.encoder_training import parameter_stages
from semiseg.model.network import Network
from semiseg.model.vit import PlainViT


def build_optimizer(method: Method, settings: OptimizerConfig) -> Optimizer:
    """The optimizer of the parameters that are trained.

    Several students share it, each with the same rates. Both optimizers change each parameter by
    its own gradient alone, so that this equals an optimizer for each student.

    Args:
        method: the method with its students.
        settings: the optimizer, as planned.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}

    def add(part: nn.Module, rate: float, rates: Mapping[str, float], undecayed: set[str]) -> None:
        for name, parameter in part.named_parameters():
            if parameter.requires_grad:
                decays = parameter.dim() > 1 and name not in undecayed
                kind = (rates.get(name, rate), settings.weight_decay if decays else 0.0)
                groups.setdefault(kind, []).append(parameter)

    lr = decided(settings.lr)
    for network in method.students():
        add(network, lr, _encoder_rates(network, settings), _undecayed(network))
    for extra in method.auxiliary():
        add(extra.module, lr * extra.rate, {}, set())
    params = [
        {"params": list(p), "lr": rate, "weight_decay": decay}
        for (rate, decay), p in groups.items()
    ]
    if settings.optimizer == "sgd":
        return SGD(params, lr=lr, momentum=0.9, nesterov=True)
    return AdamW(params, lr=lr, fused=True)


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
