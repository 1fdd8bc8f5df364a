"""Tensors of other programs are renamed and fitted to an encoder, or refused with the reason."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, cast

import timm
import torch
from torch import Tensor, nn

from semiseg.core.text import plural
from semiseg.model.weight_names import (
    State,
    best_prefix,
    find_layout,
    find_prefixes,
    flat,
    strip,
    unchunk,
)

_REGISTERS = ("register_tokens", "storage_tokens", "reg_token")
_TOKENS = {"cls_token", "dist_token", "pos_embed", "norm_pre", *_REGISTERS}
_PATCH = "patch_embed.proj.weight"
_UNNEEDED = ("num_batches_tracked", "relative_position_index", "attn_mask", "bias_mask")
_MAX_EXAMPLES = 3  # tensors that a message names
_REMEDY = "Name the file's encoder with --encoder, or another file with --weights."


class Misfit(ValueError):
    """Tensors are not those of an encoder; the message says why, and what to do."""


class Fit(NamedTuple):
    """The tensors for an encoder.

    Attributes:
        state: the tensors by the encoder's own names.
        remarks: what was chosen or changed, in words; each begins with a small letter.
    """

    state: State
    remarks: Sequence[str] = ()


def fit(state: State, encoder: nn.Module, name: str) -> Fit:
    """Rename the tensors of a file to those of an encoder.

    The names of timm, torchvision, Meta's DINO repositories, transformers and smp are known, with
    anything before them, such as `teacher.backbone.` or `encoder.`. Position embeddings of another
    grid are resampled. Tensors of heads are left out.

    Args:
        state: the tensors of the file.
        encoder: an encoder of smp, or one that holds a model of timm as `model`.
        name: its name as `resolve` gives it.

    Raises:
        Misfit: a tensor of the encoder is missing or has another shape, or the file has more blocks
            or tokens than the encoder.
    """
    own = encoder.state_dict()
    names = {flat(_plain(key)): key for key in own}
    needed = {key: value for key, value in own.items() if not key.endswith(_UNNEEDED)}

    def match(part: State) -> State:
        return {names[flat(key)]: value for key, value in part.items() if flat(key) in names}

    def is_complete(part: State) -> bool:
        matches = match(part)
        return all(k in matches and matches[k].shape == v.shape for k, v in needed.items())

    prefixes = find_prefixes(state, names)
    largest = max(prefixes.values(), default=0)
    is_ambiguous = sum(count == largest for count in prefixes.values()) > 1
    prefix = best_prefix(prefixes)
    part, remarks = strip(state, prefix), [prefix.rstrip(".")] if is_ambiguous else []
    _check_tokens(part, {_plain(key): value for key, value in own.items()})
    if not is_complete(part):
        part = _to_timm(state, full_model(encoder, name), is_complete, remarks)
    matches = match(part)
    if not matches:
        raise _foreign(state)
    problems = _compare(matches, needed)
    if extra := _find_extra(part, own, encoder, name):
        problems.append(f"the file has {len(extra)} more ({_list(extra)})")
    if problems:
        count = plural(len(needed), "tensor")
        raise Misfit(f"of the encoder's {count}, {', and '.join(problems)}. {_REMEDY}")
    # Old files lack some buffers, which no forward pass depends on.
    return Fit({key: matches.get(key, value) for key, value in own.items()}, remarks)


def full_model(encoder: nn.Module, name: str) -> nn.Module | None:
    """The model of timm behind an encoder; its filter reads the layouts of other programs.

    Returns:
        The encoder's own model if it is a whole one, else one without memory; None for an encoder
        of smp.
    """
    model = getattr(encoder, "model", None)
    if isinstance(model, nn.Module) and hasattr(model, "forward_intermediates"):
        return model
    if not name.startswith("tu-"):
        return None
    with torch.device("meta"):  # this draws no random numbers
        return timm.create_model(name.removeprefix("tu-"), pretrained=False)


def _to_timm(
    state: State,
    model: nn.Module | None,
    is_complete: Callable[[State], bool],
    remarks: list[str],
) -> State:
    """The tensors with the names of timm, and in the shapes of the model where timm can resample.

    Args:
        state: the tensors of the file.
        model: the model of timm, or None for an encoder of smp.
        is_complete: whether renamed tensors are all that the encoder needs.
        remarks: receives a sentence if positions were resampled.

    Raises:
        Misfit: timm cannot convert the tensors, or would resample or leave out too much.
    """
    if layout := find_layout(state):
        state = layout.convert(strip(state, layout.prefix))
        return state if model is None else _filter(state, model, remarks)
    if model is None:
        return state
    own_remarks: list[str] = []
    with suppress(Misfit):  # timm knows the names of CLIP, BEiT and others, with all before them
        if is_complete(part := _filter(state, model, own_remarks)):
            remarks += own_remarks
            return part
    prefixes = find_prefixes(state, model.state_dict())
    if not prefixes:
        raise _foreign(state)
    return _filter(strip(state, best_prefix(prefixes)), model, remarks)


def _filter(state: State, model: nn.Module, remarks: list[str]) -> State:
    """Apply timm's own filter; see `_to_timm`.

    Raises:
        Misfit: timm cannot convert the tensors, or would resample or leave out too much.
    """
    own = model.state_dict()
    if _PATCH in own:
        state = unchunk(state)
        _check_tokens(state, own)
        state = _without_zero_biases(state, own)
    positions = state.get("pos_embed")
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        try:
            state = cast(Callable[[State, nn.Module], State], convert)(dict(state), model)
        except Exception as error:  # timm's filters index without a check
            raise Misfit(
                f"timm cannot convert its tensors ({type(error).__name__}: {error}). {_REMEDY}"
            ) from error
    resampled = state.get("pos_embed")
    if positions is not None and resampled is not None and positions.shape != resampled.shape:
        remarks.append(f"{positions.shape[1]} positions resampled to {resampled.shape[1]}")
    return state


def _check_tokens(state: State, own: Mapping[str, Tensor]) -> None:
    """Refuse what timm would resample or leave out without a word.

    Raises:
        Misfit: the patches have another size, or only one of the two has registers.
    """
    if _PATCH not in own:
        return
    patch = state.get(_PATCH)
    if patch is not None and patch.ndim == 4 and patch.shape != own[_PATCH].shape:
        raise Misfit(f"{_shapes(_PATCH, patch, own[_PATCH])}. {_REMEDY}")
    registers = next((state[key] for key in _REGISTERS if key in state), None)
    if registers is not None and "reg_token" not in own:
        raise Misfit(
            f"the file has {plural(registers.shape[-2], 'register token')}, the encoder has none. "
            "Choose an --encoder with registers, such as vit_small_patch14_reg4_dinov2."
        )
    if patch is not None and registers is None and "reg_token" in own:
        raise Misfit(
            f"the encoder has {plural(own['reg_token'].shape[-2], 'register token')}, the file has "
            "none. Choose an --encoder without registers, such as vit_small_patch14_dinov2."
        )


def _without_zero_biases(state: State, own: Mapping[str, Tensor]) -> State:
    """Remove the attention biases of Meta's DINOv3 where the encoder has none, if they are 0.

    Raises:
        Misfit: they are not 0, so the encoder would give other features without them.
    """
    biases = [key for key in state if key.endswith(".attn.qkv.bias")]
    if "storage_tokens" not in state or "blocks.0.attn.q_bias" in own:
        return state
    for key in biases:
        query, _, value = state[key].chunk(3)  # the bias of the key is masked
        if query.any() or value.any():
            raise Misfit(
                "the file has biases in the attention, the encoder has none. Choose the encoder of "
                "the same name with _qkvb, such as vit_small_patch16_dinov3_qkvb."
            )
    return {key: value for key, value in state.items() if key not in biases}


def _compare(matches: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> list[str]:
    """What is missing or has another shape, in words."""
    missing = [_plain(key) for key in needed if key not in matches]
    other = [k for k, v in needed.items() if k in matches and matches[k].shape != v.shape]
    problems = []
    if other:
        first = [_shapes(_plain(key), matches[key], needed[key]) for key in other[:_MAX_EXAMPLES]]
        more = "; ..." if len(other) > _MAX_EXAMPLES else ""
        problems.append(f"{len(other)} have another shape ({'; '.join(first)}{more})")
    if missing:
        problems.append(f"{len(missing)} are missing ({_list(missing)})")
    return problems


def _find_extra(
    part: Iterable[str], own: Iterable[str], encoder: nn.Module, name: str
) -> list[str]:
    """Tensors of the file that a larger encoder of this kind has: more blocks, more tokens.

    Args:
        part: the names in the file, those of heads among them.
        own: the names of the encoder.
        encoder: the encoder.
        name: its name.
    """
    expected = {flat(_plain(key)) for key in own}
    trunk = {_module_of(_plain(key)) for key in own} | _TOKENS
    extra = [
        key
        for key in part
        if not key.endswith(_UNNEEDED) and flat(key) not in expected and _module_of(key) in trunk
    ]
    if extra and (model := full_model(encoder, name)):
        expected = {flat(key) for key in model.state_dict()}  # smp leaves out the last stages
        extra = [key for key in extra if flat(key) not in expected]
    return extra


def _module_of(name: str) -> str:
    """The first part of a name, `stages` for `stages.0.weight` and for smp's `stages_0.weight`."""
    return re.sub(r"_\d+$", "", name.partition(".")[0])


def _plain(key: str) -> str:
    """A name without the attribute that holds timm's model in an encoder."""
    return key.removeprefix("model.")


def _shapes(key: str, stored: Tensor, own: Tensor) -> str:
    """The shapes of a tensor in the file and in the encoder, as a sentence."""
    return (
        f"{key} has the shape {tuple(stored.shape)} in the file and {tuple(own.shape)} in the "
        "encoder"
    )


def _list(names: Sequence[str]) -> str:
    """The first names of a list."""
    return ", ".join(names[:_MAX_EXAMPLES]) + (", ..." if len(names) > _MAX_EXAMPLES else "")


def _foreign(state: Mapping[str, Tensor]) -> Misfit:
    """The error for a file without any name of the encoder's tensors."""
    return Misfit(
        f"none of its {plural(len(state), 'tensor')} has a name of this encoder's; the first are "
        f"{_list(sorted(state))}. semiseg knows the names of timm, torchvision, transformers and "
        f"the DINO repositories. {_REMEDY}"
    )
