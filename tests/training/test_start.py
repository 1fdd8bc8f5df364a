"""What is refused before the data are read, and what `config.yaml` says about weights."""

import pytest
import yaml

import semiseg
from semiseg.core.errors import ConfigError
from semiseg.model.encoder_training import check_part


@pytest.fixture
def nowhere(tmp_path):
    """A data folder that does not exist: whoever reads it fails with another error."""
    return tmp_path / "nowhere"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder_training": "last-99"}, r"has 5 stages. Choose last-1 to last-4"),
        ({"weights": "gone.safetensors"}, "There is no weights file gone.safetensors"),
        ({"weights": "runs/gone"}, "There is no weights file runs/gone"),
    ],
)
def test_what_no_data_can_correct_is_refused_before_they_are_read(nowhere, settings, message):
    with pytest.raises(ConfigError, match=message):
        semiseg.plan(nowhere, method="supervised", encoder="lcnet_035", **settings)


def test_a_part_that_exists_needs_the_data(nowhere):
    with pytest.raises(semiseg.DataError):
        semiseg.plan(nowhere, method="supervised", encoder="lcnet_035", encoder_training="last-2")


def test_an_encoder_that_needs_memory_to_be_built_is_checked_with_its_weights():
    from semiseg.config.encoder_training import parse_encoder_training

    check_part("mit_b0", "auto", parse_encoder_training("last-99"), 8)


@pytest.mark.slow
def test_a_relative_path_of_weights_is_stored_as_an_absolute_one(
    tiny_run, tiny_folder, tiny_settings, tmp_path, monkeypatch
):
    earlier = tiny_run("supervised")
    monkeypatch.chdir(earlier.parent)
    settings = {**tiny_settings, "weights": f"./{earlier.name}", "steps": 1, "validations": 1}
    out = tmp_path / "run"
    semiseg.train(tiny_folder, method="supervised", out=out, **settings)
    assert yaml.safe_load((out / "config.yaml").read_text())["weights"] == str(earlier)
    again = semiseg.train(tiny_folder, method="supervised", out=out, resume=True, **settings)
    assert again.folder == out
