"""What a release publishes: the wheel, the sdist, the citation and the changelog.

The tests that build run in .ci/run only. They use no network: the build is not isolated, and the
environment that runs the wheel sees the packages of this one, but not its semiseg.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

from semiseg import __version__

ROOT = Path(__file__).parents[1]
BUILD = ["-m", "build"]
CHECK = ["-m", "twine", "check", "--strict"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def run(words, folder, **variables):
    """Run a program outside of the repository; its output."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV"))}
    process = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def sources(*folders):
    """The files of the repository in some folders."""
    return set(run(["git", "ls-files", "-z", *folders], ROOT).split("\0")[:-1])


in_a_clone = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, *BUILD, "--no-isolation", "--outdir", folder, ROOT], folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    return built / f"semiseg-{__version__}-py3-none-any.whl"


@pytest.mark.release
def test_twine_accepts_both_files(built, wheel):
    assert {f.name for f in built.iterdir()} == {wheel.name, f"semiseg-{__version__}.tar.gz"}
    words = [sys.executable, *CHECK, *sorted(built.iterdir())]
    assert run(words, built, COLUMNS="200").count("PASSED") == 2


@in_a_clone
@pytest.mark.release
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = (name for name in names if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(about).decode())
    package = {name for name in names if ".dist-info/" not in name}
    assert package == {name.removeprefix("src/") for name in sources("src")}
    assert {"semiseg/py.typed", "semiseg/config/recipes/voc-classic.yaml"} <= package
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == ">=3.11"


@in_a_clone
@pytest.mark.release
def test_the_sdist_holds_what_its_own_tests_read(built):
    with tarfile.open(built / f"semiseg-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = (".ci", ".github", "src", "tests", "docs", "benchmarks", "examples")
    assert sources(*folders) <= names
    assert {"README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "pyproject.toml"} <= names


@pytest.mark.release
def test_the_wheel_works_in_an_environment_of_its_own(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    run([python, "-m", "pip", "install", "--no-deps", "--no-index", "-q", wheel], tmp_path)
    # The dependencies are those of this environment; a .pth file adds them after its own packages.
    place = Path(run([python, "-c", "import semiseg; print(semiseg.__file__)"], tmp_path).strip())
    packages = place.parents[1]
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    semiseg = [scripts / "semiseg"]
    assert run([*semiseg, "--version"], tmp_path).strip() == f"semiseg {__version__}"
    code = "from pathlib import Path; from semiseg.scenes.draw import write_scenes as write\n"
    code += "write(Path('data'), labeled=2, unlabeled=4, val=2, size=(64, 64))"
    where = "import semiseg, sys; print(semiseg.__file__, *sys.path, sep='\\n')"
    first, *paths = run([python, "-c", where], tmp_path).splitlines()
    assert Path(first).is_relative_to(tmp_path)
    assert not any(Path(path).is_relative_to(ROOT) for path in paths if path)
    run([python, "-c", code], tmp_path)
    tiny = ["--weights=none", "--size=48", "--crop=32", "--batch=2", "--steps=2", "--labels=2"]
    tiny += ["--validations=1", "--workers=0", "--accelerator=cpu", "--method=css"]
    assert json.loads(run([*semiseg, "check", "data", "--json"], tmp_path))["ok"]
    run([*semiseg, "train", "data", "--out=run", *tiny], tmp_path)
    assert (tmp_path / "run" / "report.html").is_file()
    run([*semiseg, "predict", "run", "data/val/images", "--out=masks"], tmp_path)
    assert len(list((tmp_path / "masks").glob("*.png"))) == 2


def test_the_citation_has_the_keys_of_its_schema_and_names_the_paper():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "version", "license", "type"} <= CITATION.keys()
    assert CITATION["version"] == __version__
    assert CITATION["type"] == "software"
    (paper,) = CITATION["references"]
    assert paper["type"] == "conference-paper"
    assert paper["title"].startswith("Space Engage: Collaborative Space Supervision")
    assert [author["family-names"] for author in paper["authors"]] == [
        *("Wang", "Xie", "Yuan", "Fu", "Yue")
    ]
    assert (paper["year"], paper["conference"].keys()) == (2023, {"name"})


@in_a_clone
def test_no_file_names_the_host_of_a_package_registry():
    """Who installs semiseg may use another one."""
    hosts = [*("pypi" + end for end in (".org", ".io", ".python.org")), "pythonhosted" + ".org"]
    hosts += ["anaconda" + ".org", "download.pytorch" + ".org", "npmjs" + ".com"]
    files = run(["git", "ls-files", "-z"], ROOT).split("\0")[:-1]
    texts = {name: (ROOT / name).read_bytes() for name in files if (ROOT / name).is_file()}
    assert [(n, h) for n, text in texts.items() for h in hosts if h.encode() in text] == []


def test_the_changelog_has_a_section_for_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\](?: - (.+))?$", text, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert versions[1] == (__version__, str(CITATION["date-released"]))
