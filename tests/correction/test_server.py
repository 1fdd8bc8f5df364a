"""The server behind the page: what it gives, what it writes, and whom it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

import semiseg
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.correction.access import Access
from semiseg.correction.earlier import check_data, warn_of_lost_loop
from semiseg.correction.masks import Masks
from semiseg.correction.model_view import ModelView
from semiseg.correction.queue import States, read_queue
from semiseg.correction.serve import open_port, prepare_queue
from semiseg.correction.server import application
from semiseg.data.corrected import DECISIONS
from semiseg.data.formats.masks import Classes, read_mask
from semiseg.model.release import load_release

ACCESS = Access(8123, "secret")
ADDRESS = "http://127.0.0.1:8123"
TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture
def client(corrections, rounds):
    return TestClient(application(corrections, rounds, ACCESS), base_url=ADDRESS, headers=TOKEN)


def test_the_queue_has_the_order_of_suggest_and_the_classes(client, folder, model):
    content = client.get("/api/queue").json()
    lines = (folder / "suggested.txt").read_text().splitlines()
    names = [image["name"] for image in content["images"]]
    assert len(names) == len(lines) == 3
    assert all(
        Path(line).with_suffix("").as_posix().endswith(f"/{name}")
        for line, name in zip(lines, names, strict=True)
    )
    classes = client.get("/api/classes").json()["classes"]
    assert [one["name"] for one in classes] == list(model.classes.names)
    assert {image["state"] for image in content["images"]} == {"open"}


def test_windows_of_rasters_keep_the_order_of_suggest(tmp_path):
    windows = [f"field/x{x}-y0-w8-h8" for x in (16, 0, 8)]
    for name in windows:
        for kind in ("images", "masks"):
            file = tmp_path / "train" / kind / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    lines = [f"/maps/{name.replace('field', 'field.tif')}\n" for name in windows]
    (tmp_path / "suggested.txt").write_text("".join(lines))
    assert [item.name for item in read_queue(tmp_path)] == windows


def test_a_mask_is_saved_byte_by_byte_and_keeps_its_format(client, folder, corrections, model):
    item = corrections.content.items[1]
    before = Image.open(item.mask)
    answer = client.get("/api/masks/1")
    width, height = (int(answer.headers[f"x-{name}"]) for name in ("width", "height"))
    assert (width, height) == before.size
    labels = np.frombuffer(answer.content, np.uint8).reshape(height, width).copy()
    assert np.array_equal(labels, np.array(read_mask(item.mask, model.classes)))
    labels[3:9, 5:20] = 1
    labels[0, 0] = 255
    headers = {"If-Match": answer.headers["etag"]}
    saved = client.put("/api/masks/1", content=labels.tobytes(), headers=headers)
    assert saved.status_code == 204
    after = Image.open(item.mask)
    assert after.mode == before.mode
    assert after.getpalette() == before.getpalette()
    assert np.array_equal(np.array(read_mask(item.mask, model.classes)), labels)
    assert client.get("/api/masks/1").headers["etag"] == saved.headers["etag"]


def test_two_pages_do_not_overwrite_each_other(client, corrections):
    answer = client.get("/api/masks/0")
    headers = {"If-Match": answer.headers["etag"]}
    mine = bytes(len(answer.content))
    assert client.put("/api/masks/0", content=mine, headers=headers).status_code == 204
    theirs = b"\1" * len(mine)
    refused = client.put("/api/masks/0", content=theirs, headers=headers)
    assert refused.status_code == 412
    assert "changed by another page" in refused.json()["error"]
    assert client.get("/api/masks/0").content == mine
    assert client.put("/api/masks/0", content=theirs).status_code == 428


def test_a_mask_that_another_page_has_changed_is_not_accepted(client, corrections):
    before = client.get("/api/masks/0")
    headers = {"If-Match": before.headers["etag"]}
    other = bytes(len(before.content))
    assert client.put("/api/masks/0", content=other, headers=headers).status_code == 204
    assert client.put("/api/states/0?state=accepted", headers=headers).status_code == 412
    assert client.get("/api/queue").json()["images"][0]["state"] == "open"
    headers = {"If-Match": client.get("/api/masks/0").headers["etag"]}
    assert client.put("/api/states/0?state=accepted", headers=headers).status_code == 204
    assert client.get("/api/queue").json()["images"][0]["state"] == "accepted"


@pytest.mark.parametrize("wrong", [b"", b"\0" * 10, b"\0" * (48 * 64 + 1), b"\xc8" * (48 * 64)])
def test_a_mask_of_another_size_or_of_no_class_is_refused(client, corrections, wrong):
    mask = corrections.content.items[0].mask
    before = mask.read_bytes()
    headers = {"If-Match": client.get("/api/masks/0").headers["etag"]}
    answer = client.put("/api/masks/0", content=wrong, headers=headers)
    assert answer.status_code == (422 if len(wrong) == 48 * 64 else 413)
    assert mask.read_bytes() == before


def test_decisions_survive_a_restart(client, folder, corrections):
    assert client.put("/api/states/0?state=accepted").status_code == 204
    assert client.put("/api/states/2?state=skipped").status_code == 204
    assert client.put("/api/states/1?state=wonderful").status_code == 400
    states = States(folder)
    names = [item.name for item in read_queue(folder)]
    assert [states[name] for name in names] == ["accepted", "open", "skipped"]
    (folder / DECISIONS).write_text(json.dumps({"format": 1, "states": {"a": "wonderful"}}))
    with pytest.raises(RunError, match="the state of a is 'wonderful'"):
        States(folder)


def test_two_servers_forget_no_decision_and_no_class(folder, model):
    one, other = States(folder), States(folder)
    one.set("a", "accepted")
    other.set("b", "skipped")
    assert dict(one.items()) == dict(other.items()) == {"a": "accepted", "b": "skipped"}
    mine, theirs = (Masks(model.classes, folder) for _ in range(2))
    mine.add_class("gravel", (1, 2, 3))
    theirs.add_class("reed", (4, 5, 6))
    mine.read(read_queue(folder)[0].mask)
    assert mine.classes == theirs.classes
    assert mine.classes.names == (*model.classes.names, "gravel", "reed")


def test_many_decisions_at_once_are_all_written(folder):
    names = [f"image{number}" for number in range(40)]
    states = States(folder)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: states.set(name, "accepted"), names))
    again = States(folder)
    assert [again[name] for name in names] == ["accepted"] * len(names)


def test_a_decision_that_is_not_written_does_not_count(client, corrections, folder):
    (folder / f"{DECISIONS}.part").mkdir()  # in the way of the new file
    response = client.put("/api/states/0?state=accepted")
    assert response.status_code == 507
    assert "cannot be read or written" in response.json()["error"]
    assert corrections.content.states[corrections.content.items[0].name] == "open"


def test_a_pixel_is_most_like_itself(client, corrections):
    answer = client.get("/api/alike/0?x=0.5&y=0.25")
    height, width = (int(answer.headers[f"x-{name}"]) for name in ("height", "width"))
    alike = np.frombuffer(answer.content, np.uint8).reshape(height, width)
    assert alike[height // 4, width // 2] > np.percentile(alike, 50)
    assert client.get("/api/alike/0?x=2&y=0").status_code == 400
    assert client.get("/api/alike/0?x=0").status_code == 400


def test_alike_pixels_lie_where_they_are_in_an_image_of_any_size(model, tmp_path, monkeypatch):
    """The sides of this image at working size are 50 and 48, and a cell is 4 pixels wide."""
    picture = np.full((96, 100, 3), 20, np.uint8)
    picture[:, 92:] = 230
    Image.fromarray(picture).save(tmp_path / "edge.png")
    view = ModelView(model)
    cells = np.zeros((2, 12, 13), np.float32)
    cells[0, :, :12], cells[1, :, 12:] = 1, 1  # the last cell begins at 48 of 50 pixels
    monkeypatch.setattr(view, "_vectors", lambda _: torch.from_numpy(cells))
    alike = view.alike(tmp_path / "edge.png", 0.99, 0.5)
    assert (alike[48, 97:] > 200).all()
    assert (alike[48, :88] < 140).all()
    assert (alike[48, :88] < alike[48, 96]).all()
    assert view.alike(tmp_path / "edge.png", 0.5, 0.5)[48, 50] > 250


def test_a_run_that_learned_from_shapes_is_refused_before_anything_is_written(
    tmp_path, tiny_run, monkeypatch
):
    release = load_release(tiny_run("css"))
    classes = replace(release.metadata.classes, encoding="labels")
    shapes = release._replace(metadata=replace(release.metadata, classes=classes))
    monkeypatch.setattr("semiseg.correction.serve.load_release", lambda _: shapes)
    with pytest.raises(ConfigError, match="learned from shapes"):
        prepare_queue(
            tiny_run("css"), tmp_path, tmp_path / "next", n=3, data=None, accelerator="cpu"
        )
    assert not (tmp_path / "next").exists()


def test_the_doubt_is_that_of_the_model(client, corrections, model):
    answer = client.get("/api/doubt/0")
    height, width = (int(answer.headers[f"x-{name}"]) for name in ("height", "width"))
    doubt, disagreement = np.frombuffer(answer.content, np.uint8).reshape(2, height, width)
    prediction = model.predict(corrections.content.items[0].image, scale="fit")
    assert np.array_equal(doubt, ((1 - prediction.confidence) * 255).astype(np.uint8))
    assert np.array_equal(disagreement, prediction.nearest != prediction.mask)


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({"Host": "evil.example"}, "/"),
        ({"Host": "127.0.0.1:9999"}, "/api/queue"),
        ({"Origin": "https://evil.example"}, "/api/queue"),
        ({"Origin": "null"}, "/api/queue"),
        ({"Authorization": ""}, "/api/queue"),
        ({"Authorization": "Bearer wrong"}, "/api/images/0"),
    ],
)
def test_strangers_are_refused(client, headers, path):
    answer = client.get(path, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]


def test_the_page_may_contact_its_own_server_only(client):
    answer = client.get("/", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert "http" not in answer.text.replace("<!doctype html>", "")
    for name in ("../server.py", "..%2fserver.py", "missing.js", "view.py"):
        assert client.get(f"/page/{name}").status_code in (403, 404)
    assert client.get("/page/main.js").headers["content-type"].startswith("text/javascript")


def test_unknown_images_and_broken_files_are_no_traceback(client, corrections):
    assert client.get("/api/masks/99").status_code == 404
    corrections.content.items[2].mask.write_bytes(b"no PNG")
    answer = client.get("/api/masks/2")
    assert answer.status_code == 422
    assert str(corrections.content.items[2].mask) in answer.json()["error"]


@pytest.mark.servers
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_after_ctrl_c_the_next_commands_are_printed(folder, tiny_run):
    states = States(folder)
    states.set(read_queue(folder)[0].name, "accepted")
    words = [sys.executable, "-m", "semiseg", "correct", str(tiny_run("css")), "--no-browser"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*words, "--out", str(folder)], **pipes) as process:
        address = next(line for line in process.stderr if "http://" in line)
        port = int(address.partition("127.0.0.1:")[2].partition("/")[0])
        with urlopen(f"http://127.0.0.1:{port}/") as page:
            assert b"Correct masks" in page.read()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
    assert process.returncode == 0
    assert output.startswith(f"1 of 3 masks in {folder} accepted or skipped")
    assert "semiseg train" in output
    assert f"2 masks are left. Go on with: semiseg correct {tiny_run('css')}" in output


def test_the_port_is_checked_before_images_are_chosen(tmp_path, tiny_run, tiny_folder):
    arguments = {"out": tmp_path / "next", "browser": False}
    with pytest.raises(ConfigError, match="from 0 to 65535"):
        semiseg.correct(tiny_run("css"), tiny_folder, port=99999, **arguments)
    with open_port(0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"The port {port} cannot be used"):
            semiseg.correct(tiny_run("css"), tiny_folder, port=port, **arguments)
    assert not (tmp_path / "next").exists()


def test_data_that_are_gone_are_told_at_the_start(tmp_path, tiny_run, caplog):
    with pytest.raises(ConfigError, match=r"There is no folder .*data\. Correct --data"):
        check_data(tiny_run("css"), tmp_path / "data")
    run = tmp_path / "run"
    run.mkdir()
    config = (tiny_run("css") / "config.yaml").read_text()
    lines = [
        f"data: {tmp_path / 'data'}" if x.startswith("data:") else x for x in config.split("\n")
    ]
    (run / "config.yaml").write_text("\n".join(lines))
    check_data(run, None)
    assert "--data FOLDER" in caplog.text


def test_runs_of_a_loop_that_is_gone_are_named(tmp_path, tiny_run, caplog):
    run, second = tmp_path / "first", tmp_path / "first-2"
    second.mkdir()
    shutil.copy(tiny_run("css") / "scores.json", second)
    gone = tmp_path / "next" / "accepted-first-2-abcd"
    config = (tiny_run("css") / "config.yaml").read_text()
    (second / "config.yaml").write_text(config.replace("corrected: []", f"corrected: [{gone}]"))
    warn_of_lost_loop(run, tmp_path / "next")
    assert f"semiseg correct {second} IMAGES --out {tmp_path / 'next-2'}" in caplog.text
    caplog.clear()
    gone.mkdir(parents=True)
    warn_of_lost_loop(run, tmp_path / "next")
    assert not caplog.text


def test_a_folder_without_masks_says_how_to_get_them(tmp_path):
    with pytest.raises(DataError, match="semiseg suggest RUN IMAGES --out"):
        read_queue(tmp_path)


def test_files_of_another_tool_are_refused(folder, tiny_run):
    (folder / "train" / "annotations.json").touch()
    with pytest.raises(ConfigError, match="COCO's annotations"):
        prepare_queue(tiny_run("css"), None, folder, n=3, data=None, accelerator="cpu")


def test_without_masks_and_without_images_it_says_what_to_name(tmp_path, tiny_run):
    with pytest.raises(ConfigError, match="Name the images to choose from"):
        prepare_queue(tiny_run("css"), None, tmp_path, n=3, data=None, accelerator="cpu")


@pytest.mark.parametrize(
    ("encoding", "ignored"), [("ids", 255), ("colors", 0xFFFFFF), ("colors", 0x000000)]
)
def test_masks_keep_ids_above_a_byte_and_colors(tmp_path, encoding, ignored):
    codes = (7, 300) if encoding == "ids" else (0xFF0000, 0x00FF00)
    colors = ((255, 0, 0), (0, 255, 0))
    classes = Classes(("soil", "crop"), colors, encoding, codes, (ignored,))
    labels = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
    file = tmp_path / "mask.png"
    picture = classes.to_rgb(labels * 0) if encoding == "colors" else classes.to_image(labels * 0)
    picture.save(file)
    masks = Masks(classes, tmp_path)
    masks.write(file, labels, masks.read(file).revision)
    assert np.array_equal(masks.read(file).labels, labels)
