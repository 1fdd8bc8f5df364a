"""Images of one group stay in one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from semiseg.checks.rules import RULES
from semiseg.config.data import DataConfig
from semiseg.core.errors import ConfigError, SettingError
from semiseg.core.types import Sample
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding
from semiseg.data.formats.masks import Classes
from semiseg.data.groups import Groups
from semiseg.data.splits import Split, make_split


def sample(name: str, split: str = "train", labeled: bool = True) -> Sample:
    folder = Path("data") / split
    mask = folder / "masks" / f"{name}.png" if labeled else None
    prefix = "unlabeled/" * (split == "unlabeled")
    return Sample(prefix + name, folder / "images" / f"{name}.jpg", mask)


def folder(
    labeled: Sequence[str],
    unlabeled: Sequence[str] = (),
    val: Sequence[str] = (),
    group: str | None = "^(.*?)_",
) -> Dataset:
    """A data folder in memory, in which every mask holds both classes."""
    samples = [sample(name) for name in labeled]
    scored = [sample(name, "val") for name in val]
    return Dataset(
        root=Path("data"),
        samples={
            "train": samples,
            "unlabeled": [sample(name, "unlabeled", labeled=False) for name in unlabeled],
            "val": scored,
            "test": [],
        },
        class_list=Classes(("soil", "crop"), ((0, 0, 0), (0, 255, 0)), "ids", (0, 1)),
        counts={s.mask: {0: 9, 1: 9} for s in (*samples, *scored) if s.mask},
        group=group,
    )


def findings(data: Dataset, *kinds: str) -> list[Finding]:
    return [f for rule in RULES for f in rule(data) if f.kind in kinds]


def patients(samples: Sequence[Sample]) -> set[str]:
    return {s.name.removeprefix("unlabeled/").partition("_")[0] for s in samples}


NAMES = [f"p{patient}_{i}" for patient in range(5) for i in range(4)]


@pytest.mark.parametrize(
    ("pattern", "name", "group"),
    [
        ("^(.*?)_", "p7_03", "group p7"),
        ("^p\\d+", "p7_03", "group p7"),
        ("^(.*)/", "plot a/day 1/03", "group plot a/day 1"),
        ("(\\d+)$", "unlabeled/p7_03", "group 03"),
        ("^(a)?p", "p7_03", "group p"),
        ("^(.*?)_", "lonely", "image lonely"),
        (None, "p7_03", "image p7_03"),
    ],
)
def test_the_group_is_what_the_pattern_finds(pattern: str | None, name: str, group: str) -> None:
    assert Groups(pattern).of(Sample(name, Path("x.png"), None)) == group


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_trained_on_and_held_out(seed: int) -> None:
    pool = [f"p{patient}_u{i}" for patient in range(7) for i in range(3)]
    split = make_split(folder(NAMES, pool), "all", seed)
    assert len(patients(split.val)) == 1
    assert len(split.val) == 4
    assert patients(split.labeled) == {f"p{i}" for i in range(5)} - patients(split.val)
    assert patients(split.unlabeled) == {f"p{i}" for i in range(7)} - patients(split.val)
    assert any("3 images of the groups that are held out" in note for note in split.notes)
    assert any("4 of 20 labeled images are held out" in note for note in split.notes)


def test_hidden_masks_of_held_out_groups_stay_out() -> None:
    split = make_split(folder(NAMES), "6", 0)
    assert len(split.labeled) == 6
    assert len(split.hidden) == 10
    assert not patients(split.val) & patients((*split.labeled, *split.unlabeled))


def test_different_seeds_hold_out_different_groups() -> None:
    chosen = {min(patients(make_split(folder(NAMES), "all", seed).val)) for seed in range(20)}
    assert len(chosen) > 2


def test_a_large_group_is_not_held_out() -> None:
    names = [f"big_{i}" for i in range(60)] + [f"p{i}_{j}" for i in range(4) for j in range(5)]
    for seed in range(10):
        assert "big" not in patients(make_split(folder(names), "all", seed).val)


def test_without_a_pattern_nothing_changes() -> None:
    single = folder(NAMES, group=None)
    alone = folder(NAMES, group="^(.*)$")  # each image is a group of its own
    for seed in range(5):
        split = make_split(single, "all", seed)
        assert len(split.val) == 4
        assert len(make_split(alone, "all", seed).val) == 4
    assert [s.name for s in make_split(single, "all", 0).val] == [s.name for s in _val_of(single)]


def _val_of(data: Dataset) -> tuple[Sample, ...]:
    """The draw of a release without groups, written out."""
    from semiseg.core.rng import Key
    from semiseg.data.classes.class_cover import cover_classes

    masked = [s for s in data.train if s.mask is not None]
    key = Key.of(0, "split").child("val")
    trained = cover_classes(masked, len(masked) - round(0.2 * len(masked)), data.pixels, key)
    return tuple(s for s in masked if s not in trained)


def test_listed_images_keep_their_group_in_the_training(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("p0_0\np1_0\np2_0\np3_0\n")
    split = make_split(folder(NAMES), str(file), 0)
    assert patients(split.val) == {"p4"}
    assert [s.name for s in split.labeled] == ["p0_0", "p1_0", "p2_0", "p3_0"]


def test_groups_of_an_earlier_run_stay_held_out() -> None:
    split = make_split(folder(NAMES), "all", 0, held_out=["p2_1"])
    assert [s.name for s in split.val] == ["p2_0", "p2_1", "p2_2", "p2_3"]


def test_val_of_the_folder_stays_and_shared_groups_are_counted() -> None:
    data = folder(NAMES, ["p8_u"], val=["p0_9", "p0_8", "p8_9", "p9_9", "x"])
    split = make_split(data, "all", 0)
    assert len(split.val) == 5
    assert len(split.labeled) == 20
    (finding,) = findings(data, "shared-group")
    assert finding.severity == "warning"
    assert finding.files == ("val/images/p0_9.jpg", "val/images/p8_9.jpg")
    assert finding.details == (
        " and 1 more of the group p0, with 4 in train",
        " and 0 more of the group p8, with 1 in train",
    )
    assert not findings(replace(data, group=None), "shared-group", "group")


def test_images_without_a_group_are_counted() -> None:
    data = folder([*NAMES, "x", "y"])
    (finding,) = findings(data, "group")
    assert (finding.severity, "of 2 of 22 images (the first is x)" in finding.message) == (
        "note",
        True,
    )
    assert finding.message in make_split(data, "all", 0).notes


def test_a_pattern_that_finds_nothing_is_refused() -> None:
    data = folder(NAMES, group="^(video)")
    with pytest.raises(ConfigError, match=r"matches the name of no image.*such as p0_0"):
        make_split(data, "all", 0)
    with pytest.raises(ConfigError, match="matches the name of no image"):
        findings(data, "group")


def test_one_group_of_all_is_refused() -> None:
    data = folder(NAMES, ["q_1"], group="^(p)")
    with pytest.raises(ConfigError, match=r"All labeled images belong to one group \(group p\)"):
        make_split(data, "all", 0)
    assert [f.severity for f in findings(data, "group")] == ["note", "error"]
    with_val = folder(NAMES, val=["q_1"], group="^(p)")
    assert isinstance(make_split(with_val, "all", 0), Split)
    assert [f.severity for f in findings(with_val, "group")] == ["note"]


def test_what_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(SettingError, match="--group"):
        DataConfig(data=Path("data"), group="(x")
