"""The part of the encoder that is trained, its learning rates, and what a step keeps in memory."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny_vit import TINY_EVA, TINY_VIT

import semiseg
from semiseg.config.encoder_training import EncoderTraining, parse_encoder_training
from semiseg.config.groups import OptimizerConfig
from semiseg.config.network import NetworkConfig
from semiseg.config.plan import rates
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, SettingError
from semiseg.methods import build_method
from semiseg.model.ema import Teacher
from semiseg.model.encoder_training import merge, parameter_stages, save_memory, train_part
from semiseg.model.network import Network
from semiseg.model.release import load_release
from semiseg.training.checkpoint import newest_intact
from semiseg.training.optimizer import build_optimizer

PYRAMID = "lcnet_035"
SETTINGS = OptimizerConfig(lr=0.1, encoder_lr=0.01, layer_decay=1.0, weight_decay=0.5)
TINY = {
    "weights": "none",
    "size": 48,
    "crop": 48,
    "batch": 2,
    "steps": 4,
    "validations": 2,
    "workers": 0,
    "threads": 1,
    "accelerator": "cpu",
    "diagnostics": False,
}


def network(encoder, training="full", seed=0, **options):
    torch.manual_seed(seed)
    built = Network(3, encoder, weights="none", **options)
    train_part(built, parse_encoder_training(training), rank=2)
    return built


def take_steps(net, count=2, settings=SETTINGS):
    generator = torch.Generator().manual_seed(1)
    optimizer = build_optimizer(build_method("supervised", net), settings)
    net.train()
    for _ in range(count):
        image = torch.rand(2, 3, 64, 64, generator=generator)
        target = torch.rand(2, 3, 16, 16, generator=generator)
        optimizer.zero_grad()
        (net(image).logits - target).square().mean().backward()
        optimizer.step()
    return optimizer


def changed(net):
    """The encoder's parameters and its buffers that two steps change."""
    before = {k: v.clone() for k, v in net.encoder.state_dict().items()}
    take_steps(net)
    names = {k for k, v in net.encoder.state_dict().items() if not torch.equal(v, before[k])}
    parameters = {k for k, _ in net.encoder.named_parameters()}
    return names & parameters, names - parameters


def last_stage(encoder):
    return "model.blocks.5." if encoder == PYRAMID else "model.blocks.3."


def is_trained(encoder, training, name):
    """Whether a step should change a parameter of the encoder, by its name alone."""
    if training == "norms":
        return "norm" in name or ".bn" in name or name.startswith("model.bn")
    if training == "lora":
        return name.endswith((".down", ".up"))
    return training == "full" or (training == "last-1" and name.startswith(last_stage(encoder)))


@pytest.mark.parametrize("encoder", [TINY_VIT, TINY_EVA, PYRAMID])
@pytest.mark.parametrize("training", ["full", "head", "norms", "lora", "last-1"])
def test_steps_change_what_is_trained_and_nothing_else(encoder, training):
    net = network(encoder, training)
    names = {name for name, _ in net.encoder.named_parameters()}
    parameters, buffers = changed(net)
    assert parameters == {name for name in names if is_trained(encoder, training, name)}
    assert bool(parameters) == (training != "head")
    if encoder != PYRAMID or training in ("head", "lora"):
        assert not buffers
    elif training == "last-1":
        assert buffers
        assert all(name.startswith(last_stage(encoder)) for name in buffers)
    else:  # all batch norms are trained
        assert any(name.startswith("model.bn1.") for name in buffers)


def test_updates_are_in_attention_or_where_channels_mix():
    for encoder, layers in ((TINY_VIT, {"qkv", "proj"}), (TINY_EVA, {"qkv", "proj"})):
        names = [k for k, _ in network(encoder, "lora").encoder.named_parameters() if ".up" in k]
        assert len(names) == 4 * 2
        assert {name.split(".")[4] for name in names} == layers
    net = network(PYRAMID, "lora")
    ups = {k: p for k, p in net.encoder.named_parameters() if k.endswith(".up")}
    assert "model.blocks.1.0.conv_pw.parametrizations.weight.0.up" in ups
    assert not any("conv_dw" in name or "conv_stem" in name for name in ups)
    assert {p.shape[1] for p in ups.values()} == {2}


@pytest.mark.parametrize("training", ["head", "last-1"])
def test_what_is_frozen_stays_in_eval_mode(training):
    net = network(PYRAMID, training)
    modes = [("conv_stem", False), ("bn1", False), ("blocks.4", False)]
    for name, mode in [*modes, ("blocks.5", training == "last-1")]:
        for switch in (net.train, lambda: net.eval().train()):
            switch()
            modules = net.encoder.model.get_submodule(name).modules()
            assert {module.training for module in modules} == {mode}
    assert net.decoder.training
    net.eval()
    assert not any(module.training for module in net.modules())


def test_a_vision_transformer_knows_its_frozen_blocks():
    frozen = {t: network(TINY_VIT, t).encoder.frozen_blocks for t in ("head", "last-1", "lora")}
    assert frozen == {"head": 4, "last-1": 3, "lora": 0}


@torch.no_grad()
@pytest.mark.parametrize("encoder", [TINY_VIT, TINY_EVA, PYRAMID])
def test_merged_updates_give_the_same_network_as_unmerged_ones(encoder):
    net = network(encoder, "lora")
    plain = network(encoder)
    image = torch.rand(1, 3, 64, 64)
    assert merge(plain) is plain
    # An update starts at zero.
    torch.testing.assert_close(net.eval()(image), plain.eval()(image), rtol=0, atol=0)
    for name, parameter in net.encoder.named_parameters():
        if name.endswith(".up"):
            parameter.normal_()
    merged = merge(net)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(merged(image).logits, net(image).logits)
    difference = (merged(image).logits - plain(image).logits).abs().max()
    assert difference > 1e-3
    assert any(".up" in name for name, _ in net.named_parameters())


@pytest.mark.parametrize("training", ["lora", "last-1"])
def test_a_teacher_averages_what_is_trained(training):
    net = network(TINY_EVA, training)
    teacher = Teacher(net, 1.0)
    start = {k: v.clone() for k, v in net.named_parameters()}
    take_steps(net)
    teacher.update(net, 1, 2)
    averages = dict(teacher.network.named_parameters())
    for name, parameter in net.named_parameters():
        expected = (start[name] + parameter) / 2 if parameter.requires_grad else start[name]
        torch.testing.assert_close(averages[name], expected)
        if not parameter.requires_grad:
            assert torch.equal(averages[name], parameter)


SHORT = {**TINY, "method": "supervised", "steps": 2, "validations": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_folder):
    """A short training of the whole network, by encoder."""
    folders = {e: tmp_path_factory.mktemp("runs") / e for e in (TINY_VIT, PYRAMID)}
    for encoder, folder in folders.items():
        semiseg.train(tiny_folder, out=folder, encoder=encoder, **SHORT)
    return folders


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "training"),
    [(TINY_VIT, "head"), (TINY_VIT, "lora"), (TINY_VIT, "last-1"), (PYRAMID, "lora")],
)
def test_a_training_starts_from_a_release_and_releases_plain_weights(
    encoder, training, runs, tiny_folder, tmp_path
):
    settings = {**SHORT, "encoder": encoder, "encoder_training": training}
    out = semiseg.train(tiny_folder, out=tmp_path / "run", start_from=runs[encoder], **settings)
    before, after = (load_file(f / "model.safetensors") for f in (runs[encoder], out.folder))
    assert before.keys() == after.keys()
    same = {k for k in before if torch.equal(before[k], after[k])}
    of_encoder = {k for k in before if k.startswith("network.encoder.")}
    assert "network.logit_head.weight" not in same
    if training == "head":
        assert of_encoder <= same
    else:
        assert of_encoder & same
        assert of_encoder - same
    load_release(out.folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": TINY_VIT, "drop_path": 0.5, "layer_decay": 0.5},
        {"encoder": TINY_EVA, "encoder_training": "lora", "drop_path": 0.5},
        {"encoder": PYRAMID, "encoder_training": "last-2"},
    ],
)
def test_a_resumed_training_has_the_same_bits(settings, tiny_folder, tmp_path):
    out, whole = tmp_path / "run", tmp_path / "whole"
    words = {**TINY, "method": "css", "confidence_threshold": 0.0, **settings}
    semiseg.train(tiny_folder, out=out, **words)
    shutil.copytree(out, whole)
    for name in ("scores.json", "model.safetensors", "model.json"):
        (out / name).unlink()
    newest_intact(out / "checkpoints")[0].unlink()
    semiseg.train(tiny_folder, out=out, resume=True)
    files = [(folder / "model.safetensors").read_bytes() for folder in (out, whole)]
    assert files[0] == files[1]


def groups_of(net, settings=SETTINGS):
    names = {id(p): name for name, p in net.named_parameters()}
    optimizer = build_optimizer(build_method("supervised", net), settings)
    return [
        (group["lr"], group["weight_decay"], [names[id(p)] for p in group["params"]])
        for group in optimizer.param_groups
    ]


def test_the_default_network_has_two_rates_and_decays_all_but_vectors():
    net = network("tf_efficientnet_lite0")
    expected = {}
    for name, parameter in net.named_parameters():
        rate = 0.01 if name.startswith("encoder.") else 0.1
        decay = 0.5 if parameter.dim() > 1 else 0.0
        expected.setdefault((rate, decay), []).append(name)
    assert groups_of(net) == [(*key, names) for key, names in expected.items()]


def test_each_block_has_a_part_of_the_rate_of_the_next():
    settings = OptimizerConfig(lr=0.1, encoder_lr=0.01, layer_decay=0.5)
    by_name = {n: rate for rate, _, names in groups_of(network(TINY_VIT), settings) for n in names}
    for block, rate in enumerate((0.00125, 0.0025, 0.005, 0.01)):
        assert by_name[f"encoder.model.blocks.{block}.attn.qkv.weight"] == pytest.approx(rate)
        assert by_name[f"encoder.model.blocks.{block}.ls2.gamma"] == pytest.approx(rate)
    for name in ("pos_embed", "cls_token", "patch_embed.proj.bias"):
        assert by_name[f"encoder.model.{name}"] == pytest.approx(0.000625)
    assert by_name["logit_head.weight"] == 0.1


@pytest.mark.parametrize("training", ["full", "last-2", "lora"])
def test_each_stage_has_a_part_of_the_rate_of_the_next(training):
    settings = OptimizerConfig(lr=0.1, encoder_lr=0.01, layer_decay=0.1)
    net = network(PYRAMID, training)
    by_name = {n: rate for rate, _, names in groups_of(net, settings) for n in names}
    trained = {name for name, p in net.named_parameters() if p.requires_grad}
    assert by_name.keys() == trained
    stages = {"conv_stem": 1, "bn1": 1, "blocks.0": 1, "blocks.1": 2, "blocks.2": 3}
    stages |= {"blocks.3": 4, "blocks.4": 4, "blocks.5": 5}
    for name, rate in by_name.items():
        start = name.removeprefix("encoder.model.")
        stage = next((s for key, s in stages.items() if start.startswith(f"{key}.")), None)
        assert rate == pytest.approx(0.1 if stage is None else 0.01 * 0.1 ** (5 - stage))


def test_stages_end_where_the_decoder_gets_a_map():
    stages, count = parameter_stages(network("resnet18"))
    assert count == 5
    assert stages["conv1.weight"] == stages["bn1.bias"] == 1
    assert [stages[f"layer{i}.0.conv1.weight"] for i in (1, 2, 3, 4)] == [2, 3, 4, 5]
    stages, count = parameter_stages(network("convnext_atto"))
    assert count == 4
    assert stages["model.stem_0.weight"] == stages["model.stages_0.blocks.0.norm.weight"] == 1
    assert stages["model.stages_3.downsample.1.weight"] == 4


@pytest.mark.parametrize("encoder", [TINY_VIT, TINY_EVA])
def test_positions_tokens_norms_and_biases_do_not_decay(encoder):
    kept = {n for _, decay, names in groups_of(network(encoder)) if not decay for n in names}
    tokens = {"pos_embed", "cls_token"} if encoder == TINY_VIT else {"cls_token", "reg_token"}
    assert {f"encoder.model.{name}" for name in tokens} <= kept
    names = {n for n, _ in network(encoder).encoder.model.named_parameters()}
    kinds = ("bias", "norm1.weight", "norm2.weight", "gamma", "gamma_1", "gamma_2", *tokens)
    assert {f"encoder.model.{n}" for n in names if n.endswith(kinds)} == {
        n for n in kept if n.startswith("encoder.")
    }


def test_what_is_frozen_is_not_in_the_optimizer():
    net = network(TINY_VIT, "head")
    names = [name for _, _, names in groups_of(net) for name in names]
    assert names
    assert not any(name.startswith("encoder.") for name in names)


def gradients(net, image):
    net.train().zero_grad()
    torch.manual_seed(5)
    net(image).logits.square().mean().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("encoder", "training", "options"),
    [
        (TINY_VIT, "full", {"drop_path": 0.5}),
        (TINY_EVA, "lora", {}),
        ("convnext_atto", "full", {}),
        (PYRAMID, "lora", {}),
    ],
)
def test_recomputed_activations_give_the_same_gradients(encoder, training, options):
    net = network(encoder, training, **options)
    image = torch.rand(2, 3, 64, 64)
    first = gradients(net, image)
    saved, kept = [], []
    for counts in (kept, saved):
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, counts=counts: counts.append(t.numel()) or t, lambda t: t
        ):
            net(image)
        save_memory(net)
    assert sum(saved) < sum(kept)
    second = gradients(net, image)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [(PYRAMID, "batch-norm statistics"), ("mit_b0", "has no gradient checkpointing")],
)
def test_an_encoder_that_cannot_save_memory_says_so(encoder, message):
    with pytest.raises(ConfigError, match=message):
        save_memory(network(encoder))


@pytest.mark.parametrize(
    ("encoder", "training", "message"),
    [
        (TINY_VIT, "last-4", "has 4 blocks. Choose last-1 to last-3, or full"),
        (PYRAMID, "last-9", "has 5 stages. Choose last-1 to last-4, or full"),
    ],
)
def test_an_encoder_without_such_a_part_says_so(encoder, training, message):
    with pytest.raises(ConfigError, match=message):
        network(encoder, training)


@pytest.mark.parametrize(("part", "message"), [("norms", "has none"), ("lora", "no layer")])
def test_an_encoder_without_such_layers_says_so(part, message):
    net = network(PYRAMID)
    net.encoder = torch.nn.Conv2d(3, 8, 3)
    with pytest.raises(ConfigError, match=message):
        train_part(net, EncoderTraining(part))


def test_drop_path_is_for_vision_transformers():
    with pytest.raises(ConfigError, match="--drop-path is for vision transformers"):
        Network(3, PYRAMID, weights="none", drop_path=0.1)


def test_the_setting_is_read_and_written():
    assert parse_encoder_training("last-12") == EncoderTraining("last", 12)
    for text in ("full", "head", "norms", "lora", "last-3"):
        assert str(parse_encoder_training(text)) == text
    for text in ("last", "last-0", "last-x", "Full", "", "first-2"):
        with pytest.raises(SettingError, match=r"full, head, norms, lora, or last-N"):
            NetworkConfig(encoder_training=text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora_rank": 4}, "--lora-rank is for --encoder-training lora"),
        ({"encoder_training": "head", "gradient_checkpointing": True}, "saves nothing"),
        ({"encoder_training": "head", "drop_path": 0.1}, "--drop-path has no effect"),
        ({"encoder_training": "head", "layer_decay": 0.9}, "--layer-decay has no effect"),
    ],
)
def test_settings_without_an_effect_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig.from_values({"data": "DATA", **settings})


def test_a_part_of_a_vision_transformer_takes_larger_steps():
    assert rates("adamw", 14) == (2e-3, 5e-5)
    assert rates("adamw", 14, "last") == (2e-3, 1e-4)
    assert rates("adamw", 14, "lora") == rates("adamw", 14, "norms") == (2e-3, 1e-3)
    assert rates("adamw", None, "last") == rates("adamw", None) == (6e-3, 1e-3)
    assert rates("sgd", 14, "lora") == rates("sgd", None)


@pytest.mark.parametrize(
    ("encoder", "training", "decay", "drop_path"),
    [
        (TINY_VIT, "full", 0.9, 0.1),
        (TINY_VIT, "last-2", 1.0, 0.0),
        (PYRAMID, "full", 1.0, 0.0),
    ],
)
def test_the_plan_chooses_by_encoder_and_part(encoder, training, decay, drop_path, tiny_folder):
    settings = {"encoder": encoder, "encoder_training": training, "crop": 48}
    plan = semiseg.plan(tiny_folder, method="supervised", **settings)
    assert plan.config.optimizer.layer_decay == decay
    assert plan.config.network.drop_path == drop_path


def test_random_weights_that_stay_are_a_warning(tiny_folder):
    for training, weights, count in (("head", "none", 1), ("head", "auto", 0), ("full", "none", 0)):
        plan = semiseg.plan(tiny_folder, encoder_training=training, weights=weights)
        assert sum("--weights none makes it random" in text for text in plan.warnings) == count


def test_a_dry_run_says_how_much_is_trained(tiny_folder):
    settings = {**TINY, "encoder": PYRAMID, "method": "supervised", "encoder_training": "head"}
    cost = semiseg.dry_run(tiny_folder, **settings)
    encoder = sum(p.numel() for p in network(PYRAMID).encoder.parameters())
    assert cost.trained == cost.parameters - encoder
    assert "million of them are trained" in cost.text()
    assert "trained" not in cost._replace(trained=cost.parameters).text()
