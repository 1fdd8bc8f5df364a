"""The network's geometry, the teacher, and the released files."""

import json
import os
import re
import stat

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from semiseg.core.errors import ConfigError, RunError
from semiseg.data.formats.masks import Classes
from semiseg.model.decoders import DECODERS
from semiseg.model.ema import Teacher
from semiseg.model.encoders import normalization, resolve
from semiseg.model.metadata import FORMAT, ModelMetadata, NetworkSpec
from semiseg.model.network import Network, rebuild, upsample
from semiseg.model.release import Release, load_release, save_release, transfer

LITE0 = "tf_efficientnet_lite0"
CLASSES = Classes(("sky", "tree", "road"), ((0, 0, 0), (0, 255, 0), (255, 0, 0)), "ids", (0, 1, 2))


def pictures(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def small_network(representation=True, **settings):
    network = Network(3, weights="none", **settings)
    if representation:
        network.add_representation_head(8)
    return network


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.fixture(scope="module")
def network():
    """In eval mode; no test changes it."""
    torch.manual_seed(0)
    return small_network().eval()


# Geometry


@pytest.mark.parametrize("size", [(101, 75), (64, 64), (33, 47), (32, 200), (50, 1)])
def test_maps_have_a_quarter_of_the_size_rounded_up(network, size):
    with torch.no_grad():
        output = network(pictures(2, 3, *size))
    cells = -(-size[0] // 4), -(-size[1] // 4)
    assert output.logits.shape == (2, 3, *cells)
    assert output.representation.shape == (2, 8, *cells)
    assert output.logits.isfinite().all()


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_gives_maps_of_stride_4(decoder):
    network = small_network(representation=False, decoder=decoder).eval()
    with torch.no_grad():
        output = network(pictures(1, 3, 64, 90))
    assert output.logits.shape == (1, 3, 16, 23)
    assert output.representation is None


def test_an_image_of_odd_size_is_padded_with_the_mean_color(network):
    image = pictures(1, 3, 50, 70)
    padded = network.mean.expand(1, 3, 64, 80).clone()
    padded[..., :50, :70] = image
    with torch.no_grad():
        ours, whole = network(image), network(padded)
    torch.testing.assert_close(ours.logits, whole.logits[..., :13, :18])
    torch.testing.assert_close(ours.representation, whole.representation[..., :13, :18])


def test_images_are_normalized_as_the_encoder_expects():
    network = small_network(representation=False, encoder="resnet18").eval()
    met = []
    network.encoder.register_forward_pre_hook(lambda _module, inputs: met.append(inputs[0]))
    image = pictures(2, 3, 32, 32)
    network(image)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(met[0], (image - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    assert normalization(resolve(LITE0)) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def ramps(source):
    """Two maps, `(1, 2, h, w)`, whose values are a cell's row and column in pixels."""
    rows, columns = (4 * torch.arange(-(-s // 4), dtype=torch.float64) + 1.5 for s in source)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij")).unsqueeze(0)


@pytest.mark.parametrize("source", [(64, 96), (101, 75)], ids=str)
@pytest.mark.parametrize("factor", [1, 2, 5])
def test_a_ramp_is_enlarged_to_a_ramp(source, factor):
    """Its value is the position in the source, so the enlarged one must show positions too."""
    target = [factor * side for side in source]
    large = upsample(ramps(source), source, target)
    assert large.shape == (1, 2, *target)
    for axis, side in enumerate(source):
        position = (torch.arange(factor * side, dtype=torch.float64) + 0.5) / factor - 0.5
        inner = (position >= 1.5) & (position <= side - 3.5)
        line = large[0, axis].movedim(axis, 0)
        assert (line - line[:, :1]).abs().max() < 1e-9
        torch.testing.assert_close(line[inner, 0], position[inner], rtol=0, atol=1e-9)


@pytest.mark.parametrize("target", [(77, 140), (360, 480), (720, 720), (50, 60)], ids=str)
def test_a_ramp_is_enlarged_to_any_size(target):
    """To half a pixel, as the padded picture has whole pixels too."""
    source = (101, 75)
    large = upsample(ramps(source), source, target)
    assert large.shape == (1, 2, *target)
    for axis, side in enumerate(source):
        factor = target[axis] / side
        position = (torch.arange(target[axis], dtype=torch.float64) + 0.5) / factor - 0.5
        inner = (position >= 1.5) & (position <= side - 3.5)
        line = large[0, axis].movedim(axis, 0)[:, 0]
        assert ((line - position)[inner].abs() * factor).max() <= 0.5
        assert (line.diff()[inner[1:] & inner[:-1]] > 0).all()


# Encoders and decoders by name


def test_resolve_knows_the_names_of_both_libraries():
    assert resolve("resnet18") == "resnet18"
    assert resolve(LITE0) == f"tu-{LITE0}"
    assert resolve(f"tu-{LITE0}") == f"tu-{LITE0}"
    assert resolve(f"{LITE0}.in1k") == f"tu-{LITE0}.in1k"


@pytest.mark.parametrize(("name", "suggestion"), [("resnet5O", "resnet50"), ("tu-lite_vit", "vit")])
def test_an_unknown_encoder_is_answered_with_the_nearest_name(name, suggestion):
    with pytest.raises(
        ConfigError, match=rf"no encoder '{name}'.*Did you mean '.*{suggestion}.*'\?"
    ):
        resolve(name)


def test_an_unknown_decoder_is_answered_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"'deeplabv3'.*Did you mean 'deeplabv3plus'\?.*upernet"):
        Network(3, decoder="deeplabv3", weights="none")


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [("densenet121", "deeplabv3plus"), ("coatnet_pico_rw_224", "fpn")],
    ids=["cannot be dilated", "images of 224 alone"],
)
def test_parts_that_do_not_fit_together_are_refused(encoder, decoder):
    with pytest.raises(ConfigError, match=rf"{encoder}.*[Cc]hoose another"):
        Network(3, encoder=encoder, decoder=decoder, weights="none")


# The teacher


class Average:
    """The moving average of some parameters, written out by hand in double precision."""

    def __init__(self, student):
        self.values = {k: p.detach().double().clone() for k, p in student.named_parameters()}

    def update(self, student, step, longest):
        decay = min(1 - 1 / (step + 1), 1 - 1 / longest)
        for k, p in student.named_parameters():
            self.values[k] = decay * self.values[k] + (1 - decay) * p.detach().double()


def disturb(student, seed):
    """What a training step does to a network: other parameters, other statistics."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in student.parameters():
            p.add_(0.03 * torch.randn_like(p))
        for name, b in student.named_buffers():
            if b.is_floating_point() and name not in ("mean", "std"):
                b.add_(torch.rand_like(b))
            elif not b.is_floating_point():
                b.add_(1)


@pytest.mark.parametrize(
    ("memory", "total", "longest"), [(0.03, 100, 3), (0.5, 12, 6), (0.03, 9, 1)]
)
def test_the_teacher_is_the_moving_average_by_hand(memory, total, longest):
    student = small_network(encoder="lcnet_035")
    teacher, expected = Teacher(student, memory), Average(student)
    for step in range(8):
        disturb(student, step)
        teacher.update(student, step, total)
        expected.update(student, step, longest)
        for name, value in teacher.network.named_parameters():
            close = torch.allclose(value.double(), expected.values[name], rtol=1e-5, atol=1e-6)
            assert close, (step, name)
    buffers = dict(student.named_buffers())
    assert len(buffers) > 50
    for name, value in teacher.network.named_buffers():
        assert torch.equal(value, buffers[name]), name


@pytest.mark.parametrize("memory", [0.03, 0.2])
def test_the_teacher_is_bit_identical_to_the_formula_over_sixty_updates(memory):
    student = small_network(encoder="lcnet_035")
    teacher, total = Teacher(student, memory), 60
    parameters = [p.detach().clone() for p in student.parameters()]
    for step in range(total):
        disturb(student, step)
        teacher.update(student, step, total)
        decay = min(1 - 1 / (step + 1), 1 - 1 / max(1.0, memory * total))
        torch._foreach_lerp_(parameters, [p.detach() for p in student.parameters()], 1 - decay)
        averages = teacher.network.parameters()
        assert all(torch.equal(a, p) for a, p in zip(averages, parameters, strict=True)), step
    assert same(dict(teacher.network.named_buffers()), dict(student.named_buffers()))


def test_the_first_steps_of_the_average_are_a_plain_mean():
    student = small_network(representation=False, encoder="lcnet_035")
    teacher, weights = Teacher(student, 1.0), []
    for step in range(4):
        disturb(student, step)
        weights.append(student.logit_head.weight.detach().clone())
        teacher.update(student, step, 1000)
    mean = torch.stack(weights).mean(dim=0)
    torch.testing.assert_close(teacher.network.logit_head.weight, mean)


def test_the_teacher_stays_in_eval_mode_and_gives_no_gradient():
    student = small_network(encoder="lcnet_035")
    teacher = Teacher(student, 0.1)
    assert teacher.train() is teacher
    holder = torch.nn.ModuleDict({"student": student, "teacher": teacher}).train()
    assert student.training
    assert not any(module.training for module in holder["teacher"].modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    buffers = {k: b.clone() for k, b in teacher.named_buffers()}
    output = teacher(pictures(2, 3, 32, 32).requires_grad_())
    assert not output.logits.requires_grad
    assert not output.representation.requires_grad
    assert same(buffers, dict(teacher.named_buffers()))


def test_the_teacher_shares_no_tensor_with_the_student():
    """Or it would follow at once; and the student must go on learning."""
    student = small_network(encoder="lcnet_035")
    teacher = Teacher(student, 0.1)
    assert all(p.requires_grad for p in student.parameters())
    before = {k: v.clone() for k, v in teacher.network.state_dict().items()}
    assert same(before, student.state_dict())
    disturb(student, 0)
    assert same(before, teacher.network.state_dict())


def test_a_resumed_teacher_goes_on_where_it_was():
    """Its state dict holds all that its next update depends on."""
    student = small_network(representation=False, encoder="lcnet_035")
    teacher = Teacher(student, 0.1)
    for step in range(3):
        disturb(student, step)
        teacher.update(student, step, 100)
    resumed = Teacher(student, 0.1)
    resumed.load_state_dict(teacher.state_dict())
    disturb(student, 3)
    teacher.update(student, 3, 100)
    resumed.update(student, 3, 100)
    assert same(teacher.state_dict(), resumed.state_dict())
    assert not same(teacher.network.state_dict(), student.state_dict())


# The released files


def release(folder, network, method="css"):
    tensors = {}
    if network.representation_head is not None:
        tensors = {"prototypes": pictures(3, 8), "seen": torch.tensor([True, False, True])}
    metadata = ModelMetadata(network=network.spec, classes=CLASSES, size=240, method=method)
    save_release(folder, Release(network, tensors, metadata))
    return tensors


@pytest.fixture
def trained():
    """A network whose every number differs from a fresh one's."""
    network = small_network(decoder="fpn", encoder="resnet18")
    network.set_normalization(normalization("resnet18")._replace(mean=(0.1, 0.2, 0.3)))
    disturb(network, 0)
    return network.eval()


def test_who_may_read_the_folder_may_read_the_model(trained, tmp_path):
    before = os.umask(0o027)
    try:
        release(tmp_path, trained)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o640


def test_a_released_model_is_the_same_model(trained, tmp_path):
    tensors = release(tmp_path, trained, method="Bäume")
    loaded = load_release(tmp_path)
    assert same(loaded.network.state_dict(), trained.state_dict())
    assert loaded.network.spec == trained.spec
    assert loaded.metadata.classes == CLASSES
    assert loaded.metadata.size == 240
    assert same(loaded.tensors, tensors)
    assert loaded.metadata.method == "Bäume"
    assert not any(module.training for module in loaded.network.modules())
    image = pictures(2, 3, 50, 70)
    with torch.no_grad():
        ours = loaded.network(image)
        theirs = trained.to(memory_format=torch.channels_last)(image)
    assert torch.equal(ours.logits, theirs.logits)
    assert torch.equal(ours.representation, theirs.representation)


def test_a_network_without_representation_head_is_released_without_one(tmp_path):
    network = small_network(representation=False)
    release(tmp_path, network)
    assert load_release(tmp_path).network.representation_head is None


def test_rebuild_asks_for_no_weights(trained, monkeypatch):
    def fail(*_args, **_kwargs):
        raise AssertionError("weights were asked for")

    monkeypatch.setattr("semiseg.model.weights.load_from_hub", fail)
    monkeypatch.setattr("semiseg.model.weights._load_package", fail)
    again = rebuild(NetworkSpec.from_dict(json.loads(json.dumps(trained.spec.to_dict()))))
    again.load_state_dict(trained.state_dict())
    with torch.no_grad():
        image = pictures(1, 3, 32, 32)
        assert torch.equal(again.eval()(image).logits, trained(image).logits)


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_folder_without_a_model_is_refused(trained, tmp_path, name):
    release(tmp_path, trained)
    (tmp_path / name).unlink()
    with pytest.raises(RunError, match=rf"no trained model: {re.escape(name)} is missing.*--out"):
        load_release(tmp_path)


def test_another_format_is_refused_with_the_version_that_wrote_it(trained, tmp_path):
    release(tmp_path, trained)
    path = tmp_path / "model.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    assert about["format"] == FORMAT
    path.write_text(json.dumps({**about, "format": FORMAT + 1, "semiseg": "9.8.7"}))
    with pytest.raises(RunError, match=rf"format {FORMAT + 1}, written by semiseg 9\.8\.7"):
        load_release(tmp_path)


@pytest.mark.parametrize(
    "damage", ["half a json", "no format", "no scores", "cut off", "a tensor less"]
)
def test_a_damaged_model_is_refused(trained, tmp_path, damage):
    release(tmp_path, trained)
    about, weights = tmp_path / "model.json", tmp_path / "model.safetensors"
    if damage == "half a json":
        about.write_text(about.read_text(encoding="utf-8")[:100])
    elif damage == "no format":
        about.write_text("{}")
    elif damage == "no scores":
        content = json.loads(about.read_text(encoding="utf-8"))
        about.write_text(json.dumps({**content, "per_class": {"a": 3}}))
    elif damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:5000])
    else:
        tensors = load_file(weights)
        del tensors["network.logit_head.bias"]
        save_file(tensors, weights)
    with pytest.raises(RunError, match="cannot be read") as error:
        load_release(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_the_files_are_readable_without_semiseg(trained, tmp_path):
    """Plain tensors under the network's own names, and plain values."""
    release(tmp_path, trained)
    tensors = load_file(tmp_path / "model.safetensors")
    weight = tensors["network.logit_head.weight"]
    assert torch.equal(weight, trained.logit_head.weight)
    about = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    assert about["classes"]["names"] == list(CLASSES.names)
    assert about["network"]["mean"] == [0.1, 0.2, 0.3]
    assert about["size"] == 240
    pixel = F.conv2d(torch.ones(1, weight.shape[1], 1, 1), weight)
    assert pixel.shape == (1, 3, 1, 1)


def test_a_student_starts_from_a_release_of_the_same_parts_alone(tmp_path):
    release(tmp_path, small_network(decoder="fpn", encoder="lcnet_035"))
    student = small_network(encoder="lcnet_035")
    with pytest.raises(ConfigError, match=r"--start-from.*decoder is fpn.*Add --decoder fpn"):
        transfer(load_release(tmp_path), student, CLASSES.names)


def test_a_representation_head_of_another_width_stays_as_it_was(tmp_path):
    theirs = small_network(decoder="fpn", encoder="lcnet_035").eval()
    disturb(theirs, 0)
    release(tmp_path, theirs)
    student = small_network(representation=False, decoder="fpn", encoder="lcnet_035").eval()
    student.add_representation_head(5)
    before = student.representation_head[-1].weight.detach().clone()
    with torch.no_grad():
        assert transfer(load_release(tmp_path), student, CLASSES.names) == ()
    assert torch.equal(student.representation_head[-1].weight, before)
    image = pictures(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(student(image).logits, theirs(image).logits)


@pytest.mark.parametrize(
    "prior", [torch.zeros(2), torch.zeros(6).double(), torch.full((6,), torch.nan)], ids=str
)
def test_a_prior_that_is_not_a_finite_number_a_class_is_refused(css_release, tmp_path, prior):
    r = load_release(css_release)
    save_release(tmp_path, r._replace(tensors={**r.tensors, "similarity_prior": prior}))
    with pytest.raises(RunError, match="`similarity_prior` does not hold one finite"):
        load_release(tmp_path)
