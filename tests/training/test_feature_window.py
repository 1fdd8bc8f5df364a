"""A step that decodes a part of a cached view: where the part lies, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_vit import TINY_VIT

import semiseg
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError
from semiseg.core.rng import Key
from semiseg.core.types import Labeled
from semiseg.data.reader import load_dataset
from semiseg.data.splits import make_split
from semiseg.training.batches import TrainingBatches, TrainingImages, Views
from semiseg.training.feature_window import cut_windows
from semiseg.training.run_folder import read_config

KEYS = [Key.of("window", i) for i in range(6)]


def batch(side: int, patch: int = 14) -> Labeled:
    """Images whose red is the row and whose green is the column, and maps that say the same."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image = torch.stack([rows, columns, rows]).to(torch.uint8)
    cells = -(-side // 28) * 28 // patch
    places = torch.stack(torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij"))
    many = (len(KEYS), 1, 1, 1)
    features = (places.half().repeat(many), (places.half() + 0.5).repeat(many))
    return Labeled(image.repeat(many), rows.long().repeat(len(KEYS), 1, 1), features)


@pytest.mark.parametrize("side", [112, 100])  # the network pads 100 to 112 pixels
def test_image_mask_and_features_are_cut_at_the_same_place(side: int) -> None:
    whole = batch(side)
    part = cut_windows(whole, 60, 28, KEYS)  # 56 is the largest multiple within 60
    assert part.image.shape == (6, 3, 56, 56)
    assert part.mask.shape == (6, 56, 56)
    corners = part.image[:, :2, 0, 0].numpy().astype(int)
    assert (corners % 28 == 0).all()
    assert len({tuple(corner) for corner in corners}) > 2
    for n, (top, left) in enumerate(corners):
        square = np.s_[top : top + 56, left : left + 56]
        np.testing.assert_array_equal(part.image[n], whole.image[n][:, *square])
        np.testing.assert_array_equal(part.mask[n], whole.mask[n][square])
        for maps, first in zip(part.features, (0.0, 0.5), strict=True):
            assert maps.shape == (6, 2, 4, 4)
            assert maps[n, :, 0, 0].tolist() == [top / 14 + first, left / 14 + first]
    again = cut_windows(whole, 60, 28, KEYS)
    np.testing.assert_array_equal(again.image, part.image)


def test_a_view_that_is_no_larger_stays_whole() -> None:
    whole = batch(112)
    assert cut_windows(whole, 112, 28, KEYS) is whole
    assert cut_windows(whole, 5, 28, KEYS).image.shape == (6, 3, 28, 28)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder_training": "last-4"}, "is for --encoder-training head.*not for last-4"),
        ({"method": "css"}, "labeled images alone.*--method supervised"),
    ],
    ids=str,
)
def test_parts_without_an_effect_are_refused(settings: dict[str, object], message: str) -> None:
    words = {"data": "DATA", "method": "supervised", "encoder_training": "head"}
    TrainConfig.from_values({**words, "feature_window": 224})
    with pytest.raises(ConfigError, match=message):
        TrainConfig.from_values({**words, "feature_window": 224, **settings})


def test_processes_that_share_a_batch_cut_what_one_would(tiny_folder: Path) -> None:
    """And a step of a resumed training cuts what it would have cut: the keys are of its number."""
    dataset = load_dataset(tiny_folder)
    split = make_split(dataset, "2", 0)
    images = TrainingImages(split.labeled, (), dataset.classes)
    one, *two = (
        TrainingBatches(images, Views(48, 32), 4, Key.of(0, "data"), rank, world)
        for rank, world in ((0, 1), (0, 2), (1, 2))
    )
    for number in (0, 3):
        shared = [key for part in two for key in part.window_keys(number)]
        assert shared == one.window_keys(number)
        assert len({key.digest() for key in shared}) == 4
    assert one.window_keys(0) != one.window_keys(3)


@pytest.mark.slow
def test_a_step_decodes_a_part(tiny_folder: Path, tmp_path: Path) -> None:
    """28 of 56 pixels a side; the run differs from one that decodes whole views."""
    words = {
        **{"method": "supervised", "encoder": TINY_VIT, "weights": "none", "labels": "2"},
        **{"encoder_training": "head", "feature_views": 2, "size": 56, "crop": 56, "batch": 2},
        **{"steps": 4, "validations": 2, "workers": 0, "threads": 1, "accelerator": "cpu"},
    }
    sides: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        forward = semiseg.model.detail_decoder.DetailDecoder.forward

        def watched(self, maps):
            if self.training:
                sides.append(maps[0].shape[-1])
            return forward(self, maps)

        patch.setattr(semiseg.model.detail_decoder.DetailDecoder, "forward", watched)
        semiseg.train(tiny_folder, out=tmp_path / "parts", feature_window=28, **words)
    assert set(sides) == {28}
    semiseg.train(tiny_folder, out=tmp_path / "whole", **words)
    bits = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("parts", "whole")]
    assert bits[0] != bits[1]
    assert read_config(tmp_path / "parts").network.feature_window == 28
