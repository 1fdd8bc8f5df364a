"""The workflows on GitHub run the commands of the README and of .ci/run, with pinned actions."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DEVELOPMENT = {"test", "browser", "docs", "release"}


def read(name):
    """A workflow; YAML reads its key `on` as a truth value."""
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


CI, PUBLISH = read("ci.yml"), read("publish.yml")
JOBS = {**CI["jobs"], **PUBLISH["jobs"]}
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]


def commands(job):
    """The command lines of a job, continued lines joined."""
    scripts = [step["run"] for step in JOBS[job]["steps"] if "run" in step]
    lines = "\n".join(scripts).replace("\\\n", "").splitlines()
    return [line for line in lines if line]


def fenced(pattern):
    """The line of the README's code that holds these words."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    fences = "".join(re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    (line,) = (line for line in fences.splitlines() if pattern in line)
    return line


def extras_in(line):
    """The extras that a command installs."""
    groups = re.findall(r"\.\[([\w,-]+)\]", line)
    return {name for group in groups for name in group.split(",")}


def test_the_two_workflows_are_the_ones_that_are_tested_here():
    assert sorted(f.name for f in FOLDER.iterdir()) == ["ci.yml", "publish.yml"]


def test_every_system_and_python_runs_the_command_of_the_readme():
    job = CI["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    prefix = "Programming Language :: Python :: 3."
    versions = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if c.startswith(prefix)]
    assert matrix["python"] == versions == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={versions[0]}"
    assert job["defaults"]["run"]["shell"] == "bash"
    assert commands("test") == [fenced("python -m pytest")]


def test_ci_and_publishing_begin_with_the_program_that_is_run_by_hand():
    assert commands("everything") == ["bash .ci/run"]
    assert commands("build")[0] == "bash .ci/run"
    assert (ROOT / ".ci" / "run").is_file()


def test_the_docs_are_built_as_ci_run_builds_them():
    build = commands("docs")[-1]
    by_hand = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert build.replace(" site", ' "$room/docs"') in by_hand
    assert CI["jobs"]["docs"]["steps"][-1]["with"]["path"] == build.split()[-1]
    publication = CI["jobs"]["publish-docs"]
    assert publication["needs"] == ["everything", "docs"]
    assert publication["if"] == "github.event_name == 'push'"


def test_what_is_published_is_built_and_checked_as_in_the_tests():
    lines = [shlex.split(line) for line in commands("build")]
    tests = (ROOT / "tests" / "test_release.py").read_text(encoding="utf-8")
    for words in (["-m", "build"], ["-m", "twine", "check", "--strict"]):
        assert json.dumps(words) in tests
        assert any(line[: len(words) + 1] == ["python", *words] for line in lines)
    assert PUBLISH[True] == {"push": {"tags": ["v*"]}}
    assert PUBLISH["jobs"]["publish"]["needs"] == "build"
    bounds = PROJECT["optional-dependencies"]["release"]
    (install,) = (line for line in lines if line[:4] == ["python", "-m", "pip", "install"])
    assert set(install[4:]) <= set(bounds)


def test_the_audit_covers_every_extra_that_users_get():
    install, listing, _, audit = commands("audit")[1:]
    assert extras_in(install) == PROJECT["optional-dependencies"].keys() - DEVELOPMENT
    assert listing.endswith("> installed.txt")
    assert audit.startswith("python -m pip_audit --strict ")
    assert audit.endswith("-r installed.txt")


def test_each_extra_that_a_command_installs_exists():
    for job in JOBS:
        for line in commands(job):
            assert extras_in(line) <= PROJECT["optional-dependencies"].keys()


@pytest.mark.parametrize(("job", "step"), [(n, s) for n, s in STEPS if "uses" in s])
def test_an_action_is_pinned_to_the_commit_of_a_release(job, step):
    assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
    text = "".join(f.read_text(encoding="utf-8") for f in FOLDER.iterdir())
    releases = re.findall(rf"{re.escape(step['uses'])} # (v\d+\.\d+\.\d+)$", text, re.MULTILINE)
    assert len(set(releases)) == 1
    assert text.count(step["uses"]) == len(releases)
    action = step["uses"].partition("@")[0]
    assert len(set(re.findall(rf"{action}@(\w+)", text))) == 1
    if action == "actions/checkout":
        assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", JOBS)
def test_a_job_has_a_time_limit_and_only_the_rights_that_it_needs(name):
    assert JOBS[name]["timeout-minutes"] <= 60
    allowed = {
        "publish-docs": {"pages": "write", "id-token": "write"},
        "publish": {"id-token": "write"},
    }
    assert JOBS[name].get("permissions") == allowed.get(name)
    assert CI["permissions"] == PUBLISH["permissions"] == {"contents": "read"}
