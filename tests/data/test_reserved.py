"""Images reserved for a test: what is chosen with them, and that no training uses them."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import semiseg
from semiseg.cli import main
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.types import Arrangement
from semiseg.data.reader import load_dataset, read_samples
from semiseg.data.splits import make_split
from semiseg.training.data import read_data
from semiseg.training.run_data import arrangement_of, listed_samples, scored_samples

STRIPES = np.repeat(np.arange(2, dtype=np.uint8), 24)[None].repeat(48, axis=0)


def picture(number):
    """A picture that is unlike that of any other number."""
    noise = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(noise).resize((48, 48), Image.Resampling.NEAREST)


def add(root, split, names, masks=True):
    """Pictures of a split: in `images` with masks, or in the folder itself."""
    images = root / split / "images" if masks else root / split
    images.mkdir(parents=True, exist_ok=True)
    for name in names:
        picture(len(list(root.rglob("*.png")))).save(images / f"{name}.png")
        if masks:
            (root / split / "masks").mkdir(exist_ok=True)
            Image.fromarray(STRIPES).save(root / split / "masks" / f"{name}.png")


@pytest.fixture
def data(tmp_path):
    """Five plants with two labeled photographs and one without a mask each."""
    root = tmp_path / "data"
    add(root, "train", [f"p{plant}_{i}" for plant in range(5) for i in range(2)])
    add(root, "unlabeled", [f"p{plant}_u" for plant in range(5)], masks=False)
    return root


def lines(file):
    return Path(file).read_text().splitlines()


def test_a_share_is_reserved_and_no_training_uses_it(data, tmp_path):
    out = tmp_path / "lists"
    result = semiseg.split(data, test="0.2", labels="4", seed=1, out=out)
    assert result.counts == {"labeled": 4, "unlabeled": 7, "val": 2, "test": 2, "reserved": 2}
    assert f"--reserved {out / 'reserved.txt'}" in result.text()
    values = {"data": data, "labels": "4", "split_seed": 1, "reserved": out / "reserved.txt"}
    config = TrainConfig.from_values(values)
    split = read_data(config).split
    for name in ("labeled", "unlabeled", "val"):
        assert lines(out / f"{name}.txt") == [s.name for s in split.lists()[name]]
        assert not set(lines(out / f"{name}.txt")) & set(lines(out / "test.txt"))
    again = semiseg.split(data, test="20%", labels="4", seed=1, out=tmp_path / "again").folder
    assert lines(again / "test.txt") == lines(out / "test.txt")
    tests = {
        tuple(lines(semiseg.split(data, test="2", seed=s, out=tmp_path / str(s))[0] / "test.txt"))
        for s in range(4)
    }
    assert len(tests) > 1


def test_a_group_is_reserved_as_a_whole(data, tmp_path):
    folder = semiseg.split(data, test="0.2", group="^(p.)_", out=tmp_path / "lists").folder
    (plant,) = {name[:2] for name in lines(folder / "test.txt")}
    assert lines(folder / "test.txt") == [f"{plant}_0", f"{plant}_1"]
    assert lines(folder / "reserved.txt") == [f"{plant}_0", f"{plant}_1", f"unlabeled/{plant}_u"]
    flags = Arrangement(group="^(p.)_", reserved=folder / "reserved.txt")
    contents = load_dataset(data, flags=flags)
    assert not [s for s in contents.train if plant in s.name]
    assert [s.name for s in contents.test] == lines(folder / "test.txt")
    assert not [f for f in contents.findings if f.severity != "note"]
    (note,) = [f.text for f in contents.findings if "reserves" in f.text]
    assert "reserves 2 images with masks, which are test images now, and 1 without" in note
    split = make_split(contents, "all", 0)
    assert len(split.labeled) + len(split.val) == 8


def test_near_duplicates_and_copies_are_reserved_with_an_image(data, tmp_path):
    for plant in range(5):
        with Image.open(data / "train" / "images" / f"p{plant}_0.png") as image:
            image.resize((96, 96)).save(data / "unlabeled" / f"large{plant}.png")
            image.save(data / "unlabeled" / f"same{plant}.bmp")
    folder = semiseg.split(data, test="0.5", seed=2, out=tmp_path / "lists").folder
    reserved = lines(folder / "reserved.txt")
    firsts = [name for name in lines(folder / "test.txt") if name.endswith("_0")]
    assert firsts
    copies = [f"unlabeled/{kind}{name[1]}" for name in firsts for kind in ("large", "same")]
    assert sorted(set(reserved) - set(lines(folder / "test.txt"))) == sorted(copies)


def test_a_run_scores_its_reserved_images(data, tmp_path):
    folder = semiseg.split(data, test="3", out=tmp_path / "lists").folder
    config = TrainConfig.from_values({"data": str(data), "reserved": str(folder / "reserved.txt")})
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump(config.values()))
    flags = arrangement_of(run, data)
    names = lines(folder / "test.txt")
    assert [s.name for s in scored_samples(run, data, "test", None, flags)] == names
    assert [s.name for s in listed_samples(folder / "test.txt", data, None, flags)] == names
    assert not {s.name for s in read_samples(data, "train", flags=flags)} & set(names)
    other = tmp_path / "other"
    add(other, "train", names)
    add(other, "test", ["other"])
    # The list names the images of the run's data, and no others of the same names.
    for place, expected in ((other, ["other"]), (data, names)):
        samples = scored_samples(run, place, "test", None, arrangement_of(run, place))
        assert [s.name for s in samples] == expected
    data = data.rename(tmp_path / "moved")
    flags = arrangement_of(run, data)
    assert [s.name for s in scored_samples(run, data, "test", None, flags)] == names
    (folder / "reserved.txt").unlink()  # the scores of the other images need no list
    assert len(read_samples(data, "train", flags=flags)) == 10
    assert [s.name for s in listed_samples(folder / "test.txt", data, None, flags)] == names


def test_check_compares_the_reserved_images_with_new_ones(data, tmp_path):
    reserved = semiseg.split(data, test="1", out=tmp_path / "lists").folder / "reserved.txt"
    (name,) = lines(reserved)
    assert not [f for f in semiseg.check(data, reserved=reserved).findings if f.kind == "leak"]
    with Image.open(data / "train" / "images" / f"{name}.png") as image:
        image.resize((96, 96)).save(data / "unlabeled" / "new.png")
    findings = semiseg.check(data, reserved=reserved).findings
    (finding,) = [f for f in findings if f.kind == "near-duplicate"]
    assert finding.text.startswith("Labeled images, which may be held out, or images of test that")
    assert f"{name}.png like unlabeled/new.png" in finding.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p0_0\nnone\n", r"line 2: there is no image none to train on\. .*semiseg split --test"),
        ("v\n", "line 1: v is an image of val"),
        ("# nothing\n", "names no image"),
        (None, r"cannot be read .*reserved\.txt of semiseg split --test"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(data, tmp_path, text, message):
    add(data, "val", ["v"])
    file = tmp_path / "mine.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=message):
        load_dataset(data, flags=Arrangement(reserved=file))
    report = semiseg.check(data, reserved=file)
    assert not report.ok


def test_a_reserved_image_cannot_be_labeled(data, tmp_path):
    file, labels = tmp_path / "mine.txt", tmp_path / "labels.txt"
    file.write_text("p0_0\n")
    labels.write_text("p1_0\np0_0\n")
    contents = load_dataset(data, flags=Arrangement(reserved=file))
    with pytest.raises(
        DataError, match=r"line 2: p0_0 is an image of test, which no training uses.*--reserved"
    ):
        make_split(contents, str(labels), 0)


def test_a_test_is_chosen_outside_of_a_list(data, tmp_path):
    labels = tmp_path / "labels.txt"
    for plant in range(5):
        labels.write_text(f"p{plant}_0\n")
        folder = semiseg.split(
            data, labels=labels, test="4", group="^(p.)_", out=tmp_path / f"{plant}"
        ).folder
        assert lines(folder / "labeled.txt") == [f"p{plant}_0"]
        assert len(lines(folder / "test.txt")) == 4
        assert not [name for name in lines(folder / "reserved.txt") if f"p{plant}_" in name]
    labels.write_text("p0_0\np1_0\np2_0\np3_0\n")
    out = tmp_path / "short"
    with pytest.raises(ConfigError, match=r"more images than there are outside of the list .*: 6"):
        semiseg.split(data, labels=labels, test="7", out=out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test": "0.9"}, "leaves too few of 10 labeled images. A training needs 2 of these"),
        ({"test": "0.8", "group": "^(p.)_"}, "which form 5 sets of images that belong together"),
        ({"test": "many"}, r"--test many is neither a number of masks, nor a share .*1/8\)\."),
        ({"test": "0"}, "--test 0 asks for no mask; ask for at least 1"),
        ({"test": "11"}, "--test 11 asks for more masks than there are"),
        ({"test": "1", "reserved": "x.txt"}, "Give one of them"),
    ],
)
def test_what_cannot_be_reserved_is_refused(data, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        semiseg.split(data, out=tmp_path / "lists", **settings)
    assert not (tmp_path / "lists").exists()


def test_the_command_line(data, tmp_path, capsys):
    main(["split", str(data), "--test", "1/5", "--out", str(tmp_path / "lists")])
    out = capsys.readouterr().out
    assert "2 test, 2 reserved" in out
    assert "semiseg evaluate RUN DATA --split test" in out


def test_a_reserved_image_without_a_mask_is_no_labeled_one_of_the_same_name(data, tmp_path):
    add(data, "unlabeled", ["p3_0"], masks=False)
    file = tmp_path / "mine.txt"
    file.write_text("p0_0\nunlabeled/p3_0\n")
    flags = Arrangement(reserved=file)
    assert [s.name for s in load_dataset(data, flags=flags).test] == ["p0_0"]
    assert [s.name for s in read_samples(data, "test", flags=flags)] == ["p0_0"]


def test_a_corrected_copy_of_a_reserved_image_is_left_out(data, tmp_path):
    corrected, file = tmp_path / "corrected", tmp_path / "mine.txt"
    add(corrected, "train", ["p3_u", "p4_u"])
    originals = [data / "unlabeled" / f"{name}.png" for name in ("p3_u", "p4_u")]
    (corrected / "suggested.txt").write_text("".join(f"{image}\n" for image in originals))
    file.write_text("p0_0\nunlabeled/p3_u\n")
    contents = load_dataset(data, flags=Arrangement(reserved=file, corrected=(corrected,)))
    names = {sample.name for sample in contents.train}
    assert "corrected/p4_u" in names
    assert not names & {"corrected/p3_u", "unlabeled/p3_u"}
    assert any("1 mask is of reserved images, and left out" in f.text for f in contents.findings)


def test_without_its_list_a_run_has_no_reserved_images_to_score(data, tmp_path):
    add(data, "test", ["t"])
    flags = Arrangement(reserved=tmp_path / "gone.txt")
    with pytest.raises(DataError, match=r"gone\.txt: the list cannot be read"):
        read_samples(data, "test", flags=flags)


def test_images_of_a_pool_are_not_searched(data, tmp_path, log):
    pool = semiseg.pack(data / "unlabeled", out=tmp_path / "pool")
    assert pool.images == 5
    semiseg.split(data, test="2", out=tmp_path / "one")
    assert "of the pool" not in log.text
    semiseg.split(data, test="2", unlabeled=str(tmp_path / "pool"), out=tmp_path / "two")
    assert "images of the pool are not compared with the test" in log.text


def test_masks_on_the_ground_of_the_test_are_scored_too(data, tmp_path, monkeypatch):
    """As those of another map; what `split` calls the test is what a run scores."""
    first = lines(semiseg.split(data, test="1", out=tmp_path / "first").folder / "test.txt")
    shared = next(name for name in ("p0_0", "p1_0") if name not in first)
    monkeypatch.setattr(
        "semiseg.data.reservation.without_shared_ground",
        lambda samples, test: [s for s in samples if s.name not in (shared, "unlabeled/p2_u")],
    )
    folder = semiseg.split(data, test="1", out=tmp_path / "second").folder
    assert lines(folder / "test.txt") == sorted([*first, shared])
    assert lines(folder / "reserved.txt") == sorted([*first, shared, "unlabeled/p2_u"])
    flags = Arrangement(reserved=folder / "reserved.txt")
    assert [s.name for s in read_samples(data, "test", flags=flags)] == lines(folder / "test.txt")
