"""The files of examples/cluster: their programs read them, and semiseg their commands."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from semiseg import cli
from semiseg.commands.settings import PredictSettings
from semiseg.inference.figures import Record
from semiseg.inference.ledger import open_ledger
from semiseg.inference.ledger_file import End, Header

FILES = Path(__file__).parents[1] / "examples" / "cluster"
ENVIRONMENT = {
    "RUN": "/shared/run",
    "IMAGES": "/shared/my pool",
    "OUT": "/shared/masks",
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_ARRAY_TASK_COUNT": "4",  # as when four shards run again
    "SLURM_CPUS_PER_TASK": "4",
    "JOB_COMPLETION_INDEX": "2",
}
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


class Done:
    """A result without a word."""

    def text(self):
        return ""


@pytest.fixture
def understood(monkeypatch):
    """Gives the settings of a command line, which is parsed and not run."""
    calls = []

    def load_command(name):
        assert name == "predict"
        return lambda **settings: calls.append(PredictSettings(**settings)) or Done()

    monkeypatch.setattr("semiseg.commands.verbs.load_command", load_command)

    def parse(words):
        cli.main(words)
        return calls.pop()

    return parse


def called(script, folder):
    """The words with which a script calls semiseg, without its name."""
    program = folder / "semiseg"
    program.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    program.chmod(0o755)
    environment = {**ENVIRONMENT, "PATH": f"{folder}:/usr/bin:/bin"}
    result = subprocess.run(
        ["bash", "-c", script], env=environment, check=True, capture_output=True, text=True
    )
    return result.stdout.splitlines()


def in_comments(file):
    """The words of the commands in the comments, without the name of semiseg."""
    for line in (FILES / file).read_text().splitlines():
        command = re.search(r"semiseg predict [^'`]*", line)
        if line.startswith("#") and command is not None:
            yield shlex.split(command[0])[1:]


@needs_bash
def test_the_array_of_slurm(understood, tmp_path):
    file = FILES / "slurm-shards.sh"
    subprocess.run(["bash", "-n", str(file)], check=True)
    settings = understood(called(file.read_text(), tmp_path))
    assert (settings.shard, settings.threads) == ("3/64", 4)
    assert settings.images == ENVIRONMENT["IMAGES"]
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", file.read_text(), re.MULTILINE))
    assert options["array"] == "1-64"
    assert options["cpus-per-task"] == str(settings.threads)
    (merge,) = map(understood, in_comments("slurm-shards.sh"))
    assert merge.merge


@needs_bash
def test_the_job_of_kubernetes(understood, tmp_path):
    job = yaml.safe_load((FILES / "kubernetes-job.yaml").read_text())["spec"]
    (container,) = job["template"]["spec"]["containers"]
    shell, option, command = container["command"]
    assert (shell, option) == ("sh", "-c")
    settings = understood(called(command, tmp_path))
    assert settings.shard == f"3/{job['completions']}"
    assert str(settings.threads) == container["resources"]["requests"]["cpu"]
    assert job["completionMode"] == "Indexed"
    assert 0 < job["backoffLimitPerIndex"] < 10
    rules = job["podFailurePolicy"]["rules"]
    assert not any("onExitCodes" in rule for rule in rules)  # a server may answer the next try
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in job["template"]["spec"]["volumes"]}
    (merge,) = map(understood, in_comments("kubernetes-job.yaml"))
    assert merge.merge


@needs_bash
@pytest.mark.parametrize(
    ("states", "finished", "status"), [(["failed"], True, 0), (["failed"], False, 2), ([], True, 2)]
)
def test_a_pod_ends_well_if_only_images_failed(tmp_path, states, finished, status):
    with open_ledger(tmp_path, Header(3, 64, "hash", ("soil",)), overwrite=False) as ledger:
        for state in states:
            ledger.add(Record("a", state, reason="broken"))
        if finished:
            ledger.finish(ledger.records, End(1, "0"))
    job = yaml.safe_load((FILES / "kubernetes-job.yaml").read_text())["spec"]
    script = job["template"]["spec"]["containers"][0]["command"][2]
    script = f"semiseg() {{ return 2; }}\n{script.replace('/data/masks', str(tmp_path))}"
    assert subprocess.run(["bash", "-c", script], env=ENVIRONMENT).returncode == status


def test_the_cluster_of_ray(understood):
    cluster = yaml.safe_load((FILES / "ray-cluster.yaml").read_text())
    assert len(cluster["provider"]["worker_ips"]) == cluster["max_workers"]
    (settings,) = map(understood, in_comments("ray-cluster.yaml"))
    assert settings.engine == "ray"
    extras = re.search(r"semiseg\[([\w,]+)\]", cluster["setup_commands"][0])[1].split(",")
    assert {"ray", settings.out.partition(":")[0]} <= set(extras)


@pytest.mark.cluster
def test_ray_accepts_its_cluster():
    autoscaler = pytest.importorskip("ray.autoscaler._private.util")
    content = yaml.safe_load((FILES / "ray-cluster.yaml").read_text())
    autoscaler.validate_config(autoscaler.prepare_config(content))
