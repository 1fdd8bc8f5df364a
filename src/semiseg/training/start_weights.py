"""The weights that a run starts from: compared with its settings, and noted in its plan."""

from __future__ import annotations

from dataclasses import replace

from semiseg.config.facts import Source
from semiseg.config.plan import Entry, Plan
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError
from semiseg.model.metadata import WeightsRecord

_DIGITS = 12  # of a hash, in sentences


def confirm_weights(config: TrainConfig, weights: WeightsRecord) -> TrainConfig:
    """The settings with the hash of the weights.

    Args:
        config: the settings, as planned.
        weights: the weights that were loaded into the encoder.

    Raises:
        ConfigError: the settings name the hash of other weights.
    """
    expected = config.network.weights_sha256
    if expected not in (None, weights.sha256):
        actual = "none, since they are random"
        if weights.sha256 is not None:
            actual = f"{weights.sha256[:_DIGITS]}... ({weights.source})"
        raise ConfigError(
            "The encoder's weights are not those of the run that these settings repeat: their "
            f"SHA-256 is {actual}, not {str(expected)[:_DIGITS]}... Name the weights of that run "
            "with --weights, or accept other ones with --weights-sha256 none."
        )
    return config.replaced(weights_sha256=weights.sha256)


def note_weights(plan: Plan, config: TrainConfig, weights: WeightsRecord) -> Plan:
    """The plan with an entry that says where the weights come from, after that of the encoder.

    Args:
        plan: the plan.
        config: the settings, as planned.
        weights: the weights that were loaded into the encoder.
    """
    reason = weights.describe().removeprefix("weights: ")
    if weights.sha256 is not None:
        reason += f"; SHA-256: {weights.sha256[:_DIGITS]}..."
    source: Source = next((e.source for e in plan.entries if e.setting == "weights"), "default")
    note = Entry("weights", config.network.weights, source, reason)
    entries: list[Entry] = []
    for entry in plan.entries:
        if entry.setting != "weights":
            entries.append(entry)
        if entry.setting == "encoder":
            entries.append(note)
    return replace(plan, entries=tuple(entries))
