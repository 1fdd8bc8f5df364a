"""Weights under the names of other programs give the same encoder; what does not fit is named."""

import os
import re

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from semiseg.core.errors import ConfigError
from semiseg.model.encoders import resolve
from semiseg.model.network import Network
from semiseg.model.vit import PlainViT
from semiseg.model.weight_fitting import Misfit, fit
from semiseg.model.weights import load_weights

SIZES = {"embed_dim": 32, "depth": 4, "num_heads": 2, "num_classes": 0}


class Holder(nn.Module):
    """An encoder around a model of timm."""

    def __init__(self, model):
        super().__init__()
        self.model = model


def dinov2(**settings):
    return Holder(VisionTransformer(56, 14, init_values=1.0, **SIZES, **settings))


def dinov3(qkv_bias, **settings):
    sizes = SIZES | {"qkv_bias": qkv_bias, "init_values": 1.0, "num_reg_tokens": 4}
    rotary = {"use_abs_pos_emb": False, "use_rot_pos_emb": True, "rope_type": "dinov3"}
    return Holder(Eva(64, 16, **sizes, **rotary, **settings))


def filled(module, seed=1):
    """A module's state with other floats."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for key, value in module.state_dict().items()
    }


def renamed(state, *rules):
    result = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        result[key] = value
    return result


def split_attention(state, names):
    """Three tensors for `attn.qkv`, with the names of transformers."""
    result = {}
    for key, value in state.items():
        parts = value.chunk(3) if ".qkv." in key else [value]
        for name, part in zip(names if ".qkv." in key else ["qkv"], parts, strict=True):
            result[key.replace("qkv", name)] = part
    return result


def as_meta(state):
    return state | {"mask_token": torch.zeros(1, 32), "dino_head.mlp.weight": torch.zeros(3)}


def as_chunks(state):
    """As DINOv2's training writes them: `blocks.CHUNK.BLOCK.`."""
    return renamed(
        as_meta(state), (r"^blocks\.(\d)\.", lambda m: f"blocks.{int(m[1]) // 2}.{m[1]}.")
    )


def as_transformers(state):
    state = split_attention(as_meta(state), ("query", "key", "value"))
    return renamed(
        state,
        (r"^(cls_token|mask_token|register_tokens)$", r"embeddings.\1"),
        (r"^pos_embed$", "embeddings.position_embeddings"),
        (r"^patch_embed\.proj", "embeddings.patch_embeddings.projection"),
        (r"^blocks\.", "encoder.layer."),
        (r"\.attn\.proj\.", ".attention.output.dense."),
        (r"\.attn\.", ".attention.attention."),
        (r"\.ls(\d)\.gamma", r".layer_scale\1.lambda1"),
        (r"^norm\.", "layernorm."),
    )


def nested(state):
    """DINO's checkpoints hold two networks; the teacher is the better one."""
    zeros = {f"module.backbone.{k}": torch.zeros_like(v) for k, v in state.items()}
    teacher = {f"backbone.{k}": v for k, v in state.items()}
    return {"student": zeros, "teacher": teacher, "epoch": 3, "optimizer": {"state": {0: {}}}}


def prefixed(prefix):
    return lambda state: {f"{prefix}{k}": v for k, v in state.items()}


LAYOUTS = {
    "timm": lambda state: state | {"head.weight": torch.zeros(3, 32)},
    "dinov2": as_meta,
    "dino": nested,
    "dinov2 training": lambda state: nested(as_chunks(state)),
    "mae": lambda state: {"model": state | {"decoder_blocks.0.norm1.weight": torch.zeros(8)}},
    "lightly": prefixed("student_embedding_model.wrapped_model._model."),
    "lightly embedding": prefixed("wrapped_model._model."),
    "segmentation": prefixed("model.encoder."),
    "transformers": as_transformers,
    "transformers classifier": lambda state: prefixed("dinov2.")(as_transformers(state)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_vision_transformer_of_any_layout(layout, tmp_path):
    encoder = dinov2()
    state = filled(encoder.model)
    torch.save(LAYOUTS[layout](state), tmp_path / "w.pth")
    record, _ = load_weights(encoder, "tu-none", str(tmp_path / "w.pth"))
    for key, value in encoder.model.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert ("teacher" in record.source) == (layout in ("dino", "dinov2 training"))


def test_registers_of_dinov2():
    """Meta adds the class token's position to it later; timm before."""
    encoder = dinov2(reg_tokens=2, no_embed_class=True)
    ours = filled(encoder.model)
    state = dict(ours)
    position = torch.rand(1, 1, 32)
    state["register_tokens"] = state.pop("reg_token")
    state["cls_token"] = ours["cls_token"] - position
    state["pos_embed"] = torch.cat([position, ours["pos_embed"]], 1)
    for theirs in (as_meta(state), as_transformers(state)):
        fitted = fit(theirs, encoder, "tu-none").state
        assert all(torch.allclose(fitted[f"model.{k}"], v, atol=1e-6) for k, v in ours.items())
    with pytest.raises(Misfit, match=r"2 register tokens, the encoder has none.*--encoder"):
        fit(as_meta(state), dinov2(), "tu-none")
    with pytest.raises(Misfit, match=r"encoder has 2 register tokens, the file has none"):
        fit(as_meta(filled(dinov2().model)), encoder, "tu-none")


def test_the_image_part_of_clip():
    """Its names are known to timm's filter, which needs all that is before them."""
    encoder = Holder(VisionTransformer(56, 14, pre_norm=True, **SIZES))
    ours = filled(encoder.model)
    theirs = renamed(
        ours,
        (r"^cls_token$", "class_embedding"),
        (r"^pos_embed$", "positional_embedding"),
        (r"^patch_embed\.proj\.", "conv1."),
        (r"^norm_pre\.", "ln_pre."),
        (r"^norm\.", "ln_post."),
        (r"\.norm(\d)\.", r".ln_\1."),
        (r"\.qkv\.", ".in_proj_"),
        (r"\.attn\.proj\.", ".attn.out_proj."),
        (r"\.mlp\.fc1\.", ".mlp.c_fc."),
        (r"\.mlp\.fc2\.", ".mlp.c_proj."),
        (r"^blocks\.", "transformer.resblocks."),
    )
    theirs["class_embedding"] = theirs["class_embedding"].flatten()
    theirs["positional_embedding"] = theirs["positional_embedding"].squeeze(0)
    text = {
        "positional_embedding": torch.zeros(3),
        "transformer.resblocks.0.ln_1.bias": torch.zeros(3),
    }
    fitted = fit(text | {f"visual.{k}": v for k, v in theirs.items()}, encoder, "tu-none").state
    assert all(torch.equal(fitted[f"model.{k}"], v) for k, v in ours.items())


def as_dinov3(state):
    """Meta's names; the bias of the key is masked, so it may hold anything."""
    result = {}
    for key, value in renamed(
        state, (r"^reg_token$", "storage_tokens"), (r"gamma_(\d)", r"ls\1.gamma")
    ).items():
        if key.endswith("q_bias"):
            parts = [value, torch.full_like(value, torch.nan), state[key.replace("q_b", "v_b")]]
            result[key.replace("q_bias", "qkv.bias")] = torch.cat(parts)
            result[key.replace("q_bias", "qkv.bias_mask")] = torch.zeros(3)
        elif not key.endswith("v_bias"):
            result[key] = value
    return as_meta(result) | {"rope_embed.periods": torch.zeros(8)}


def as_transformers_dinov3(state):
    state = split_attention(as_dinov3(state), ("q_proj", "k_proj", "v_proj"))
    state = {k: v for k, v in state.items() if not k.endswith(("k_proj.bias", "bias_mask"))}
    return renamed(
        state,
        (r"^(cls_token|mask_token)$", r"embeddings.\1"),
        (r"^storage_tokens$", "embeddings.register_tokens"),
        (r"^patch_embed\.proj", "embeddings.patch_embeddings"),
        (r"^blocks\.", "layer."),
        (r"\.attn\.proj\.", ".attention.o_proj."),
        (r"\.attn\.", ".attention."),
        (r"\.ls(\d)\.gamma", r".layer_scale\1.lambda1"),
        (r"\.mlp\.fc1(_x)?\.", ".mlp.up_proj."),
        (r"\.mlp\.fc1_g\.", ".mlp.gate_proj."),
        (r"\.mlp\.fc2\.", ".mlp.down_proj."),
    )


def as_meta_dinov3(state):
    gated = [(r"\.fc1_g\.", ".w1."), (r"\.fc1_x\.", ".w2.")]
    is_gated = any(".fc1_g." in key for key in state)
    return renamed(as_dinov3(state), *gated, *([(r"\.fc2\.", ".w3.")] if is_gated else []))


@pytest.mark.parametrize("layout", [as_meta_dinov3, as_transformers_dinov3])
@pytest.mark.parametrize("gated", [False, True])
def test_dinov3(layout, gated):
    encoder = dinov3(True, swiglu_mlp=gated, swiglu_align_to=8)
    ours = filled(encoder.model)
    fitted = fit(layout(ours), encoder, "tu-none").state
    assert all(torch.equal(fitted[f"model.{k}"], v) for k, v in ours.items())


def test_dinov3_without_biases():
    """Biases of 0 make no difference; others do."""
    ours = filled(dinov3(True).model)
    encoder = dinov3(False)
    with pytest.raises(Misfit, match="_qkvb"):
        fit(as_dinov3(ours), encoder, "tu-none")
    zero = {k: v if not k.endswith(("q_bias", "v_bias")) else 0 * v for k, v in ours.items()}
    fitted = fit(as_dinov3(zero), encoder, "tu-none").state
    assert fitted.keys() == encoder.state_dict().keys()
    assert all(torch.equal(v, ours[k.removeprefix("model.")]) for k, v in fitted.items())


@torch.no_grad()
def test_a_vit_of_torchvision_gives_the_same_output():
    torch.manual_seed(0)
    theirs = torchvision.models.VisionTransformer(56, 14, 4, 2, 32, 128).eval()
    model = VisionTransformer(56, 14, **SIZES).eval()
    encoder = Holder(model)
    encoder.load_state_dict(dict(fit(theirs.state_dict(), encoder, "tu-none").state))
    image = torch.rand(1, 3, 56, 56)
    tokens = theirs.encoder(torch.cat([theirs.class_token, theirs._process_input(image)], 1))
    torch.testing.assert_close(model.forward_features(image), tokens)


@pytest.fixture(scope="module")
def convnext():
    return Network(2, "convnext_tiny", "fpn", weights="none").encoder.eval()


@torch.no_grad()
def test_a_convnext_of_torchvision_gives_the_same_output(convnext):
    theirs = torchvision.models.convnext_tiny().eval()
    convnext.load_state_dict(dict(fit(theirs.state_dict(), convnext, "tu-convnext_tiny").state))
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(convnext(image)[-1], theirs.features(image))


META_CONVNEXT = [
    (r"^stem\.", "downsample_layers.0."),
    (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
    (r"\.blocks\.", "."),
    (r"\.conv_dw\.", ".dwconv."),
    (r"\.mlp\.fc", ".pwconv"),
    (r"^head\.norm\.", "norm."),
]
TRANSFORMERS_CONVNEXT = [
    (r"^stem\.", "stages.0.downsample_layers."),
    (r"\.downsample\.", ".downsample_layers."),
    (r"\.blocks\.", ".layers."),
    (r"\.conv_dw\.", ".depthwise_conv."),
    (r"\.mlp\.fc", ".pointwise_conv"),
    (r"(^head\.norm|\.norm)\.", ".layer_norm."),
    (r"^\.", ""),
]


@pytest.mark.parametrize("rules", [[], META_CONVNEXT, TRANSFORMERS_CONVNEXT])
def test_a_convnext_of_dinov3(rules, convnext):
    with torch.device("meta"):
        full = timm.create_model("convnext_tiny", num_classes=0)
    state = filled(full.to_empty(device="cpu"))
    theirs = {f"backbone.{k}": v for k, v in renamed(state, *rules).items()}
    fitted = fit(theirs, convnext, "tu-convnext_tiny.dinov3_lvd1689m").state
    assert torch.equal(
        fitted["model.stages_2.blocks.4.mlp.fc1.weight"], state["stages.2.blocks.4.mlp.fc1.weight"]
    )
    assert torch.equal(
        fitted["model.stages_1.downsample.1.bias"], state["stages.1.downsample.1.bias"]
    )


def test_positions_of_another_grid_are_resampled():
    encoder = dinov2()
    state = filled(VisionTransformer(28, 14, init_values=1.0, **SIZES))
    fitted = fit(state, encoder, "tu-none")
    assert fitted.remarks == ["5 positions resampled to 17"]
    ours = fitted.state["model.pos_embed"]
    assert ours.shape == (1, 17, 32)
    assert torch.equal(ours[:, 0], state["pos_embed"][:, 0])


# What does not fit


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (
            lambda: VisionTransformer(56, 14, init_values=1.0, **(SIZES | {"embed_dim": 48})),
            r"patch_embed\.proj\.weight has the shape \(48, 3, 14, 14\) in the file and "
            r"\(32, 3, 14, 14\) in the encoder",
        ),
        (
            lambda: VisionTransformer(56, 14, init_values=1.0, mlp_ratio=2, **SIZES),
            r"62 tensors, 12 have another shape \(blocks\.0\.mlp\.fc1\.weight has the "
            r"shape \(64, 32\) in the file and \(128, 32\) in the encoder; .*; \.\.\.\)",
        ),
        (
            lambda: VisionTransformer(56, 14, **SIZES),
            r"8 are missing \(blocks\.0\.ls1\.gamma, .*, \.\.\.\)",
        ),
        (
            lambda: VisionTransformer(56, 14, init_values=1.0, **(SIZES | {"depth": 5})),
            r"the file has 14 more \(blocks\.4\.norm1\.weight, ",
        ),
        (
            lambda: VisionTransformer(64, 16, init_values=1.0, **SIZES),
            r"\(32, 3, 16, 16\) in the file",
        ),
        (torchvision.models.resnet18, r"none of its 122 tensors has .* bn1\.bias, .*DINO"),
    ],
    ids=["width", "mlp", "scales", "depth", "patch", "other network"],
)
def test_what_does_not_fit_is_named(theirs, message, tmp_path):
    encoder = dinov2()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    path = tmp_path / "w.pth"
    torch.save(theirs().state_dict(), path)
    with pytest.raises(ConfigError, match=message) as error:
        load_weights(encoder, "tu-none", str(path))
    assert str(error.value).startswith(f"{path} does not fit the encoder none: ")
    assert "--encoder" in str(error.value)
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())


@pytest.mark.parametrize("damage", ["shape", "missing", "more blocks", "other encoder"])
def test_a_pyramid_that_does_not_fit(damage):
    encoder = Network(2, "lcnet_035", "fpn", weights="none").encoder
    state = filled(encoder)
    if damage == "shape":
        state["model.conv_stem.weight"] = torch.zeros(8, 4, 3, 3)
        message = r"1 have another shape \(conv_stem\.weight has the shape \(8, 4, 3, 3\)"
    elif damage == "missing":
        del state["model.bn1.running_var"]
        message = r"1 are missing \(bn1\.running_var\)"
    elif damage == "more blocks":
        state["model.blocks.5.2.conv_pw.weight"] = torch.zeros(1)
        message = r"the file has 1 more \(blocks\.5\.2\.conv_pw\.weight\)"
    else:
        state = torchvision.models.convnext_tiny().state_dict()
        message = "none of its 182 tensors"
    with pytest.raises(Misfit, match=message):
        fit(state, encoder, "tu-lcnet_035")


# The real weights


def test_the_real_dinov2_under_other_names(tmp_path):
    file = os.environ.get("SEMISEG_DINOV2")
    if not file:
        pytest.skip("SEMISEG_DINOV2 does not name a file with DINOv2-S weights")
    name = resolve("vit_small_patch14_dinov2")
    encoder = PlainViT("vit_small_patch14_dinov2")
    first, norm = load_weights(encoder, name, file)
    assert norm.mean == (0.485, 0.456, 0.406)
    state = load_file(file)
    assert all(torch.equal(v, state[k]) for k, v in encoder.model.state_dict().items())
    for layout in ("dinov2 training", "transformers"):
        nn.init.zeros_(encoder.model.cls_token)
        torch.save(LAYOUTS[layout](state), tmp_path / "w.pth")
        record, _ = load_weights(encoder, name, str(tmp_path / "w.pth"))
        assert record.sha256 == first.sha256
