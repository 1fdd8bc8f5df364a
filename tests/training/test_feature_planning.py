"""The number of views with cached features: what the network and the disk allow."""

import pytest
from tiny_vit import TINY_VIT

from semiseg.config.network import NetworkConfig
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, SettingError
from semiseg.model.network import Network
from semiseg.training.data import read_data
from semiseg.training.feature_planning import plan_features

ENTRY = 2 * (3 * 32 * 4 * 4 + 32) + 4  # three maps of 4 x 4 patches, a class token, a checksum
GB = 1e9


@pytest.fixture
def plan(tiny_folder, tmp_path, monkeypatch):
    """Plans a training of four labeled and four unlabeled images; `frozen` blocks of four."""
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))

    def make(frozen=3, auto=("feature_views", "unlabeled_feature_views"), **settings):
        values = {"feature_views": 8, "unlabeled_feature_views": 8, **settings}
        config = TrainConfig.from_values(
            {"data": tiny_folder, "size": 48, "crop": 56, "encoder": TINY_VIT, **values}
        )
        given = {name: value for name, value in values.items() if name not in auto}
        network = Network(6, TINY_VIT, weights="none")
        network.encoder.frozen_blocks = frozen
        planned = plan_features(config, NetworkConfig(**given), read_data(config), network)
        return planned.network.feature_views, planned.network.unlabeled_feature_views

    return make


def disk(entries):
    return entries * ENTRY / GB


def test_views_that_fit_stay_as_they_are(plan, log):
    assert plan(feature_disk=disk(96)) == (8, 8)
    assert not log.records


def test_fewer_views_of_unlabeled_images_then_of_labeled_ones(plan, log):
    assert plan(feature_disk=disk(95)) == (8, 7)
    assert plan(feature_disk=disk(40)) == (8, 1)
    assert plan(feature_disk=disk(31)) == (5, 1)
    assert plan(feature_disk=disk(24)) == (4, 1)
    assert "8 views of each labeled image and 8 of each unlabeled one" in log.messages[0]
    assert "So semiseg caches 4 views" in log.messages[-1]


def test_without_room_each_step_computes_the_features(plan, log):
    assert plan(feature_disk=disk(23)) == (0, 0)
    (sentence,) = log.messages
    assert "--feature-disk" in sentence


@pytest.mark.parametrize("auto", [(), ("unlabeled_feature_views",)])
def test_views_that_the_user_asks_for_are_not_reduced(plan, auto):
    with pytest.raises(ConfigError, match="--feature-disk"):
        plan(auto=auto, feature_disk=disk(39))


def test_a_network_without_a_frozen_part_has_none(plan, log):
    assert plan(frozen=0) == (0, 0)
    assert TINY_VIT in log.messages[0]
    with pytest.raises(ConfigError, match="--encoder-training"):
        plan(frozen=0, auto=())


def test_a_full_disk_leaves_half_of_what_is_free(plan, monkeypatch):
    usage = type("Usage", (), {"free": 2 * 40 * ENTRY})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    assert plan() == (8, 1)


@pytest.mark.parametrize(("views", "unlabeled"), [(0, 1), (1, 0)])
def test_features_are_cached_for_all_images_or_for_none(views, unlabeled):
    with pytest.raises(SettingError) as caught:
        NetworkConfig(feature_views=views, unlabeled_feature_views=unlabeled)
    assert caught.value.setting == "unlabeled_feature_views"
