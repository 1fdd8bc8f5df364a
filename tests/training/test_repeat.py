"""A run repeats with the encoder and the weights that its settings record, or says why not."""

from __future__ import annotations

import hashlib
import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import semiseg
from semiseg.cli import main
from semiseg.commands.layers import train_config
from semiseg.config.network import SMALL_VIT, NetworkConfig
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, HubError, SettingError
from semiseg.core.files import read_json
from semiseg.model.network import Network
from semiseg.training.place import Place
from semiseg.training.planning import prepare

ENCODER = "lcnet_035"
GPU = Place("cuda", 1, 0, 1, memory=8 * 10**9, bf16=True)


def write_weights(file, seed):
    torch.manual_seed(seed)
    save_file(Network(2, ENCODER, "fpn", "none").encoder.state_dict(), file)
    return file


def read(run, name="config.yaml"):
    return yaml.safe_load((run / name).read_text())


@pytest.fixture(scope="module")
def settings():
    return {
        **{"encoder": ENCODER, "decoder": "fpn", "method": "supervised", "size": 48, "crop": 32},
        **{"batch": 2, "steps": 2, "validations": 2, "workers": 0, "accelerator": "cpu"},
        "labels": "2",
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_folder, settings):
    """A run from a file of weights."""
    folder = tmp_path_factory.mktemp("repeat")
    file = write_weights(folder / "weights.safetensors", 0)
    return semiseg.train(tiny_folder, weights=str(file), out=folder / "run", **settings).folder


@pytest.fixture
def no_weights(monkeypatch):
    """Neither the hub nor a file gives weights."""

    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("semiseg.model.hub.load_state_dict_from_hf", unreachable)
    monkeypatch.setattr("semiseg.model.hub.smp.encoders.get_encoder", unreachable)
    monkeypatch.setattr("semiseg.model.weights.read_weights", unreachable)


def same_model(first, second):
    ours, theirs = (load_file(run / "model.safetensors") for run in (first, second))
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_run_records_the_hash_of_the_weights(run):
    sha256 = read(run)["weights_sha256"]
    assert read_json(run / "model.json")["weights"]["sha256"] == sha256
    rows = read(run, "plan.yaml")["plan"]
    assert [row["setting"] for row in rows][:3] == ["method", "encoder", "weights"]
    assert rows[2]["source"] == "user"
    assert "the file weights.safetensors" in rows[2]["reason"]
    assert sha256[:12] in rows[2]["reason"]


@pytest.mark.slow
def test_a_repeated_run_refuses_other_weights(run, tmp_path, capsys):
    words = ["train", "--config", str(run / "config.yaml")]
    main([*words, "--out", str(tmp_path / "again")])
    assert same_model(run, tmp_path / "again")
    other = write_weights(tmp_path / "other.safetensors", 1)
    words += ["--weights", str(other), "--out", str(tmp_path / "other")]
    with pytest.raises(SystemExit):
        main(words)
    message = capsys.readouterr().err.splitlines()[-1]
    assert read(run)["weights_sha256"][:12] in message
    assert "other.safetensors" in message
    assert not (tmp_path / "other").exists()
    main([*words, "--weights-sha256", "none"])
    assert read(tmp_path / "other")["weights_sha256"] != read(run)["weights_sha256"]


def test_the_hash_of_a_file_does_not_count_where_a_flag_names_a_run_to_start_from(run, tmp_path):
    file = run / "config.yaml"
    assert train_config({"config": file}).network.weights_sha256 == read(run)["weights_sha256"]
    started = train_config({"config": file, "start_from": run, "out": tmp_path / "next"})
    assert started.network.weights_sha256 is None


def test_random_weights_have_no_hash(tiny_run):
    run = tiny_run("supervised")
    assert read(run)["weights_sha256"] is None
    reasons = {row["setting"]: row["reason"] for row in read(run, "plan.yaml")["plan"]}
    assert reasons["weights"] == "random"


def test_weights_of_a_hash_are_not_replaced_by_random_ones(run, tmp_path):
    config = TrainConfig.from_values({**read(run), "weights": "none", "out": tmp_path / "out"})
    with pytest.raises(ConfigError, match="since they are random"):
        semiseg.train(config)


@pytest.mark.parametrize("value", ["abc", "g" * 64, "A" * 64])
def test_a_hash_has_64_digits(value):
    with pytest.raises(SettingError):
        NetworkConfig(weights_sha256=value)
    assert NetworkConfig(weights_sha256=hashlib.sha256(b"").hexdigest())


def test_without_a_hub_no_other_encoder_is_taken(tiny_folder, settings, tmp_path, no_weights):
    """A run that was planned on a GPU, repeated on a CPU."""
    own = {**settings, "encoder": "auto", "decoder": "auto"}
    config = TrainConfig.from_values({"data": tiny_folder, "out": tmp_path / "run", **own})
    record = prepare(config, GPU).config.values()
    assert record["encoder"] == SMALL_VIT
    with pytest.raises(HubError, match=f"weights of {SMALL_VIT} could not be loaded from the hub"):
        semiseg.train(TrainConfig.from_values(record))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_resumed_run_needs_no_weights(run, tmp_path, no_weights):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "scores.json").unlink()
    newest = max((copy / "checkpoints").iterdir())
    newest.unlink()
    semiseg.train(read(run)["data"], method="supervised", out=copy, resume=True)
    assert same_model(run, copy)
    assert newest.name.split("-")[0] in {p.name.split("-")[0] for p in newest.parent.iterdir()}
    assert read_json(copy / "model.json")["weights"] == read_json(run / "model.json")["weights"]


@pytest.mark.slow
def test_a_run_that_starts_from_another_needs_no_weights(
    run, tiny_folder, settings, tmp_path, no_weights
):
    own = {**settings, "encoder": "auto", "start_from": run, "weights": "hub"}
    out = semiseg.train(tiny_folder, out=tmp_path / "run", **own).folder
    assert read(out)["encoder"] == ENCODER
    assert read(out)["weights_sha256"] != read(run)["weights_sha256"]  # those of the trained run
