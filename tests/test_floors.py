"""No bound of pyproject.toml admits a version with a known vulnerability."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
FLOORS = tomllib.loads((ROOT / "security-floors.toml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements():
    """The dependencies and those of the extras, semiseg's own extras excepted."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    parsed = [Requirement(line) for group in groups for line in group]
    return [requirement for requirement in parsed if requirement.name != "semiseg"]


def lower_bound(requirement):
    """The version behind >=, or None where there is none."""
    versions = [Version(s.version) for s in requirement.specifier if s.operator == ">="]
    return versions[0] if versions else None


@pytest.mark.parametrize("package", FLOORS)
def test_the_bound_of_a_package_is_at_its_security_floor_or_above(package):
    bounds = [lower_bound(r) for r in requirements() if r.name == package]
    assert bounds, f"{package} has a security floor, but pyproject.toml does not ask for it"
    for bound in bounds:
        assert bound is not None
        assert bound >= Version(FLOORS[package]["floor"])


@pytest.mark.parametrize("package", FLOORS)
def test_a_floor_names_its_vulnerabilities_and_says_why(package):
    entry = FLOORS[package]
    assert set(entry) == {"floor", "cves", "reason"}
    assert entry["cves"]
    assert all(re.fullmatch(r"CVE-\d{4}-\d{4,}", cve) for cve in entry["cves"])
    assert entry["reason"].endswith(".")


def test_every_dependency_has_a_lower_bound():
    required = [Requirement(line) for line in PROJECT["dependencies"]]
    assert [r.name for r in required if lower_bound(r) is None] == []
