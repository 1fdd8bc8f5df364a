"""The page trains on: masks, processes, rounds, and what survives a restart of the server."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from semiseg.core.errors import DataError, RunError
from semiseg.correction.accepted import copy_accepted
from semiseg.correction.access import Access
from semiseg.correction.loop import LOOP_FILE, Training, open_loop
from semiseg.correction.queue import States
from semiseg.correction.rounds import Rounds
from semiseg.correction.server import Corrections, application
from semiseg.correction.train_on import BusyError, TrainOn, last_words, log_of
from semiseg.data.reader import load_dataset
from semiseg.suggestion.suggest import suggest
from semiseg.training.run_lock import lock_run

FAKE = """
import json, shutil, signal, sys, time
from pathlib import Path
words, place = sys.argv[1:], Path(__file__).parent
out = Path(words[words.index("--out") + 1])
(place / "calls.txt").open("a").write(json.dumps(words) + "\\n")
if (place / "broken").exists():
    print("semiseg: The memory is too small. Use a smaller --crop.", file=sys.stderr)
    sys.exit(2)
first = Path((place / "first.txt").read_text())
out.mkdir(exist_ok=True)
text = (first / "config.yaml").read_text().replace("steps: 4", "steps: 40")
if "--corrected" in words:
    folder = words[words.index("--corrected") + 1]
    text = text.replace("corrected: []", f"corrected: [{folder}]")
(out / "config.yaml").write_text(text)
(out / "metrics.csv").write_text("step,val/miou_student,val/miou_teacher\\n19,,\\n20,40.5,50.25\\n")
(place / "ready").touch()
while not (place / "go").exists():
    time.sleep(0.01)
scores = json.loads((first / "scores.json").read_text())
scores["miou"]["released"] = float((place / "go").read_text())
for name in ("model.safetensors", "model.json"):
    shutil.copy(first / name, out)
shutil.copytree(first / "split", out / "split", dirs_exist_ok=True)
(out / "scores.json").write_text(json.dumps(scores))
"""
ACCESS = Access(8123, "secret")
TOKEN = {"Authorization": "Bearer secret"}


class Desk:
    """A queue, a program that trains in no time, and the server."""

    def __init__(self, folder, first, images, place):
        self.folder, self.first, self.images, self.place = folder, first, images, place
        (place / "fake.py").write_text(FAKE)
        (place / "first.txt").write_text(str(first))
        self.restart()

    def restart(self):
        """A new server, which knows only what the files say."""
        loop = open_loop(self.folder, self.first, self.images)
        self.trainer = TrainOn(loop, program=(sys.executable, str(self.place / "fake.py")))
        self.rounds = Rounds(loop, self.trainer, n=1, data=None, accelerator="cpu")
        corrections = Corrections(self.rounds.content())
        app = application(corrections, self.rounds, ACCESS)
        self.client = TestClient(app, base_url="http://127.0.0.1:8123", headers=TOKEN)

    def accept(self, *numbers, state="accepted"):
        for number in numbers:
            assert self.client.put(f"/api/states/{number}?state={state}").status_code == 204

    def post(self, path, status=200):
        answer = self.client.post(f"/api/{path}")
        assert answer.status_code == status, answer.text
        return answer.json()

    def report(self):
        return self.client.get("/api/training").json()

    def until(self, state):
        while (report := self.report())["state"] != state:
            time.sleep(0.02)
        return report

    def until_ready(self):
        while not (self.place / "ready").exists():
            time.sleep(0.02)

    def end(self, miou):
        """Let the training end with a score."""
        (self.place / "go.part").write_text(str(miou))
        (self.place / "go.part").rename(self.place / "go")
        report = self.until("finished")
        (self.place / "go").unlink()
        (self.place / "ready").unlink()
        return report

    def calls(self):
        return [json.loads(line) for line in (self.place / "calls.txt").read_text().splitlines()]


@pytest.fixture
def desk(folder, tiny_run, tiny_folder, tmp_path):
    ignored = shutil.ignore_patterns("checkpoints", "diagnostics")
    first = Path(shutil.copytree(tiny_run("css"), tmp_path / "runs" / "first", ignore=ignored))
    (tmp_path / "place").mkdir()
    made = Desk(folder, first, tiny_folder, tmp_path / "place")
    yield made
    if made.trainer.report().state == "running":
        made.trainer.stop()
        made.until("stopped")


def miou_of(run):
    return json.loads((run / "scores.json").read_text())["miou"]["released"]


def test_accepted_masks_train_on_and_the_data_stay_as_they_are(desk, tiny_folder):
    before = {p: p.stat().st_mtime_ns for p in tiny_folder.rglob("*") if p.is_file()}
    assert desk.report()["state"] == "none"
    assert "No mask is accepted" in desk.post("training", 422)["error"]
    desk.accept(0, 2)
    desk.accept(1, state="skipped")
    names = sorted(States(desk.folder).items())
    report = desk.post("training")
    assert (report["state"], report["masks"]) == ("running", 2)
    assert "runs already" in desk.post("training", 409)["error"]
    desk.until_ready()
    (words,) = desk.calls()
    (corrected,) = desk.folder.glob("accepted-first-2-*")
    second = desk.first.with_name("first-2")
    assert words == [
        *("train", "--config", str(desk.first / "config.yaml"), "--start-from", str(desk.first)),
        *("--corrected", str(corrected), "--out", str(second)),
    ]
    copies = load_dataset(corrected).train
    assert [s.name for s in copies] == [name for name, state in names if state == "accepted"]
    assert all(s.mask is not None for s in copies)
    report = desk.report()
    assert (report["step"], report["steps"], report["miou"]) == (20, 40, 50.25)
    assert report["before"] == miou_of(desk.first)
    assert {p: p.stat().st_mtime_ns for p in tiny_folder.rglob("*") if p.is_file()} == before


def test_later_corrections_do_not_change_the_masks_of_a_training(desk):
    desk.accept(0)
    desk.post("training")
    mask = next(desk.folder.glob("accepted-*/train/masks/*.png"))
    before = mask.read_bytes()
    answer = desk.client.get("/api/masks/0")
    headers = {"If-Match": answer.headers["etag"]}
    other = bytes(len(answer.content))
    assert desk.client.put("/api/masks/0", content=other, headers=headers).status_code == 204
    desk.accept(0, state="skipped")
    assert mask.read_bytes() == before


def test_copies_of_other_masks_never_get_the_name_of_earlier_ones(desk, tmp_path):
    run = tmp_path / "runs" / "first-2"
    desk.accept(0)
    before, _ = copy_accepted(desk.rounds.loop, run)
    shutil.rmtree(before)
    assert copy_accepted(desk.rounds.loop, run)[0] == before  # the same masks
    shutil.rmtree(before)
    mask = desk.rounds.content().items[0].mask
    with Image.open(mask) as image:
        flipped = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    flipped.save(mask)
    assert copy_accepted(desk.rounds.loop, run)[0].name != before.name


def test_a_new_server_finds_the_training_and_stops_and_resumes_it(desk):
    desk.accept(0)
    desk.post("training")
    desk.until_ready()
    child = desk.trainer._child
    desk.restart()
    assert desk.report()["state"] == "running"
    desk.post("training/stop")
    assert child.wait() == -signal.SIGTERM  # the real program saves a checkpoint and ends with 143
    assert desk.until("stopped")["step"] == 20
    assert "is stopped" in desk.rounds.next_steps()
    desk.restart()
    assert desk.report()["state"] == "stopped"
    (desk.place / "ready").unlink()
    assert desk.post("training/resume")["state"] == "running"
    desk.until_ready()
    assert desk.calls()[-1][-3:] == ["--out", str(desk.first.with_name("first-2")), "--resume"]
    desk.end(70.0)
    desk.restart()
    assert desk.report()["state"] == "finished"
    desk.post("training/stop", 409)
    desk.post("training/resume", 409)


def test_a_failure_is_told_in_the_words_of_the_program(desk):
    desk.accept(0)
    (desk.place / "broken").touch()
    desk.post("training")
    assert desk.until("failed")["error"] == "The memory is too small. Use a smaller --crop."
    steps = desk.rounds.next_steps()
    assert "failed; its messages are in" in steps
    assert "The memory is too small." in steps
    (desk.place / "broken").unlink()
    desk.post("training/resume")
    desk.end(50.0)
    assert desk.calls()[0] == desk.calls()[1]  # nothing was there to resume


def test_the_next_round_is_chosen_by_the_better_model(desk):
    desk.accept(0)
    desk.accept(1, state="skipped")
    desk.post("rounds", 409)
    desk.post("training")
    report = desk.end(miou_of(desk.first) + 1)
    second = str(desk.first.with_name("first-2"))
    assert report["can_go_on"]
    assert report["best"] == second
    assert desk.post("rounds")["round"] == 2
    queue = desk.client.get("/api/queue").json()
    seen = {name for name, _ in States(desk.folder).items()}
    assert queue["round"] == 2
    assert len(queue["images"]) == 1
    assert not seen & {image["name"] for image in queue["images"]}
    answer = desk.client.put("/api/states/0?state=accepted", headers={"X-Round": "1"})
    assert answer.status_code == 409  # of a page that was not loaded again
    assert not desk.report()["can_go_on"]
    desk.restart()
    assert desk.client.get("/api/queue").json()["round"] == 2
    desk.accept(0)
    report = desk.post("training")
    assert report["masks"] == 2  # those of both rounds
    assert desk.end(0.0)["best"] == second  # the third model is worse
    words = desk.calls()[-1]
    assert words[words.index("--start-from") + 1] == second
    (corrected,) = desk.folder.with_name("next-2").glob("accepted-first-3-*")
    assert words[words.index("--corrected") + 1] == str(corrected)
    steps = desk.rounds.next_steps()
    assert "first-2: mIoU" in steps
    assert "first-3: mIoU 0.0 %" in steps


def test_a_new_class_is_in_the_next_round_of_an_older_model(desk):
    new = {"name": "gravel", "color": "#010203"}
    assert desk.client.post("/api/classes", json=new).status_code == 201
    desk.accept(0)
    desk.post("training")
    assert desk.end(0.0)["best"] == str(desk.first)  # which does not know the class
    desk.post("rounds")
    names = [one["name"] for one in desk.client.get("/api/classes").json()["classes"]]
    assert names[-1] == "gravel"
    desk.post("training")
    desk.until_ready()
    words = desk.calls()[-1]
    assert "gravel" in Path(words[words.index("--classes") + 1]).read_text()


def test_what_two_servers_write_at_once_is_all_kept(desk):
    mine = desk.rounds.loop
    other = open_loop(desk.folder, desk.first, desk.images)
    mine.begin_round(desk.folder.with_name("next-2"), desk.first)
    training = Training("run", "first", "corrected", 1, ["train"])
    other.begin_training(training)
    mine.change_training(is_stopped=True)
    other.reload()
    assert mine.record == other.record
    assert len(other.record.rounds) == 2
    assert other.training == replace(training, is_stopped=True)


def test_a_training_of_another_program_is_not_stopped(desk):
    desk.accept(0)
    desk.post("training")
    desk.until_ready()
    child = desk.trainer._child
    desk.rounds.loop.change_training(pid=0)
    desk.restart()
    with lock_run(desk.first.with_name("first-2")):
        assert desk.report()["state"] == "running"
        assert "Stop it where it was started" in desk.post("training/stop", 409)["error"]
    assert child.poll() is None
    child.kill()
    child.wait()


def test_masks_that_are_accepted_later_are_in_the_printed_command(desk):
    assert "No mask is accepted yet" in desk.rounds.next_steps()
    desk.accept(0)
    steps = desk.rounds.next_steps()
    assert "1 accepted mask" in steps
    assert f"--corrected {desk.folder}" in steps
    assert f"--out {desk.first}-2" in steps
    assert "2 masks are left. Go on with: semiseg correct" in steps
    desk.post("training")
    assert "The training goes on in" in desk.rounds.next_steps()
    desk.end(50.0)
    assert "--corrected" not in desk.rounds.next_steps()


def test_data_that_moved_are_named_in_the_commands_and_gone_ones_start_nothing(desk, tmp_path):
    loop = desk.rounds.loop
    moved = Rounds(loop, TrainOn(loop, tmp_path), n=1, data=tmp_path, accelerator="cpu")
    assert f"--out {desk.folder} --data {tmp_path}" in moved.next_steps()
    desk.accept(0)
    with pytest.raises(DataError, match="--data FOLDER"):
        TrainOn(loop, tmp_path / "gone").start()
    assert not list(desk.folder.glob("accepted-*"))
    shutil.rmtree(desk.folder)
    assert "semiseg" not in desk.rounds.next_steps()


def test_two_servers_start_one_training_and_show_one_round(desk):
    other = Desk(desk.folder, desk.first, desk.images, desk.place)
    desk.accept(0)
    desk.post("training")
    assert "runs already" in other.post("training", 409)["error"]
    desk.end(50.0)
    assert other.report()["state"] == "finished"
    desk.post("rounds")
    assert other.report()["round"] == 2
    assert other.client.get("/api/queue").json() == desk.client.get("/api/queue").json()


def test_a_run_whose_settings_are_gone_is_not_trained_on(desk):
    desk.accept(0)
    (desk.first / "config.yaml").write_text("data: [")
    assert "cannot be read" in desk.post("training", 500)["error"]
    assert not list(desk.folder.glob("*accepted*"))


@pytest.mark.parametrize("path", ["training", "training/stop", "training/resume", "rounds"])
def test_foreign_pages_start_nothing(desk, path):
    desk.accept(0)
    address = f"/api/{path}"
    assert desk.client.post(address, headers={"Authorization": ""}).status_code == 403
    assert desk.client.post(address, headers={"Origin": "http://evil.example"}).status_code == 403
    assert desk.client.post(address, headers={"Host": "evil.example"}).status_code == 403
    assert desk.client.get(f"/api/{path}").status_code == (200 if path == "training" else 405)
    assert desk.report()["state"] == "none"


def test_a_loop_belongs_to_its_runs(desk, tmp_path):
    desk.accept(0)
    desk.post("training")
    desk.end(50.0)
    with pytest.raises(RunError, match="began with"):
        open_loop(desk.folder, tmp_path / "other", None)
    file = desk.folder / LOOP_FILE
    whole = file.read_text()
    file.write_text("{}")
    with pytest.raises(RunError, match=r"loop\.json cannot be read"):
        open_loop(desk.folder, desk.first, None)
    file.write_text(whole)


def test_where_no_sentence_says_what_was_wrong_the_last_lines_do(tmp_path):
    log = log_of(tmp_path / "run")
    log.write_text("$ semiseg train\nsemiseg: terminated.\n$ semiseg train\n· a\n\nKeyError: 'b'\n")
    assert last_words(log).startswith("KeyError: 'b'\n")
    log.write_text("$ semiseg train\n· step 1/2\nwarning: few images\n")
    assert last_words(log).startswith("Something ended it from outside")
    log.write_text("$ semiseg train\n")
    assert last_words(log).startswith("Something ended it from outside")
    assert "left no message" in last_words(tmp_path / "none")


def test_the_queue_must_hold_accepted_masks(desk):
    with pytest.raises(DataError, match="No mask is accepted"):
        desk.trainer.start()
    with pytest.raises(BusyError):
        desk.trainer.stop()


def test_a_broken_image_of_the_data_is_told_and_no_training_uses_it(
    tiny_run, tiny_folder, tmp_path, caplog
):
    data = Path(shutil.copytree(tiny_folder, tmp_path / "data"))
    broken = data / "unlabeled" / "broken.jpg"
    broken.write_bytes(b"no image")
    suggest(tiny_run("css"), data, out=tmp_path / "next", n=1, data=data)
    assert f"1 image of {data} cannot be read (the first is {broken})" in caplog.text
    assert [sample.image for sample in load_dataset(data).left_out] == [broken]
