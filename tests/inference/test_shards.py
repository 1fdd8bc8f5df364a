"""Predictions in shards: the split, the ledgers, and the table that joins them."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.cli import main
from semiseg.config.shard import Shard, hash_name, parse_shard
from semiseg.core.errors import ConfigError, DataError, RunError, SettingError
from semiseg.inference import image_job
from semiseg.inference.delivery import predict_all_into
from semiseg.inference.figures import Record, Tally
from semiseg.inference.image_sources import Selection
from semiseg.inference.ledger import may_keep_ledger, open_ledger
from semiseg.inference.ledger_file import End, Header, ledger_file, read_ledger
from semiseg.inference.ledger_table import join_ledgers
from semiseg.inference.raster_prediction import model_sha256

CPU = {"accelerator": "cpu"}
BROKEN = "cam/broken"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eleven photographs of three sizes in two folders, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "cam").mkdir()
    rng = np.random.default_rng(0)
    for number in range(11):
        size = [(48, 64), (40, 40), (64, 48)][number % 3]
        name = f"cam/{number}.png" if number % 2 else f"{number}.jpg"
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    (folder / f"{BROKEN}.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def plain(plain_release, photos, tmp_path_factory):
    """The masks of a plain call, and the table of one that asks for it."""
    out = tmp_path_factory.mktemp("plain") / "out"
    with pytest.raises(DataError, match=r"(?s)1 of 12 images could not be read.*broken\.png"):
        semiseg.predict(plain_release, photos, out=out, table=True, **CPU)
    return out


def segment(run, images, out, shard, **more):
    """One shard. The broken image is reported, and does not stop the test."""
    try:
        semiseg.predict(run, images, out=out, shard=shard, **CPU, **more)
    except DataError as error:
        if "could not be read" not in str(error):
            raise


def masks(out):
    files = sorted(out.rglob("*.png"))
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in files}


def times(out):
    return {file: file.stat().st_mtime_ns for file in out.rglob("*.png")}


def rows(out):
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_name_belongs_to_one_shard():
    names = [f"folder/{number}" for number in range(1000)]
    shards = [Shard(number, 7) for number in range(1, 8)]
    held = [[shard.holds(hash_name(name)) for shard in shards] for name in names]
    assert all(sum(row) == 1 for row in held)
    assert min(np.sum(held, axis=0)) > 100


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "3/0", "-1/4", "1/2/3"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(SettingError, match="such as 3/64"):
        parse_shard(text)


def test_shards_write_what_a_plain_call_writes(plain_release, photos, plain, tmp_path, capsys):
    out = tmp_path / "out"
    for shard in ("1/2", "2/2"):
        segment(plain_release, photos, out, shard)
    assert masks(out) == masks(plain)
    words = ["predict", str(plain_release), str(photos), "--out", str(out), "--merge"]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2  # as a plain call with a broken image
    shown = capsys.readouterr().out
    assert "12 images" in shown
    assert "1 failed, 11 written" in shown
    assert "broken.png" in shown
    assert rows(out) == rows(plain)


def test_the_table_says_what_the_masks_hold(plain_release, photos, plain):
    model = semiseg.load(plain_release, accelerator="cpu")
    table = {row["name"]: row for row in rows(plain)}
    assert list(table) == sorted(table)
    assert table[BROKEN]["state"] == "failed"
    assert "broken.png" in table[BROKEN]["reason"]
    assert table[BROKEN]["confidence"] == table[BROKEN]["mask"] == ""
    row, prediction = table["cam/1"], model.predict(photos / "cam" / "1.png")
    assert (row["state"], row["mask"]) == ("written", "cam/1.png")
    assert float(row["confidence"]) == pytest.approx(prediction.confidence.mean(), abs=1e-5)
    counts = np.bincount(prediction.mask.reshape(-1), minlength=len(model.classes))
    shares = [float(row[f"share_{name}"]) for name in model.classes.names]
    np.testing.assert_allclose(shares, counts / prediction.mask.size, atol=1e-5)


def test_a_killed_shard_goes_on_to_the_same_ledger(
    plain_release, photos, plain, tmp_path, monkeypatch
):
    """Killed between the line of an image and its mask, and while a line was written."""
    out, shard = tmp_path / "out", Shard(1, 1)
    save, count = image_job.save_output, [0]

    def killed(*arguments):
        count[0] += 1
        if count[0] == 5:
            raise KeyboardInterrupt
        save(*arguments)

    monkeypatch.setattr(image_job, "save_output", killed)
    with pytest.raises(KeyboardInterrupt):
        segment(plain_release, photos, out, "1/1")
    monkeypatch.undo()
    content = read_ledger(ledger_file(out, shard))
    assert content.end is None
    before = times(out)
    assert len(before) == 4
    written = [record for record in content.records.values() if record.state == "written"]
    assert len(written) == 5  # the line of an image comes before its mask
    with ledger_file(out, shard).open("ab") as file:
        file.write(b'{"name": "cam/9", "sta')
    with pytest.raises(DataError, match=r"(?s)shard 1/1 is not finished: semiseg predict .*1/1"):
        semiseg.predict(plain_release, photos, out=out, merge=True)
    segment(plain_release, photos, out, "1/1")
    assert before.items() <= times(out).items()  # no finished image was written again
    assert masks(out) == masks(plain)
    assert ledger_file(out, shard).read_bytes() == ledger_file(plain, shard).read_bytes()
    later = times(out)
    segment(plain_release, photos, out, "1/1")
    assert times(out) == later
    assert ledger_file(out, shard).read_bytes() == ledger_file(plain, shard).read_bytes()


def test_masks_without_a_line_are_counted_but_not_written_again(plain_release, photos, tmp_path):
    out = tmp_path / "out"
    image = photos / "cam" / "1.png"
    semiseg.predict(plain_release, image, out=out, **CPU)
    before = times(out)
    semiseg.predict(plain_release, image, out=out, table=True, **CPU)
    assert times(out) == before
    (row,) = rows(out)
    assert (row["state"], row["confidence"]) == ("existed", "")
    semiseg.predict(plain_release, image, out=out, table=True, overwrite=True, **CPU)
    (fresh,) = rows(out)
    assert (fresh["state"], row["mask"]) == ("written", fresh["mask"])
    shares = [name for name in row if name.startswith("share_")]
    assert [row[name] for name in shares] == [fresh[name] for name in shares]


@pytest.fixture(scope="module")
def finished(plain_release, photos, tmp_path_factory):
    """All images that can be read, and their prediction in two finished shards."""
    root = tmp_path_factory.mktemp("halves")
    shutil.copytree(photos, root / "in", ignore=shutil.ignore_patterns("broken*"))
    for shard in ("1/2", "2/2"):
        segment(plain_release, root / "in", root / "out", shard)
    return root


@pytest.fixture
def halves(finished, tmp_path):
    """A copy of `finished`: the images, and the folder of the masks."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "in", tmp_path / "out"


def merge(run, images, out):
    return semiseg.predict(run, images, out=out, merge=True)


def test_a_merge_names_the_shards_to_run_again(plain_release, css_release, halves):
    images, out = halves
    table = merge(plain_release, images, out).table
    assert table.states == {"written": 11}
    assert table.status == 0
    assert len(table.lowest) == 10
    assert sum(table.shares.values()) == pytest.approx(1, abs=1e-4)
    with pytest.raises(DataError, match=r"those of another model\. Name the run"):
        merge(css_release, images, out)
    ledger = ledger_file(out, Shard(2, 2))
    record = next(iter(read_ledger(ledger).records.values()))
    (out / record.mask).unlink()
    with pytest.raises(
        DataError, match=rf"(?s)1 of 2 shards.*shard 2/2 lacks .*{record.mask}.* 2/2"
    ):
        merge(plain_release, images, out)
    segment(plain_release, images, out, "2/2")
    assert merge(plain_release, images, out).table.states == {"written": 11}
    shutil.copy(images / "0.jpg", images / "new.jpg")
    with pytest.raises(
        DataError, match=r"(?s)2 of 2 .*list of images \(11, and there are now 12\)"
    ):
        merge(plain_release, images, out)
    (images / "new.jpg").rename(images / "1.jpg")
    (images / "0.jpg").rename(images.parent / "0.jpg")
    with pytest.raises(DataError, match=r"(?s)2 of 2 .*\(some have other names\)"):
        merge(plain_release, images, out)
    (images.parent / "0.jpg").rename(images / "0.jpg")
    (images / "1.jpg").rename(images / "new.jpg")
    number = Shard(hash_name("new") % 2 + 1, 2)
    segment(plain_release, images, out, str(number))
    with pytest.raises(DataError, match=r"(?s)1 of 2 shards.*another list of images"):
        merge(plain_release, images, out)
    ledger.unlink()
    with pytest.raises(
        DataError, match=r"(?s)shard 2/2 has not begun: semiseg predict .*--shard 2/2"
    ):
        merge(plain_release, images, out)
    assert not (out / "predictions.csv.part").exists()


def test_a_merge_needs_ledgers_and_the_model(plain_release, photos, tmp_path):
    with pytest.raises(DataError, match=r"holds no ledgers.*--shard 1/1"):
        merge(plain_release, photos, tmp_path / "out")
    with pytest.raises(RunError, match="gone is no model"):
        merge(tmp_path / "gone", photos, tmp_path / "out")


def test_a_merge_warns_of_images_that_lie_elsewhere(plain_release, finished, halves, log):
    images, out = halves
    merge(plain_release, finished / "in", out)
    assert "choose another --out" not in log.text
    merge(plain_release, images, out)
    assert f"show the images of {finished / 'in'}, and now {images} is named" in log.text


def test_a_ledger_of_another_pool_is_refused(tmp_path, log):
    header = Header(1, 1, "model", ("soil",), place="s3://a/pool", pool="a")
    assert may_keep_ledger(tmp_path, header, overwrite=False)
    with open_ledger(tmp_path, header, overwrite=False) as ledger:
        ledger.finish([], End(0, "0"))
    other = replace(header, pool="b")
    with pytest.raises(ConfigError, match=r"the images of another pool \(a, not b\)"):
        open_ledger(tmp_path, other, overwrite=False)
    assert not may_keep_ledger(tmp_path, other, overwrite=False)
    assert may_keep_ledger(tmp_path, other, overwrite=True)
    assert not may_keep_ledger(tmp_path, replace(header, shards=2), overwrite=True)
    selection = Selection([], 0, "0", {}, place="s3://b/pool", fingerprint="b")
    with pytest.raises(DataError, match=r"saw another pool \(a, and b now\): add --overwrite"):
        join_ledgers(tmp_path, "model", "call", lambda: selection)
    same = replace(selection, fingerprint="a")
    assert join_ledgers(tmp_path, "model", "call", lambda: same).images == 0
    assert log.text == ""  # a pool may lie anywhere


def test_ray_keeps_a_ledger_that_a_merge_reads(plain_release, photos, plain, tmp_path, monkeypatch):
    """In this process, without Ray: what the command does with the records that Ray gives it."""

    def segment_here(job, accelerator, threads, report, progress):
        model = semiseg.load(job.run, accelerator="cpu")
        predict_all_into(model, job.sources, job.output, job.options, report)

    monkeypatch.setattr("semiseg.commands.predict._import_ray", lambda: segment_here)
    out = tmp_path / "out"
    with pytest.raises(DataError, match="1 of 12 images could not be read"):
        semiseg.predict(plain_release, photos, out=out, engine="ray", **CPU)
    assert masks(out) == masks(plain)
    assert merge(plain_release, photos, out).table.states == {"failed": 1, "written": 11}
    assert rows(out) == rows(plain)


def test_the_numbers_of_missing_shards_are_those_of_an_array_job(plain_release, tmp_path):
    for number in (2, 3, 7):
        header = Header(number, 9, model_sha256(plain_release), ("soil",), {"tta": True})
        with open_ledger(tmp_path, header, overwrite=False) as ledger:
            ledger.finish([], End(0, "0"))
    with pytest.raises(DataError, match=r"(?s)6 of 9 .*again: 1,4-6,8-9\n.*--tta --shard 1/9"):
        merge(plain_release, "images", tmp_path)


def test_a_damaged_ledger_is_named_with_its_line(plain_release, halves):
    images, out = halves
    ledger = ledger_file(out, Shard(1, 2))
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join([lines[0], lines[1], lines[1], *lines[2:]]))
    with pytest.raises(RunError, match=r"1-of-2\.jsonl names .* twice"):
        merge(plain_release, images, out)
    ledger.write_bytes(b"".join([lines[0], b"\x00\x00\n", *lines[1:]]))
    with pytest.raises(RunError, match=r"1-of-2\.jsonl, line 2 is damaged"):
        merge(plain_release, images, out)
    with pytest.raises(RunError, match="line 2 is damaged"):
        semiseg.predict(plain_release, images, out=out, shard="1/2", **CPU)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"shard": "1/2", "tta": True}, r"2\.jsonl was written with other settings.*--tta"),
        ({"shard": "1/3"}, r"one of 2 shards, and 1/3 is one of 3"),
        ({"table": True}, r"ledgers of 2 shards, such as 1/2\. .* then add --merge"),
        ({"shard": "1/2", "table": True}, r"--table needs all images.*--merge writes the table"),
        ({"shard": "1/2", "merge": True}, r"--merge needs all images"),
    ],
)
def test_another_prediction_into_the_same_folder_is_refused(plain_release, halves, more, message):
    images, out = halves
    before = times(out)
    with pytest.raises(ConfigError, match=message):
        semiseg.predict(plain_release, images, out=out, **CPU, **more)
    assert times(out) == before


def test_another_model_is_refused_in_any_shard(plain_release, css_release, halves):
    images, out = halves
    ledger_file(out, Shard(2, 2)).unlink()
    for shard in ("1/2", "2/2"):
        with pytest.raises(ConfigError, match=r"1-of-2\.jsonl was written with another model"):
            semiseg.predict(css_release, images, out=out, shard=shard, **CPU)
    semiseg.predict(css_release, images, out=out, shard="1/2", overwrite=True, **CPU)
    ledger_file(out, Shard(2, 2)).touch()  # a process that has just begun
    with pytest.raises(DataError, match=r"shard 2/2 is not finished"):
        merge(css_release, images, out)
    ledger_file(out, Shard(2, 2)).unlink()
    semiseg.predict(plain_release, images, out=out, shard="2/2", overwrite=True, **CPU)
    with pytest.raises(DataError, match=r"(?s)shard 2/2 was written with another.* --overwrite"):
        merge(css_release, images, out)


def test_a_shard_without_images_is_finished_too(plain_release, photos, tmp_path):
    image = photos / "cam" / "1.png"
    for number in range(1, 4):
        semiseg.predict(plain_release, image, out=tmp_path, shard=f"{number}/3", **CPU)
    assert merge(plain_release, image, tmp_path).table.images == 1


def test_two_processes_of_one_shard_exclude_each_other(tmp_path):
    header = Header(1, 2, "hash", ("crop", "weed"))
    with open_ledger(tmp_path, header, overwrite=False) as ledger:
        ledger.add(Record("a", "existed", "a.png"))
        with pytest.raises(RunError, match="Another process writes shard 1/2"):
            open_ledger(tmp_path, header, overwrite=False)
    with open_ledger(tmp_path, header, overwrite=False) as ledger:
        assert list(ledger.records) == ["a"]


def test_names_of_any_bytes_survive_a_ledger(tmp_path):
    names = ["a\nb", "\udcff", 'ü",', " "]
    header = Header(1, 1, "hash", ("crop",))
    with open_ledger(tmp_path, header, overwrite=False) as ledger:
        for name in names:
            ledger.add(Record(name, "written", f"{name}.png", 0.5, (1.0,)))
    assert list(read_ledger(ledger.file).records) == names
    assert json.loads(ledger.file.read_bytes().splitlines()[0])["format"] == 1


def test_a_tally_goes_on_from_its_state():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 3, (40, 30), dtype=np.uint8)
    confidence = rng.random((40, 30), dtype=np.float32)
    whole, first = Tally(3), Tally(3)
    whole.add(mask, confidence)
    first.add(mask[:17], confidence[:17])
    second = Tally(3, first.state())
    second.add(mask[17:], confidence[17:])
    assert second.figures() == whole.figures()
    assert Tally(3).figures() == (None, None, (0, 0, 0), (0, 0, 0))
    empty = Tally(3)
    empty.add(mask, confidence, confidence > 0.5)
    assert empty.figures().confidence == pytest.approx(
        confidence[confidence <= 0.5].mean(), abs=1e-6
    )
