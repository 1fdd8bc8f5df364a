"""The walk-through of CONTRIBUTING.md is run as it stands there, and the docs know all methods."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from semiseg.cli import main
from semiseg.config.methods import METHODS

ROOT = Path(__file__).parents[1]
MODULES = ("semiseg.config.methods.entropy", "semiseg.methods.entropy")
TINY = ["--weights=none", "--size=48", "--crop=32", "--batch=2", "--steps=2", "--validations=1"]
TINY += ["--workers=0", "--accelerator=cpu", "--encoder=lcnet_035"]


@pytest.fixture
def blocks(walk_through):
    """Gives the code of the section on methods in one language, in its order."""
    return lambda language: walk_through("Add a method", language)


def imported(name, code, folder):
    folder.mkdir(exist_ok=True)
    path = folder / f"{name.rpartition('.')[2]}.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def entropy(blocks, tmp_path, monkeypatch):
    """The method of the walk-through, registered as it says."""
    for name, code in zip(MODULES, blocks("python"), strict=False):
        monkeypatch.setitem(sys.modules, name, imported(name, code, tmp_path / name))
    import_line, entry = blocks("py")
    namespace = {}
    exec(f"{import_line}\nadded = {{{entry}}}", namespace)
    for method, defaults in namespace["added"].items():
        monkeypatch.setitem(METHODS, method, defaults)


def test_the_method_of_the_walk_through_passes_its_own_tests(entropy, blocks, tmp_path):
    module = imported("walk_through_tests", blocks("python")[2], tmp_path)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


@pytest.mark.slow
def test_the_commands_of_the_walk_through_train_it(
    entropy, blocks, tiny_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    train, compare = blocks("bash")[0].strip().splitlines()
    main([*shlex.split(train.replace("DATA", str(tiny_folder)))[1:], *TINY])
    config = yaml.safe_load(Path("runs/entropy/config.yaml").read_text())
    assert (config["method"], config["entropy_weight"]) == ("entropy", 0.2)
    assert "uncertainty" in capsys.readouterr().err  # the line of the look names the diagnostics
    main([*shlex.split(compare.replace("DATA", str(tiny_folder)))[1:], *TINY])
    assert "entropy - supervised, labels 2" in capsys.readouterr().out


def test_each_method_has_its_section_in_the_docs():
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    sections = re.findall(r"^###? `([\w-]+)`$", text, re.MULTILINE)
    assert set(METHODS) <= set(sections)


def test_the_readme_names_each_method():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    presets = ("-paper", "-program")
    assert [m for m in METHODS if not m.endswith(presets) and f"`{m}`" not in text] == []
