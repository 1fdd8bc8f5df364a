"""The files of examples/cluster: their programs read them, and semiseg their commands."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from semiseg import cli
from semiseg.commands.settings.models import PredictSettings
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


@pytest.fixture
def configured(monkeypatch):
    """Gives the configuration that `train` or `compare` gets, and its further flags."""
    calls = []
    monkeypatch.setattr(
        "semiseg.commands.verbs.load_command",
        lambda name: lambda config, **flags: calls.append((name, config, flags)) or Done(),
    )

    def parse(words):
        cli.main(words)
        return calls.pop()

    return parse


def submit(file, folder, status, words=(), **environment):
    """Run a batch file of Slurm with stand-ins for the programs that it calls.

    Returns:
        Its exit status, the words of semiseg, and those of scontrol.
    """
    programs = {
        "semiseg": f'printf "%s\\n" "$@" > {folder}/semiseg.log; exit {status}',
        "srun": '[ "$1" = --cpus-per-task=4 ] && shift && exec "$@"',
        "scontrol": f'echo "$@" >> {folder}/scontrol.log',
    }
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        (folder / f"{name}.log").unlink(missing_ok=True)
    (folder / "scontrol.log").touch()
    environment = {**ENVIRONMENT, "PATH": f"{folder}:/usr/bin:/bin", **environment}
    result = subprocess.run(["bash", str(FILES / file), *words], env=environment)
    logs = [(folder / f"{name}.log").read_text().splitlines() for name in ("semiseg", "scontrol")]
    return result.returncode, *logs


def options_of(file):
    """The options in the head of a batch file."""
    text = (FILES / file).read_text()
    return dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", text, re.MULTILINE))


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
@pytest.mark.parametrize(
    ("status", "requeued"), [(0, []), (130, ["requeue 77"]), (143, []), (2, [])]
)
def test_a_training_on_slurm_goes_on_after_its_time_limit(configured, tmp_path, status, requeued):
    own = {"DATA": "/shared/my data", "RUN": "/shared/run", "SLURM_JOB_ID": "77"}
    code, words, scontrol = submit("slurm-train.sh", tmp_path, status, ["--labels", "23"], **own)
    assert (code, scontrol) == (status, requeued)
    name, config, flags = configured(words)
    assert (name, config.data.labels) == ("train", "23")
    assert (str(config.data.data), str(config.out)) == (own["DATA"], own["RUN"])
    assert flags == {"overwrite": False, "resume": True}
    options = options_of("slurm-train.sh")
    assert options["signal"] == "INT@120"
    assert {"requeue", "open-mode"} <= options.keys()


@needs_bash
@pytest.mark.parametrize(("status", "requeued"), [(0, []), (130, ["requeue 77"]), (2, [])])
def test_a_training_on_several_gpus_goes_on_too(configured, tmp_path, status, requeued):
    own = {"DATA": "/shared/data", "RUN": "/shared/run", "SLURM_JOB_ID": "77"}
    words = ["--recipe", "voc-classic", "--num-nodes", "2"]
    code, words, scontrol = submit(
        "slurm-train.sh", tmp_path, status, words, SLURM_NTASKS_PER_NODE="4", **own
    )
    assert (code, scontrol) == (status, requeued)
    _, config, flags = configured(words)
    assert (config.machine.devices, config.machine.num_nodes) == (4, 2)
    assert flags["resume"]


@needs_bash
def test_the_seeds_of_a_comparison_on_slurm(configured, tmp_path):
    own = {"DATA": "/shared/data", "OUT": "/shared/compare", "SLURM_ARRAY_JOB_ID": "70"}
    code, words, scontrol = submit("slurm-compare.sh", tmp_path, 130, **own)
    assert (code, scontrol) == (130, ["requeue 70_3"])
    name, config, _ = configured(words)
    assert (name, config.grid.seeds, config.grid.methods) == (
        "compare",
        (3,),
        ("supervised", "css-stored"),
    )
    code, words, scontrol = submit("slurm-compare.sh", tmp_path, 0, SEEDS="0,1,2", **own)
    assert (code, scontrol) == (0, [])
    last = configured(words)[1]
    assert last.grid.seeds == (0, 1, 2)
    assert last.shared == config.shared  # a job with other settings would be refused
    assert {"signal", "requeue"} <= options_of("slurm-compare.sh").keys()
    assert "array" not in options_of("slurm-compare.sh")  # the command line says which seeds


@needs_bash
@pytest.mark.parametrize("file", ["slurm-train.sh", "slurm-compare.sh"])
def test_the_page_on_slurm_has_the_lines_of_the_files(file):
    subprocess.run(["bash", "-n", str(FILES / file)], check=True)
    page = (FILES.parents[1] / "docs" / "slurm.md").read_text()
    script = (FILES / file).read_text()
    heads = {line for line in page.splitlines() if line.startswith("#SBATCH")}
    assert heads <= set((FILES / "slurm-train.sh").read_text().splitlines())
    submitted = [line[1:].strip() for line in script.splitlines() if " sbatch " in f" {line} "]
    submitted = [line for line in submitted if line.endswith(".sh")]
    assert submitted
    for line in submitted:
        assert line in page


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
