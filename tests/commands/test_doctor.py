"""What `doctor` finds on this machine, and on machines where something is missing."""

import json
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from PIL import features

import semiseg
from semiseg.checks import machine
from semiseg.cli import main

ROOT = Path(__file__).parents[2]


def problems(diagnosis, severity):
    return [p for p in diagnosis.problems if p.severity == severity]


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = set(project["optional-dependencies"]) - {"test", "browser", "docs", "release"}
    assert set(machine.EXTRAS) == ours


@pytest.mark.slow
def test_the_command_prints_all_parts_and_json(capsys):
    main(["doctor"])
    text = capsys.readouterr().out
    for word in ("Versions", "torch", "Devices", "cpu", "AVIF", "onnx-export", "Caches"):
        assert word in text
    assert text.rstrip().endswith("Nothing that semiseg requires is missing.")
    main(["doctor", "--json"])
    content = json.loads(capsys.readouterr().out)
    assert content["ok"] is True
    assert content["versions"]["torch"] == metadata.version("torch")
    assert content["devices"][0]["name"] == "cpu"
    assert content["devices"][0]["memory"] > 1e8
    assert content["codecs"]["PNG"] is True
    assert content["extras"]["onnx"].keys() == {"purpose", "present", "remedy"}
    assert content["disk"] > 0
    assert {cache["name"] for cache in content["caches"]} >= {"of semiseg"}


@pytest.mark.slow
def test_a_missing_package_is_an_error_and_the_exit_status(monkeypatch, capsys):
    inner = metadata.version

    def version(name):
        if name == "timm":
            raise metadata.PackageNotFoundError(name)
        return inner(name)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(SystemExit) as stop:
        main(["doctor"])
    assert stop.value.code == 1
    text = capsys.readouterr().out
    assert "The package timm is missing. pip install semiseg" in text
    assert "semiseg cannot work here" in text


def test_a_damaged_pytorch_is_an_error_and_no_traceback(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    devices, found = machine.find_devices()
    assert [device.name for device in devices] == ["cpu"]
    assert [p.severity for p in found] == ["error"]
    assert "PyTorch cannot be imported" in found[0].text


@pytest.mark.slow
def test_a_question_that_fails_stops_no_others(monkeypatch):
    def find_disk():
        raise PermissionError("no way")

    monkeypatch.setattr(machine, "find_disk", find_disk)
    diagnosis = semiseg.doctor()
    assert diagnosis.ok
    assert diagnosis.disk is None
    assert diagnosis.versions["semiseg"] == semiseg.__version__
    texts = [p.text for p in problems(diagnosis, "warning")]
    assert "semiseg could not find the disk (PermissionError: no way)." in texts


def test_a_codec_that_pillow_lacks_is_named(monkeypatch):
    inner = features.check
    monkeypatch.setattr(features, "check", lambda name: name != "avif" and inner(name))
    codecs, found = machine.find_codecs()
    assert not codecs["AVIF"]
    assert codecs["JPEG"]
    assert [(p.severity, p.message) for p in found] == [("warning", "This Pillow cannot read AVIF")]


def test_an_extra_that_is_missing_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda module: None if module == "onnx" else module)
    extras, _ = machine.find_extras()
    assert extras["onnx-export"].remedy == "pip install 'semiseg[onnx-export]'"
    assert extras["onnx"].present
    assert extras["onnx"].remedy == ""


def test_weights_are_found_in_the_cache_of_the_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "find_spec", lambda module: None)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    names, found = machine.find_weights()
    assert names == []
    assert "semiseg[demo]" in found[0].remedy
    for name, file in (("timm--resnet18", "model.safetensors"), ("me--text", "config.json")):
        path = tmp_path / f"models--{name}" / "snapshots" / "1" / file
        path.parent.mkdir(parents=True)
        path.touch()
    assert machine.find_weights() == (["timm/resnet18"], [])


def test_caches_have_their_size_and_say_where_they_cannot_be_written(monkeypatch, tmp_path):
    folder = tmp_path / "cache"
    monkeypatch.setenv("SEMISEG_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    caches, found = machine.find_caches()
    assert found == []
    assert not caches[0].exists
    assert not folder.exists()  # asking creates nothing
    (folder / "decoded").mkdir(parents=True)
    (folder / "decoded" / "a").write_bytes(bytes(1000))
    (folder / "features").mkdir()
    (folder / "features" / "b").write_bytes(bytes(500))
    (cache, part, _), _ = machine.find_caches()
    assert (cache.path, cache.exists, cache.size) == (str(folder), True, 1500)
    assert (part.path, part.exists, part.size) == (str(folder / "features"), True, 500)
    assert not cache.is_partial
    assert cache.writable
    monkeypatch.setattr(machine.os, "access", lambda *arguments: False)
    cache = machine.find_caches()[0][0]
    assert not cache.writable
    assert "SEMISEG_CACHE=DIR" in machine.find_caches()[1][0].text
    monkeypatch.setattr(machine, "_MAX_SECONDS", -1)
    assert machine.find_caches()[0][0].is_partial
