"""Which masks may be seen: exactly as many as asked for, at random, and every class among them."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import semiseg
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.core.rng import Key
from semiseg.core.types import Sample
from semiseg.data.classes.class_cover import cover_classes
from semiseg.data.dataset import Dataset
from semiseg.data.formats.masks import Classes, default_color
from semiseg.data.image_lists import list_hash, read_list
from semiseg.data.reader import load_dataset
from semiseg.data.splits import Split, make_split

NO_FILE = Path("none")


def sample(name: str, split: str = "train", labeled: bool = True, root: str = "data") -> Sample:
    folder = Path(root) / split
    mask = folder / "masks" / f"{name}.png" if labeled else None
    return Sample(name, folder / "images" / f"{name}.jpg", mask)


def folder(
    class_sets: Sequence[set[int]], unlabeled: int = 0, val: int = 2, root: str = "data"
) -> Dataset:
    """A data folder in memory; `shown` holds the classes of each training mask."""
    labeled = [sample(f"{i:04d}", root=root) for i in range(len(class_sets))]
    rest = [sample(f"u{i}", "unlabeled", False, root) for i in range(unlabeled)]
    validation = [sample(f"v{i}", "val", root=root) for i in range(val)]
    count = 1 + max(set().union(*class_sets))
    classes = Classes(
        names=tuple(f"class{c}" for c in range(count)),
        colors=tuple(default_color(c) for c in range(count)),
        encoding="ids",
        codes=tuple(range(count)),
    )
    return Dataset(
        root=Path(root),
        samples={
            "train": labeled,
            "unlabeled": rest,
            "val": validation,
            "test": [],
        },
        class_list=classes,
        counts={
            s.mask: dict.fromkeys(c, 9) for s, c in zip(labeled, class_sets, strict=True) if s.mask
        }
        | {s.mask: dict.fromkeys(range(count), 9) for s in validation if s.mask},
    )


ALIKE = folder([{0, 1}] * 20, unlabeled=5)  # every mask shows every class


def names(samples: Sequence[Sample]) -> list[str]:
    return [s.name for s in samples]


# --- how many


@pytest.mark.parametrize(
    ("labels", "count"),
    [
        ("all", 20),
        ("1", 1),
        ("20", 20),
        ("0.1", 2),
        ("10%", 2),
        ("12.5%", 3),  # 2.5: a half is rounded up
        ("1/8", 3),
        ("1/1", 20),
        ("100%", 20),
        ("0.001", 1),  # never none
    ],
)
def test_labels_as_a_number_or_a_share(labels: str, count: int) -> None:
    split = make_split(ALIKE, labels, 0)
    assert len(split.labeled) == count
    assert len(split.unlabeled) == 25 - count


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("0", "at least 1"),
        ("21", "more masks than there are to train on: 20"),
        ("0.0", "neither a number"),
        ("1.5", "neither a number"),
        ("150%", "neither a number"),
        ("-1", "neither a number"),
        ("1/0", "neither a number"),
        ("1/8/2", "neither a number"),
        ("half", "neither a number"),
        ("", "neither a number"),
    ],
)
def test_amounts_that_make_no_sense_are_refused(labels: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"--labels {labels}.*{message}"):
        make_split(ALIKE, labels, 0)


# --- which


def test_the_seed_alone_decides() -> None:
    first = names(make_split(ALIKE, "5", 3).labeled)
    shuffled = replace(ALIKE, samples={**ALIKE.samples, "train": ALIKE.samples["train"][::-1]})
    elsewhere = folder([{0, 1}] * 20, unlabeled=1, root="/other/place")
    assert first == sorted(first)
    assert names(make_split(shuffled, "5", 3).labeled) == first
    assert names(make_split(elsewhere, "5", 3).labeled) == first
    assert len({tuple(names(make_split(ALIKE, "5", seed).labeled)) for seed in range(20)}) > 15


def test_each_image_is_as_likely_as_any_other() -> None:
    sample = Counter(n for seed in range(400) for n in names(make_split(ALIKE, "5", seed).labeled))
    assert len(sample) == 20
    assert all(60 < count < 140 for count in sample.values())  # 100 expected, deviation 9


def test_a_larger_choice_contains_the_smaller_one() -> None:
    """So that results over the number of labels can be compared."""
    five, ten = (set(names(make_split(ALIKE, count, 0).labeled)) for count in ("5", "10"))
    assert five < ten


Table = tuple[list[Sample], Mapping[Path, Mapping[int, int]], int, Key]


def tables(count: int) -> list[Table]:
    """Random masks, classes in them, and a number to choose."""
    result: list[Table] = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        samples = [sample(str(i)) for i in range(rng.integers(2, 9))]
        shows = rng.random((len(samples), rng.integers(2, 8))) < rng.uniform(0.1, 0.6)
        pixels = {
            s.mask or NO_FILE: dict.fromkeys(np.flatnonzero(row).tolist(), 1)
            for s, row in zip(samples, shows, strict=True)
        }
        result.append((samples, pixels, int(rng.integers(1, len(samples) + 1)), Key.of(seed)))
    return result


def classes_in(samples: Sequence[Sample], pixels: Mapping[Path, Mapping[int, int]]) -> set[int]:
    return {c for s in samples for c in pixels[s.mask or NO_FILE]}


def test_a_choice_is_exact_and_without_duplicates() -> None:
    for samples, pixels, count, key in tables(200):
        sample = cover_classes(samples, count, pixels, key)
        assert len(sample) == len(set(sample)) == count
        assert set(sample) <= set(samples)
        assert sample == sorted(sample)


def test_a_choice_shows_every_class_where_any_choice_can() -> None:
    missed = []
    for number, (samples, pixels, count, key) in enumerate(tables(1500)):
        everything = classes_in(samples, pixels)
        possible = any(
            classes_in(some, pixels) == everything
            for some in itertools.combinations(samples, count)
        )
        if (
            possible
            and classes_in(cover_classes(samples, count, pixels, key), pixels) != everything
        ):
            missed.append(number)
    assert missed == []


def test_a_rare_class_is_found_among_many_images() -> None:
    data = folder([{0, 1}] * 150 + [{0, 2}] + [{0, 1}] * 150)
    for seed in range(10):
        split = make_split(data, "4", seed)
        assert "0150" in names(split.labeled)
        assert split.notes == ("297 masks are hidden; their images are unlabeled",)


def test_images_of_many_classes_are_not_preferred() -> None:
    """A choice of the fullest images would not be what a person labels at random."""
    crowded, rare = "0018", "0019"
    data = folder([{0}, {1}, {2}] * 6 + [{0, 1, 2}, {3}])
    sample = [names(make_split(data, "8", seed).labeled) for seed in range(200)]
    assert all(rare in some for some in sample)
    assert 50 < sum(crowded in some for some in sample) < 110  # 74 expected


def test_a_class_that_is_left_out_is_named() -> None:
    split = make_split(folder([{0}, {1}, {2}]), "2", 0)
    (missing,) = {0, 1, 2} - {int(s.name) for s in split.labeled}
    assert f"the labeled images hold no pixel of: class{missing}" in split.notes


# --- the rest


def test_hidden_masks_are_forgotten_and_nothing_is_lost() -> None:
    split = make_split(ALIKE, "3", 0)
    assert all(s.mask is not None for s in split.labeled)
    assert all(s.mask is None for s in split.unlabeled)
    assert split.val == ALIKE.val
    images = [s.image for s in (*split.labeled, *split.unlabeled)]
    assert sorted(images) == sorted(s.image for s in ALIKE.train)
    assert any("17 masks are hidden" in note for note in split.notes)


def test_without_val_a_fifth_of_the_labels_is_held_out() -> None:
    data = folder([{0, 1}] * 20, unlabeled=5, val=0)
    split = make_split(data, "all", 0)
    assert [len(x) for x in (split.labeled, split.unlabeled, split.val)] == [16, 5, 4]
    assert all(s.mask is not None for s in split.val)
    images = {s.image for part in split.lists().values() for s in part}
    assert len(images) == 25
    assert "4 of 20 labeled images are held out" in split.notes[0]


def test_what_is_held_out_does_not_depend_on_the_labels() -> None:
    data = folder([{0, 1}] * 20, val=0)
    some, everything, other = (make_split(data, *x) for x in (("3", 0), ("all", 0), ("all", 1)))
    assert some.val == everything.val != other.val


def test_what_an_earlier_run_held_out_is_held_out_again() -> None:
    data = folder([{0, 1}] * 20, val=0)
    assert names(make_split(data, "all", 0, ["0003", "0007", "gone"]).val) == ["0003", "0007"]
    assert len(make_split(data, "all", 0, ["gone"]).val) == 4
    beside = folder([{0, 1}] * 20, val=2)
    assert names(make_split(beside, "all", 0, ["0003"]).val) == ["v0", "v1"]


def test_no_class_is_held_out_of_the_training_altogether() -> None:
    data = folder([{0}] * 8 + [{0, 1}, {0, 2}], val=0)
    for seed in range(20):
        assert not {"0008", "0009"} & set(names(make_split(data, "all", seed).val))


def test_two_labels_are_enough_to_hold_one_out_and_one_is_not() -> None:
    split = make_split(folder([{0, 1}] * 2, val=0), "all", 0)
    assert (len(split.labeled), len(split.val)) == (1, 1)
    with pytest.raises(DataError, match=r"no val/.*Label one more"):
        make_split(folder([{0, 1}], val=0), "all", 0)


# --- lists in files


NESTED = [sample(n) for n in ("a", "b.c", "my image", "seq1/0001", "seq2/0001", "seq2/0002")]


def listed(tmp_path: Path, text: str, samples: Sequence[Sample] = NESTED) -> list[str]:
    path = tmp_path / "list.txt"
    path.write_bytes(text.encode())
    return names(read_list(path, samples))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seq2/0002\na\n", ["a", "seq2/0002"]),
        ("a.jpg\nb.c.jpg", ["a", "b.c"]),
        ("b.c\nmy image", ["b.c", "my image"]),
        ("train/images/a.jpg\ntrain/images/b.c.jpg\n0002", ["a", "b.c", "seq2/0002"]),
        ("train/images/b.c", ["b.c"]),
        ("images/a.jpg masks/a.png\nseq2/0002 masks/0002", ["a", "seq2/0002"]),
        ("seq1/0001.jpg masks/seq1/0001.png", ["seq1/0001"]),
        ("images/a.jpg\tmasks/0002.png", ["a"]),
        ("# a list\n\n  a  \n#b.c\n", ["a"]),
        ("a\r\nb.c\r\n", ["a", "b.c"]),
        ("\ufeffa\nb.c", ["a", "b.c"]),
        ("a\na.jpg\na", ["a"]),
        ("data\\images\\a.jpg\nC:\\data\\seq2\\0001.jpg", ["a", "seq2/0001"]),
        ("/home/me/data/images/seq1/0001.jpg masks/seq2/0001.png", ["seq1/0001"]),
        ("images/a.jpg,masks/0002.png\nseq2/0002.jpg;x.png", ["a", "seq2/0002"]),
    ],
)
def test_a_list_names_images_in_many_ways(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert listed(tmp_path, text) == expected


@pytest.mark.parametrize("header", ["image,mask", "Split;Image;Label", "id,file_name"])
def test_a_table_names_images_in_a_column(tmp_path: Path, header: str) -> None:
    delimiter = ";" if ";" in header else ","
    at = [name.lower() for name in header.split(delimiter)].index(
        "file_name" if "file" in header else "image"
    )
    rows = [["x"] * header.count(delimiter) for _ in range(2)]
    for row, name in zip(rows, ("images/seq2/0001.jpg", "a.jpg"), strict=True):
        row.insert(at, name)
    path = tmp_path / "list.csv"
    path.write_text("\n".join([header, *(delimiter.join(row) for row in rows)]))
    assert names(read_list(path, NESTED)) == ["a", "seq2/0001"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nnobody.jpg", r"list\.txt, line 2: there is no labeled image nobody\.jpg"),
        ("0001.jpg", r"line 1: 0001\.jpg may be seq1/0001 or seq2/0001"),
        ("# nothing\n\n", r"list\.txt names no image"),
    ],
)
def test_a_list_that_does_not_fit_is_refused_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        listed(tmp_path, text)


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match=r"list\.txt is not a text file"):
        read_list(tmp_path / "list.txt", NESTED)


def test_a_listed_choice_is_taken_as_it_is(tmp_path: Path, tiny_folder: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("0003\n0001.jpg\n")
    split = make_split(load_dataset(tiny_folder), str(path), 0)
    assert names(split.labeled) == ["0001", "0003"]
    assert names(split.unlabeled) == ["0000", "0002", *(f"unlabeled/{i:04d}" for i in range(4))]


def test_listed_images_are_not_held_out(tmp_path: Path) -> None:
    """Whoever lists what to train on does not want a part of it taken away."""
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{i:04d}\n" for i in range(12)))
    split = make_split(folder([{0, 1}] * 20, val=0), str(path), 0)
    assert names(split.labeled) == [f"{i:04d}" for i in range(12)]
    assert not set(split.val) & set(split.labeled)


@pytest.mark.parametrize(
    ("published", "count"), [("pascal/92", 92), ("cityscapes/1_30", 100), ("pascal/1464", 1464)]
)
def test_published_lists_can_be_read(shared_data: Path, published: str, count: int) -> None:
    """Their lines name an image and a mask, each in a folder of the original data set."""
    path = shared_data / "splits" / published / "labeled.txt"
    images = [line.split()[0] for line in path.read_text().splitlines()]
    below = 2 if published.startswith("cityscapes") else 1
    samples = [sample(x.split("/", below)[-1].rsplit(".", 1)[0]) for x in images]
    assert len(samples) == count
    assert read_list(path, [*samples, sample("another")]) == sorted(samples)


def published(shared_data: Path, family: str) -> dict[str, list[str]]:
    """The lines of all lists of a data set."""
    files = sorted((shared_data / "splits" / family).rglob("*.txt"))
    return {
        f.parent.name if f.stem == "labeled" else "val": f.read_text().split("\n") for f in files
    }


COUNTS = {
    "pascal": {"92": 92, "183": 183, "366": 366, "732": 732, "1464": 1464, "1_16": 662, "1_8": 1323}
    | {"1_4": 2646, "u2pl_1_16": 662, "u2pl_1_8": 1323, "u2pl_1_4": 2646, "val": 1449},
    "cityscapes": {"1_30": 100, "1_16": 186, "1_8": 372, "1_4": 744, "1_2": 1488, "val": 500},
}


def stem(line: str) -> str:
    """What our data sets call the image of a line."""
    path = line.split()[0].rsplit(".", 1)[0].removesuffix("_leftImg8bit")
    return path.split("/", 2)[-1] if "leftImg8bit" in line else path.split("/", 1)[-1]


@pytest.mark.parametrize("family", COUNTS)
def test_all_published_lists_are_read_as_they_are(shared_data: Path, family: str) -> None:
    lists = published(shared_data, family)
    trained = sorted({stem(x) for k, v in lists.items() if k != "val" for x in v if x})
    scored = [stem(x) for x in lists["val"] if x]
    data = folder([{0, 1}] * len(trained), val=0)
    train = tuple(sample(name) for name in trained)
    val = tuple(sample(name, "val") for name in scored)
    data = replace(
        data,
        samples={
            "train": train,
            "unlabeled": (),
            "val": val,
            "test": (),
        },
        counts={s.mask: {0: 1, 1: 1} for s in (*train, *val) if s.mask},
    )
    counts = dict(COUNTS[family])
    assert len(scored) == counts.pop("val")
    for name, count in counts.items():
        path = shared_data / "splits" / family / name / "labeled.txt"
        split = make_split(data, str(path), 0)
        assert len(split.labeled) == count, name
        assert names(split.labeled) == sorted(stem(x) for x in lists[name] if x)
        assert split.source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        assert any(list_hash(split.labeled) in note for note in split.notes)


@pytest.mark.parametrize(
    "line", ["{0}", "{0}.png", "leftImg8bit/train/{0}_leftImg8bit.png", "x/{1}"]
)
def test_lists_of_cityscapes_in_the_ways_of_several_programs(tmp_path: Path, line: str) -> None:
    name = "jena/jena_000078_000019"
    (tmp_path / "3").mkdir()
    path = tmp_path / "3" / "labeled_filename.txt"  # CSS's N/seed/labeled_filename.txt
    path.write_text(line.format(name, name.split("/")[1]))
    assert read_list(path, [sample(name), sample("jena/other")]) == [sample(name)]


def test_a_list_that_overlaps_with_val_or_names_what_has_no_mask_is_refused(
    tmp_path: Path, tiny_folder: Path
) -> None:
    path = tmp_path / "labels.txt"
    data = folder([{0, 1}] * 3, unlabeled=1)
    path.write_text("0001\nv1\n")
    with pytest.raises(DataError, match=r"line 2: v1 is an image of val"):
        make_split(data, str(path), 0)
    path.write_text("u0\n")
    with pytest.raises(DataError, match=r"line 1: u0 is an image without a mask .* --dataset"):
        make_split(data, str(path), 0)


def test_split_writes_the_lists_that_train_would_choose(tmp_path: Path, tiny_folder: Path) -> None:
    counts = semiseg.split(tiny_folder, labels="2", seed=3, out=tmp_path / "lists").counts
    assert counts == {"labeled": 2, "unlabeled": 6, "val": 2}
    expected = make_split(load_dataset(tiny_folder), "2", 3)
    text = (tmp_path / "lists" / "labeled.txt").read_text()
    assert text.split() == names(expected.labeled)
    again = make_split(load_dataset(tiny_folder), str(tmp_path / "lists" / "labeled.txt"), 0)
    assert again.labeled == expected.labeled
    assert again.unlabeled == expected.unlabeled
    semiseg.split(tiny_folder, labels="2", seed=3, out=tmp_path / "lists")
    (tmp_path / "lists" / "labeled.txt").write_text("0000\n")
    with pytest.raises(RunError, match="holds another list"):
        semiseg.split(tiny_folder, labels="2", seed=3, out=tmp_path / "lists")


# --- hashes


def test_a_hash_stands_for_the_names_alone() -> None:
    expected = hashlib.sha256(b"a\nseq/b\n").hexdigest()[:16]
    assert list_hash([sample("seq/b"), sample("a", labeled=False, root="/x")]) == expected


def test_hashes_tell_choices_apart() -> None:
    splits: list[Split] = [make_split(ALIKE, "5", seed) for seed in range(8)]
    assert len({list_hash(s.labeled) for s in splits}) == len({s.labeled for s in splits}) > 6
