"""The units: as systemd reads them, and by what an operator relies on."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infrastructure.settings import PREFIX, Settings
from tests.service import ROOT

DEPLOY = ROOT / "deploy"
UNITS = ["dabir.service", "dabir@.service"]


def read(name: str) -> dict[str, dict[str, list[str]]]:
    """The values of each key, by section. A key may be given more than once."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in (DEPLOY / name).read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = sections.setdefault(match[1], {})
        elif line and line[0] not in "#;":
            key, equals, value = line.partition("=")
            assert equals, line
            section.setdefault(key, []).append(value)
    return sections


def seconds(value: str) -> int:
    assert value.endswith("s")
    return int(value.removesuffix("s"))


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    unit = (DEPLOY / name).read_text()
    # It would miss the program, which is not installed here.
    assert unit.count("/opt/dabir/.venv/bin/dabir ") == 1
    (tmp_path / name).write_text(unit.replace("/opt/dabir/.venv/bin/dabir", "/bin/true"))
    verify = shutil.which("systemd-analyze")
    if verify:
        command = [verify, "verify", "--man=no", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert set(read(name)) == {"Unit", "Service", "Install"}


@pytest.mark.parametrize("name", UNITS)
def test_a_stop_reaches_the_parent_alone_and_outlasts_the_grace(name: str) -> None:
    service = read(name)["Service"]
    assert service["KillMode"] == ["mixed"]
    assert service["KillSignal"] == ["SIGTERM"]
    grace = Settings.model_fields["grace"].default
    assert seconds(service["TimeoutStopSec"][0]) >= grace + 10


@pytest.mark.parametrize("name", UNITS)
def test_wrong_settings_are_not_tried_again(name: str) -> None:
    service = read(name)["Service"]
    assert service["Restart"] == ["on-failure"]
    assert service["RestartPreventExitStatus"] == ["2"]


@pytest.mark.parametrize("name", UNITS)
def test_it_sets_only_what_is_a_setting(name: str) -> None:
    service = read(name)["Service"]
    variables = [value.partition("=")[0] for value in service["Environment"]]
    named = re.findall(rf"\b{PREFIX}[A-Z_]+", (DEPLOY / name).read_text())
    assert variables
    assert set(variables) <= set(named)
    assert {each.removeprefix(PREFIX).lower() for each in named} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", UNITS)
def test_it_may_do_little(name: str) -> None:
    service = read(name)["Service"]
    assert service["User"] == ["dabir"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]
    assert service["StateDirectoryMode"] == ["0700"]
    assert not any("secret" in value.lower() for value in service["Environment"])


def test_the_two_differ_only_in_the_instance() -> None:
    one, many = (read(name)["Service"] for name in UNITS)
    differing = {key for key in one.keys() | many.keys() if one.get(key) != many.get(key)}
    assert differing == {"StateDirectory", "Environment"}
    assert f"{PREFIX}PORT=%i" in many["Environment"]
