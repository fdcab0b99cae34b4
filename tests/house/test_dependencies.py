"""pyproject.toml is the source; the lock, environment.yml and the Makefile follow it."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    return dict(line.split("==") for line in kept)


def installed_extras(text: str) -> set[str]:
    found = re.search(r"-e\s+'?\.\[([\w,]+)\]", text)
    assert found is not None
    return set(found.group(1).split(","))


@pytest.mark.parametrize("line", WANTED)
def test_the_lock_pins_every_dependency_at_a_version_it_allows(line):
    wanted = Requirement(line)
    locked = pins()
    name = canonicalize_name(wanted.name)
    assert name in locked, "run `make lock`"
    assert wanted.specifier.contains(locked[name], prereleases=True), "run `make lock`"


def test_the_lock_is_only_pins():
    for name, version in pins().items():
        assert name == canonicalize_name(name)
        assert str(Version(version)) == version or re.fullmatch(r"[\d.]+(post|rc)?\d*", version)
        assert "+" not in version, "a local build would bind other machines to it"
        assert not name.startswith("nvidia-")


def test_environment_yml_makes_the_same_environment():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [one for one in environment["dependencies"] if isinstance(one, str)]
    (by_pip,) = [one["pip"] for one in environment["dependencies"] if isinstance(one, dict)]
    python = next(one for one in plain if one.startswith("python"))
    assert python.removeprefix("python").split(",")[0] == PROJECT["requires-python"]
    assert [one.split("==")[0] for one in plain if one != python] == ["pip"]
    assert by_pip[0] == "-c requirements.lock"
    assert installed_extras(by_pip[1]) == set(EXTRAS)
    assert len(by_pip) == 2, "pyproject.toml is the only list of dependencies"


def test_the_makefile_installs_the_same_extras():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^EXTRAS := ([\w,]+)$", text, re.MULTILINE)
    assert found is not None
    assert set(found.group(1).split(",")) == set(EXTRAS)
    assert "-c requirements.lock -e '.[$(EXTRAS)]'" in text


def test_no_file_says_where_packages_come_from():
    for name in ("Makefile", "requirements.lock", "environment.yml", "pyproject.toml", ".ci/run"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text, name
        assert "index-url" not in text, name
