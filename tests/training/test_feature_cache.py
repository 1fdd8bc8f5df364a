"""Cached features: they are those of the network on the same views, whatever came before."""

import os

import pytest
import torch
from tiny_vit import TINY_EVA, TINY_VIT

from semiseg.config.feature_views import FeatureViews, choose_feature_views
from semiseg.config.network import NetworkConfig
from semiseg.core.errors import RunError
from semiseg.core.rng import Key
from semiseg.core.types import Batch
from semiseg.data.reader import load_dataset
from semiseg.data.splits import make_split
from semiseg.inference.scenes import to_input
from semiseg.model.network import Network
from semiseg.training import feature_cache
from semiseg.training.batches import TrainingBatches, TrainingImages, Views
from semiseg.training.feature_cache import FeatureCache

VIEWS = Views(48, 32, fixed=FeatureViews(3, 2))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of the features, in a cache of the test's own."""
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="module")
def images(tiny_folder):
    dataset = load_dataset(tiny_folder)
    split = make_split(dataset, "2", 0)
    return TrainingImages(split.labeled, split.unlabeled, dataset.classes)


def freeze(encoder, blocks=2):
    """A network whose encoder is frozen up to a block, as `--encoder-training` freezes it."""
    Key.of(0, "network").seed_globals()
    network = Network(3, encoder, weights="none")
    vit = network.encoder
    vit.frozen_blocks = blocks
    for name, parameter in vit.model.named_parameters():
        parameter.requires_grad = vit.block_number(name) > blocks
    return network.train()


def make(images, network, seed=0, views=VIEWS):
    """Batches and their cache, opened."""
    batches = TrainingBatches(images, views, 2, Key.of(seed, "data"))
    cache = FeatureCache(batches, NetworkConfig())
    cache.open(network)
    return batches, cache


def files(folder):
    return sorted(folder.glob("*/*/*"))


def groups(folder):
    return {path.name for path in folder.iterdir()}


def features_of(batch):
    return (
        *batch.labeled.features,
        *batch.unlabeled.weak_features,
        *batch.unlabeled.strong_features,
    )


def equal(ours, theirs):
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("encoder", [TINY_VIT, TINY_EVA])
@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_features_are_those_of_the_frozen_blocks_in_half_precision(images, encoder, blocks):
    network = freeze(encoder, blocks)
    batches, cache = make(images, network)
    plain = batches[0]
    for batch in (cache.attach(plain), cache.attach(plain)):  # computed, then read
        for inputs in (
            batch.labeled.inputs,
            batch.unlabeled.weak_inputs,
            batch.unlabeled.strong_inputs,
        ):
            expected = network.eval().frozen_features(to_input(inputs.image))
            assert len(inputs.features) == len(expected) > 1
            for ours, theirs in zip(inputs.features, expected, strict=True):
                assert ours.dtype == torch.float16
                torch.testing.assert_close(ours.float(), theirs, rtol=1e-3, atol=1e-4)


def test_features_of_a_frozen_encoder_are_the_levels_of_timm(images):
    network = freeze(TINY_VIT, 4)
    batches, cache = make(images, network)
    batch = cache.attach(batches[0])
    vit = network.encoder
    pixels = torch.nn.functional.pad(
        (to_input(batch.labeled.image) - network.mean) / network.std, (0, 24, 0, 24)
    )
    levels = vit.model.eval().forward_intermediates(
        pixels, indices=list(vit.levels), intermediates_only=True
    )
    for ours, theirs in zip(batch.labeled.features, levels, strict=True):
        torch.testing.assert_close(ours.float(), theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_features_of_dinov2_are_within_half_precision(images):
    file = os.environ.get("SEMISEG_DINOV2")
    if file is None:
        pytest.skip("the environment variable SEMISEG_DINOV2 names no file with DINOv2-S")
    network = Network(3, "vit_small_patch14_dinov2", weights=file)
    network.encoder.frozen_blocks = 12
    batches, cache = make(images, network, views=VIEWS._replace(crop=56))
    labeled = cache.attach(batches[0]).labeled
    vit = network.encoder
    with torch.no_grad():
        levels = vit.model.eval().forward_intermediates(
            (to_input(labeled.image) - network.mean) / network.std,
            indices=list(vit.levels),
            intermediates_only=True,
        )
    for ours, theirs in zip(labeled.features, levels, strict=True):
        # Half a unit in the last place, and what the batch changes in single precision.
        torch.testing.assert_close(ours.float(), theirs, rtol=2**-11, atol=1e-4)


def test_the_network_goes_on_from_cached_features(images):
    network = freeze(TINY_EVA)
    batches, cache = make(images, network)
    labeled = cache.attach(batches[0]).labeled
    network.eval()
    image = to_input(labeled.image)
    with torch.no_grad():
        ours = network(image, [f.float() for f in labeled.features]).logits
        theirs = network(image).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-3)


def test_neither_the_batch_nor_the_cache_changes_a_bit(images, folder):
    network = freeze(TINY_VIT)
    batches, cache = make(images, network)
    whole = cache.attach(batches[0])
    again = cache.attach(batches[0])
    assert equal(features_of(whole), features_of(again))
    for file in files(folder):
        file.unlink()
    plain = batches[0]
    for i in (1, 0):
        part = Batch(
            plain.labeled._replace(
                image=plain.labeled.image[i : i + 1], mask=plain.labeled.mask[i : i + 1]
            ),
            None,
            0,
        )
        alone = cache.attach(part).labeled.features
        assert equal(alone, [f[i : i + 1] for f in whole.labeled.features])


def test_other_seeds_share_the_views_and_their_features(images, folder, monkeypatch):
    network = freeze(TINY_VIT)
    batches, cache = make(images, network)
    views = {"image": set(), "weak": set(), "strong": set()}
    for number in range(20):
        batch = cache.attach(batches[number])
        views["image"] |= {image.numpy().tobytes() for image in batch.labeled.image}
        views["weak"] |= {image.numpy().tobytes() for image in batch.unlabeled.weak}
        views["strong"] |= {image.numpy().tobytes() for image in batch.unlabeled.strong}
    assert len(views["image"]) == 3 * len(images.labeled)
    assert len(views["weak"]) == len(views["strong"]) == 2 * len(images.unlabeled)
    assert len(files(folder)) == len(set.union(*views.values()))
    batches, cache = make(images, network, seed=1)

    def refuse(*arguments):
        raise AssertionError("the features were there")

    monkeypatch.setattr(feature_cache, "frozen_features", refuse)
    for number in range(5):
        assert len(cache.attach(batches[number]).labeled.features) == 3


def test_a_step_draws_its_views_from_the_seed(images):
    def views(seed, count=12):
        batches = TrainingBatches(images, VIEWS, 2, Key.of(seed, "data"))
        return [batches[number].labeled.image for number in range(count)]

    assert equal(views(0), views(0))
    assert not equal(views(0), views(1))


@pytest.mark.parametrize(
    "views",
    [
        VIEWS._replace(crop=48),
        VIEWS._replace(size=56),
        VIEWS._replace(photometry="paper"),
        VIEWS._replace(scale=(1.0, 1.0)),
    ],
    ids=["crop", "size", "photometry", "scale"],
)
def test_other_views_have_other_files(images, folder, views):
    network = freeze(TINY_VIT)
    for each in (VIEWS, views, VIEWS):
        batches, cache = make(images, network, views=each)
        cache.attach(batches[0])
        cache.close()
    assert len(groups(folder)) == 2


def test_other_weights_have_other_files(images, folder):
    def change_frozen(network):
        network.encoder.model.pos_embed.data[0, 0, 0] += 1e-6

    def change_trained(network):
        network.encoder.model.blocks[3].mlp.fc1.weight.data.zero_()

    def change_split(network):
        network.encoder.frozen_blocks = 1

    def change_normalization(network):
        network.mean += 0.01

    counts = []
    for change in (lambda _: None, change_trained, change_frozen, change_split):
        network = freeze(TINY_VIT)
        change(network)
        make(images, network)[1].close()
        counts.append(len(groups(folder)))
    assert counts == [1, 1, 2, 3]
    network = freeze(TINY_VIT)
    change_normalization(network)
    make(images, network)[1].close()
    assert len(groups(folder)) == 4


def test_a_torn_file_is_computed_again(images, folder):
    network = freeze(TINY_VIT)
    batches, cache = make(images, network)
    expected = features_of(cache.attach(batches[0]))
    for file in files(folder):
        file.write_bytes(file.read_bytes()[:-9])
    assert equal(features_of(cache.attach(batches[0])), expected)
    assert len({file.stat().st_size for file in files(folder)}) == 1


def test_the_mode_of_each_part_stays(images):
    network = freeze(TINY_VIT)
    network.encoder.model.blocks[0].eval()
    modes = [module.training for module in network.modules()]
    batches, cache = make(images, network)
    cache.attach(batches[0])
    assert [module.training for module in network.modules()] == modes


def test_features_beyond_half_precision_are_refused(images):
    network = freeze(TINY_VIT)
    batches, cache = make(images, network)
    network.encoder.model.pos_embed.data.fill_(1e6)
    with pytest.raises(RunError, match="--feature-views 0"):
        cache.attach(batches[0])


class Facts:
    """What the rule reads of the facts."""

    def __init__(self, device="cpu", labeled=23, unlabeled=344):
        self.device, self.labeled, self.unlabeled = device, labeled, unlabeled


@pytest.mark.parametrize(
    ("settings", "facts", "views"),
    [
        ({}, Facts(), (0, 0)),
        ({"encoder_training": "norms"}, Facts(), (0, 0)),
        ({"encoder_training": "head"}, Facts(), (32, 2)),
        ({"encoder_training": "last-4"}, Facts(unlabeled=92), (32, 8)),
        ({"encoder_training": "last-4"}, Facts(unlabeled=5), (32, 32)),
        ({"encoder_training": "last-4"}, Facts(unlabeled=0), (32, 32)),
        ({"encoder_training": "last-4"}, Facts("cuda"), (0, 0)),
        ({"encoder_training": "last-4", "feature_views": 6}, Facts("cuda"), (6, 2)),
        ({"feature_views": 1}, Facts(), (1, 1)),
        ({"feature_views": 5, "unlabeled_feature_views": 7}, Facts(), (5, 7)),
        ({"encoder_training": "head", "feature_views": 0}, Facts(), (0, 0)),
    ],
)
def test_the_rule_for_the_number_of_views(settings, facts, views):
    assert choose_feature_views(NetworkConfig(**settings), facts) == views
