"""What comes from a stranger runs nothing, and nothing that is written leaves its folder."""

import json
import logging
import os
import pickle
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import semiseg
from semiseg.cli import main
from semiseg.commands.predict import predict
from semiseg.core import console
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.core.files import read_yaml
from semiseg.data.datasets import DATASETS
from semiseg.data.formats.masks import Classes
from semiseg.data.tree import Tree
from semiseg.inference.card import model_card
from semiseg.inference.load import load
from semiseg.inference.sources import find_images
from semiseg.model.metadata import ModelMetadata
from semiseg.model.network import Network
from semiseg.model.weights import load_weights
from semiseg.suggestion.suggest import suggest
from semiseg.training.checkpoint import SafeCheckpointIO
from semiseg.training.run_data import samples_of

SOURCES = sorted((Path(__file__).parents[1] / "src").rglob("*.py"))


class Evil:
    """Its pickle makes a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Evil(tmp_path / "made")))
    assert (tmp_path / "made").is_dir()


@pytest.mark.parametrize("where", ["checkpoint", "weights", "model", "raw"])
def test_a_pickle_is_never_run(tmp_path, where, css_release):
    marker, file = tmp_path / "made", tmp_path / "evil.pth"
    torch.save({"state_dict": Evil(marker)}, file)
    if where == "raw":
        file.write_bytes(pickle.dumps(Evil(marker)))
    if where == "checkpoint":
        with pytest.raises(pickle.UnpicklingError):
            SafeCheckpointIO().load_checkpoint(file)
    elif where == "model":
        run = shutil.copytree(css_release, tmp_path / "run")
        shutil.copy(file, run / "model.safetensors")
        with pytest.raises(RunError, match=re.escape(str(run))):
            load(run, "cpu")
    else:
        encoder = Network(2, "lcnet_035", "fpn", weights="none").encoder
        with pytest.raises(ConfigError, match=re.escape(str(file))):
            load_weights(encoder, "tu-lcnet_035", str(file))
    assert not marker.exists()


TAGS = [
    "!!python/object/apply:os.mkdir ['{}']",
    "!!python/object/new:os.mkdir ['{}']",
    "[!!python/object/apply:os.mkdir ['{}']]",
    "!!python/name:yaml_trap.name ''",
    "!!python/module:yaml_trap ''",
]
"""Read unsafely, each makes the folder in the braces or imports a module that makes it."""


class Trap(NamedTuple):
    """A command that opens a YAML file, and that file.

    Attributes:
        words: the command line.
        file: the file that holds the tag.
        made: the folder that appears when the tag is obeyed.
    """

    words: list[str]
    file: Path
    made: Path


@pytest.fixture
def set_trap(tmp_path, monkeypatch, reported):
    """Write a tag into the file of a place, where the command of that place opens it."""

    def write(place, tag):
        data = shutil.copytree(reported.data, tmp_path / "data")
        no_checkpoints = shutil.ignore_patterns("checkpoints")
        run = shutil.copytree(reported.run, tmp_path / "run", ignore=no_checkpoints)
        marker, new = tmp_path / "made", tmp_path / "new"
        (tmp_path / "yaml_trap.py").write_text(f"import os\nos.mkdir({str(marker)!r})\nname = 1\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "yaml_trap", raising=False)
        new.mkdir()
        config = run / "config.yaml"
        commands = {
            "classes": (data / "classes.yaml", ["train", data, "--out", new]),
            "classes flag": (
                tmp_path / "c.yaml",
                ["check", data, "--classes", tmp_path / "c.yaml"],
            ),
            "config": (tmp_path / "c.yaml", ["train", data, "--config", tmp_path / "c.yaml"]),
            "resumed run": (config, ["train", data, "--out", run, "--resume"]),
            "compare": (new / "compare.yaml", ["compare", data, "--out", new]),
            "report": (config, ["report", run]),
            "report's plan": (run / "plan.yaml", ["report", run]),
        }
        file, words = commands[place]
        first_line = config.read_text().partition("\n")[0]
        file.write_text(f"{first_line}\nclasses: {tag.format(marker)}\n")
        return Trap([str(word) for word in words], file, marker)

    return write


PLACES = ("classes", "classes flag", "config", "resumed run", "compare", "report", "report's plan")


@pytest.mark.slow
@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("place", PLACES)
def test_yaml_holds_plain_values_alone(set_trap, capsys, place, tag):
    trap = set_trap(place, tag)
    with pytest.raises(SystemExit) as stop:
        main(trap.words)
    assert stop.value.code in (1, 2)
    assert "Traceback" not in capsys.readouterr().err
    assert not trap.made.exists()


@pytest.mark.slow
@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("place", PLACES)
def test_each_yaml_file_is_opened_and_its_trap_works(set_trap, monkeypatch, place, tag):
    """The test above can fail: with an unsafe reader each of its cases runs the tag."""
    trap = set_trap(place, tag)
    monkeypatch.setattr("yaml.safe_load", yaml.unsafe_load)
    with suppress(Exception, SystemExit):
        main(trap.words)
    assert trap.made.is_dir()


def test_aliases_that_would_fill_the_memory_are_refused(tmp_path):
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    (tmp_path / "x.yaml").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="aliases"):
        read_yaml(tmp_path / "x.yaml")
    (tmp_path / "y.yaml").write_text("a: &a [1, 2]\nb: *a\n")
    assert read_yaml(tmp_path / "y.yaml") == {"a": [1, 2], "b": [1, 2]}
    (tmp_path / "z.yaml").write_text("&a [*a]")
    with pytest.raises(ValueError, match="aliases"):
        read_yaml(tmp_path / "z.yaml")


def test_the_sources_hold_none_of_what_runs_a_strangers_words():
    banned = re.compile(
        r"\b(pickle|marshal|shelve|dill|cloudpickle|joblib)\b|(?<![.\w])(eval|exec)\(|"
        r"yaml\.(load|unsafe_load|full_load)\(|weights_only=False|allow_pickle=True|"
        r"os\.system|shell=True|trust_remote_code"
    )
    for path in SOURCES:
        code = re.sub(r'"""[\s\S]*?"""|#.*', "", path.read_text())
        assert not banned.search(code), (path, banned.search(code))
        assert code.count("torch.load(") == code.count("weights_only=True"), path


# --- run folders


@pytest.mark.slow
def test_lists_of_a_run_lead_nowhere(tmp_path, reported):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (9, 9)).save(secret)
    run = shutil.copytree(reported.run, tmp_path / "run")
    for line in (str(secret), "../../secret.png", "..\\..\\secret", "/etc/passwd", "val/../../x"):
        for name in ("val", "labeled"):
            (run / "split" / f"{name}.txt").write_text(f"{line}\n")
        assert samples_of(run) == ([], [])


def test_the_images_of_a_list_of_a_data_folder_stay_in_it(tmp_path, tiny_folder):
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    shutil.copy(next((data / "unlabeled").rglob("*.jpg")), tmp_path / "out.jpg")
    for line in ("../out.jpg", str(tmp_path / "out.jpg"), "train/../../out.jpg", "..\\out.jpg"):
        (data / "train.txt").write_text(f"{line}\n")
        assert not semiseg.check(data).ok
    listing = data / "annotations" / "instances_train.json"
    listing.parent.mkdir()
    (data / "train.txt").unlink()
    for name in ("../out.jpg", str(tmp_path / "out.jpg")):
        image = {"id": 1, "file_name": name, "width": 64, "height": 48}
        content = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
        listing.write_text(json.dumps(content))
        with pytest.raises(DataError, match="does not lie below"):
            DATASETS["coco"].samples(Tree(data), "train")


def test_a_model_that_is_a_link_is_read_as_what_it_is(tmp_path, css_release):
    run = shutil.copytree(css_release, tmp_path / "run")
    (run / "model.safetensors").unlink()
    (run / "model.safetensors").symlink_to("/etc/passwd")
    with pytest.raises(RunError, match=re.escape(str(run))):
        load(run, "cpu")


def changed(path, *keys, to):
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        (("size",), 10**9),
        (("size",), "48"),
        (("network", "classes"), 10**9),
        (("network", "representation_dim"), 10**12),
        (("network", "crop"), -1),
        (("network", "encoder"), "hf-hub:somebody/evil"),
        (("network", "encoder"), "../../evil"),
        (("network", "decoder"), "__class__"),
        (("network", "std"), [0, 0, 0]),
        (("network", "mean"), [float("nan")] * 3),
        (("classes", "names"), ["a"]),
        (("classes", "names"), [["a"]] * 6),
        (("classes", "codes"), [0, 0, 0, 0, 0, 0]),
        (("classes", "codes"), [-1, 1, 2, 3, 4, 5]),
        (("classes", "codes"), [1e300, 1, 2, 3, 4, 5]),
        (("classes", "encoding"), "python"),
        (("range",), [5, 5]),
        (("sha256",), "0" * 64),
        (("format",), "x"),
    ],
)
def test_a_model_json_that_cannot_be_meant_is_refused(tmp_path, css_release, keys, to):
    run = shutil.copytree(css_release, tmp_path / "run")
    changed(run / "model.json", *keys, to=to)
    with pytest.raises(RunError, match=re.escape(str(run))):
        load(run, "cpu")


def test_the_metadata_of_an_onnx_file_are_checked(tmp_path, plain_release):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    value = onnx.helper.make_tensor_value_info
    image = value("image", onnx.TensorProto.UINT8, ["b", 3, "h", "w"])
    logits = value("logits", onnx.TensorProto.FLOAT, ["b", 3, "h", "w"])
    node = onnx.helper.make_node("Cast", ["image"], ["logits"], to=onnx.TensorProto.FLOAT)
    graph = onnx.helper.make_graph([node], "g", [image], [logits])
    opsets = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    about = {**json.loads((plain_release / "model.json").read_text()), "stride": 32}
    messages = [
        ("size", 10**9),
        ("stride", 0),
        ("classes", {"names": ["a"]}),
        ("network", None),
        ("range", "x"),
        ("range", [0, 1, 2]),
        ("format", 2),
        ("per_class", {"a": 3}),
    ]
    texts = [json.dumps({**about, key: value}) for key, value in messages]
    for text in (*texts, "not json", "[" * 9000):
        onnx.helper.set_model_props(model, {"semiseg": text})
        onnx.save(model, tmp_path / "evil.onnx")
        with pytest.raises(RunError, match=r"evil\.onnx"):
            load(tmp_path / "evil.onnx")
    onnx.helper.set_model_props(model, {"semiseg": json.dumps(about)})
    onnx.save(model, tmp_path / "good.onnx")
    assert load(tmp_path / "good.onnx").classes.names == tuple(about["classes"]["names"])


# --- where results go


def tree(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.mark.slow
def test_no_pattern_list_or_name_leads_out_of_the_output_folder(tmp_path, plain_release):
    photos = tmp_path / "in" / "photos" / "a"
    photos.mkdir(parents=True)
    names = ("..\\..\\up.png", "..up.png", "....png", "%2e%2e%2fup.png", "~root.png", "C:up.png")
    for i, name in enumerate(names):
        Image.fromarray(np.full((8, 9, 3), i * 20, np.uint8)).save(photos / name, "PNG")
    Image.new("RGB", (9, 8)).save(tmp_path / "in" / "side.png")
    before = tree(tmp_path / "in")
    out = tmp_path / "in" / "deep" / "out"
    for pattern in ("photos/*/../../*.png", "*/../side.png"):
        with pytest.raises(DataError, match=r"'\.\.' behind a wildcard"):
            find_images(tmp_path / "in" / pattern, out)
    (tmp_path / "list.txt").write_text(f"{photos}/../../side.png\nin/photos/a/{names[0]}\n")
    for images in (photos, tmp_path / "list.txt", photos / "*.png", photos / "../a"):
        kinds = {"overlay": True, "confidence": True}
        predict(plain_release, images, out=out, accelerator="cpu", **kinds)
        suggest(plain_release, images, out=tmp_path / "in" / "deep" / "s", overwrite=True)
    assert tree(out)
    assert [n for n in tree(tmp_path / "in") if not n.startswith("deep")] == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "list.txt"]


def test_suggest_writes_through_no_link(tmp_path, plain_release):
    """A folder of suggestions from a stranger may hold links to one's own files."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    Image.effect_noise((40, 40), 90).save(photos / "a.png")
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    for name in ("train/masks/a.png", "train/images/a.png", "classes.yaml", "suggested.csv"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).symlink_to(mine)
    suggest(plain_release, photos, out=out, overwrite=True, accelerator="cpu")
    assert mine.read_text() == "mine"
    shutil.rmtree(out / "train" / "masks")
    (tmp_path / "elsewhere").mkdir()
    (out / "train" / "masks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"A link leads from .*train/masks out of"):
        suggest(plain_release, photos, out=out, overwrite=True, accelerator="cpu")
    assert not list((tmp_path / "elsewhere").iterdir())


# --- pages


def test_names_of_a_stranger_are_text_in_the_terminal(capsys):
    """Not markup, which would swallow a name in brackets and stumble over a slash in them."""
    with console.attached():
        logging.getLogger("semiseg.test").info("%s", "a[b].png and dir[/x].png")
    assert capsys.readouterr().err == "· a[b].png and dir[/x].png\n"


def test_names_of_a_stranger_are_text_in_the_card(css_release):
    about = json.loads((css_release / "model.json").read_text())
    evil = "<script>alert(1)</script>|x|\n# big [a](javascript:alert(1)) `x` <img src=x>"
    about["classes"]["names"][0] = evil
    about["method"] = evil
    score = {"iou": 1.0, "dice": 1.0, "precision": 1.0, "recall": 1.0, "pixels": 1}
    miou = {"last": 1.0, "best": 1.0, "released": 1.0}
    about |= {"per_class": {evil: score}, "miou": miou, "which": evil}
    card = model_card(ModelMetadata.from_dict(about))
    _, header, page = card.split("---\n", 2)
    tags = yaml.safe_load(header)["tags"]  # the hub reads the header as data, and shows it as text
    assert evil in tags
    assert "<script>" not in page
    assert "<img" not in page
    assert "\n# big" not in page
    assert not re.search(r"(?<!\\)\]\(javascript", page)
    rows = [line for line in page.splitlines() if line.startswith("| 0 |")]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 4


def test_names_of_a_stranger_are_text_in_the_markdown_of_a_comparison(compared):
    from semiseg.comparison.records import read_records
    from semiseg.comparison.rows import make_rows
    from semiseg.comparison.text import markdown
    from semiseg.config.methods import METHODS

    for file in compared.glob("*/scores.json"):
        text = file.read_text().replace("weed", "<script>a</script>|\\n# big")
        file.write_text(text)
    page = markdown(make_rows(read_records(compared), list(METHODS)), {"data": "<script>|\n# b"})
    assert "<script>" not in page
    assert "\n# b" not in page.removeprefix("# Comparison")


def test_classes_that_came_through_json_are_checked():
    with pytest.raises(ValueError, match="names"):
        Classes.from_dict(
            {"names": [], "colors": [], "encoding": "ids", "codes": [], "ignored": []}
        )


def test_weights_and_their_json_belong_together(tmp_path, css_release):
    run = shutil.copytree(css_release, tmp_path / "run")
    data = bytearray((run / "model.safetensors").read_bytes())
    data[-5] ^= 1  # one bit of one weight, which safetensors takes
    (run / "model.safetensors").write_bytes(data)
    load_file(run / "model.safetensors")
    with pytest.raises(RunError, match="not as it was written"):
        load(run, "cpu")
