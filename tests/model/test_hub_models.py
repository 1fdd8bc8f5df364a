"""Whole models by their names on the hub, which a server on this machine plays."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import constants

import semiseg
from semiseg.cli import main
from semiseg.core.errors import ConfigError, HubError, RunError
from semiseg.inference.load import is_model
from semiseg.model.hub_models import local_run, pinned

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "hf-hub:ecologist/beetles"
TINY = {"weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 2, "validations": 1}
TINY |= {"workers": 0, "accelerator": "cpu", "method": "supervised"}


@pytest.fixture(scope="module")
def uploaded(css_release, tmp_path_factory):
    """The folder that `hf upload` would upload."""
    out = tmp_path_factory.mktemp("hub") / "beetles"
    return semiseg.export(css_release, out=out, file_format="hub", license="cc-by-4.0").path


@pytest.fixture
def hub(uploaded, tmp_path, monkeypatch):
    """A hub with one model, and the paths that it was asked for."""
    asked = []
    pages = {f"/ecologist/beetles/resolve/{COMMIT}/{f.name}": f for f in uploaded.iterdir()}
    pages[f"/ecologist/other/resolve/{COMMIT}/README.md"] = uploaded / "README.md"

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self, with_content=True):
            asked.append(self.path)
            path = self.path.partition("?")[0]
            parts = path.split("/")
            files = [
                f.rsplit("/", 1)[1] for f in pages if f.startswith(f"/{'/'.join(parts[3:5])}/")
            ]
            if path in pages:
                self.answer(pages[path].read_bytes(), with_content, ETag=f'"{path}"')
            elif path.startswith("/api/models/") and "/tree/" in path and files:
                tree = [{"type": "file", "path": f, "size": 1, "oid": "a" * 40} for f in files]
                self.answer(json.dumps(tree).encode(), with_content)
            elif path.startswith("/api/models/") and files and parts[-1] in ("main", COMMIT):
                about = {"id": "/".join(parts[3:5]), "sha": COMMIT}
                about["siblings"] = [{"rfilename": f} for f in files]
                self.answer(json.dumps(about).encode(), with_content)
            else:
                code = "RevisionNotFound" if files else "RepoNotFound"
                self.answer(b"", with_content, 404, **{"X-Error-Code": code})

        def do_HEAD(self):
            self.do_GET(with_content=False)

        def answer(self, content, with_content, status=200, **headers):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if with_content:
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield asked
    server.shutdown()
    server.server_close()


def test_a_model_is_loaded_by_its_name_and_then_without_the_hub(
    hub, uploaded, monkeypatch, tmp_path
):
    model = semiseg.load(NAME, accelerator="cpu")
    original = semiseg.load(uploaded, accelerator="cpu")
    image = np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8)
    np.testing.assert_array_equal(model.predict(image).mask, original.predict(image).mask)
    assert model.metadata == original.metadata
    assert model.metadata.license == "cc-by-4.0"
    downloaded = {path.rsplit("/", 1)[1] for path in hub if "/resolve/" in path}
    assert downloaded == {"model.safetensors", "model.json"}  # nothing else is asked for
    hub.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    again = semiseg.load(f"{NAME}@{COMMIT}", accelerator="cpu")
    assert again.metadata == model.metadata
    assert not hub


def test_commands_take_the_name_in_place_of_a_run(hub, tiny_folder, tmp_path, capsys):
    main(["predict", NAME, str(tiny_folder / "val"), "--out", str(tmp_path / "masks")])
    assert "masks written" in capsys.readouterr().out
    assert list((tmp_path / "masks").rglob("*.png"))
    main(["evaluate", NAME, str(tiny_folder), "--accelerator", "cpu"])
    assert "mIoU" in capsys.readouterr().out


@pytest.mark.slow
def test_a_training_starts_from_the_model_and_notes_its_commit(hub, tiny_folder, tmp_path, log):
    plan = semiseg.plan(tiny_folder, start_from=NAME, **TINY)
    assert "lcnet_035" in plan.text()
    words = {"out": tmp_path / "run", "decoder": "fpn"}
    run = semiseg.train(tiny_folder, start_from=NAME, **words, **TINY).folder
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["start_from"] == f"{NAME}@{COMMIT}"
    assert config["encoder"] == "lcnet_035"
    assert f"starting from {NAME}@{COMMIT}" in log.text


def test_what_the_hub_does_not_give_is_said_in_one_sentence(hub, monkeypatch, tmp_path):
    for name, message in {
        "hf-hub:ecologist/gone": "does not give ecologist/gone to you",
        f"{NAME}@old": "has no revision 'old'",
        "hf-hub:ecologist/other": r"holds no model of semiseg: it has no model\.json",
    }.items():
        with pytest.raises(HubError, match=message):
            semiseg.load(name)
    with pytest.raises(ConfigError, match="hf-hub:a/b/c names no model: write hf-hub:OWNER/NAME"):
        semiseg.load("hf-hub:a/b/c")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        semiseg.load("hf-hub:ecologist/never-asked")


def test_a_folder_is_no_name_and_a_forgotten_prefix_is_named(tmp_path):
    assert local_run(tmp_path) == pinned(tmp_path) == tmp_path
    assert is_model(Path(NAME))
    with pytest.raises(RunError, match=r"a model on the hub \(hf-hub:OWNER/NAME\)"):
        semiseg.load("ecologist/beetles")


def test_a_model_that_was_damaged_on_its_way_is_refused(hub, uploaded, tmp_path):
    folder = Path(shutil.copytree(local_run(Path(NAME)), tmp_path / "copy"))
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-5] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(RunError, match="cannot be read"):
        semiseg.load(folder)
