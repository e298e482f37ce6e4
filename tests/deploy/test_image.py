"""The Dockerfile, read as a linter would: there is no engine here to build it with."""

import json
import re
from fnmatch import fnmatch

import pytest

from infrastructure.settings import PREFIX, Settings
from tests.service import ROOT

INSTRUCTIONS = {
    "FROM", "RUN", "COPY", "WORKDIR", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK",
    "ENTRYPOINT", "CMD",
}  # fmt: skip
"""Those in use. ADD fetches and unpacks, SHELL and ONBUILD surprise."""


def read(text: str) -> list[tuple[str, str]]:
    """Each instruction and what follows it, on one line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in whole)]


FILE = read((ROOT / "Dockerfile").read_text())
LAST_STAGE = FILE[max(at for at, (word, _) in enumerate(FILE) if word == "FROM") :]


def given(word: str, within: list[tuple[str, str]] = FILE) -> list[str]:
    return [rest for each, rest in within if each == word]


def copied() -> list[str]:
    """What is taken from the project's folder."""
    return [
        source
        for rest in given("COPY")
        if "--from" not in rest
        for source in rest.split()[:-1]
        if not source.startswith("--")
    ]


def test_only_known_instructions_are_used() -> None:
    assert {word for word, _ in FILE} <= INSTRUCTIONS


def test_every_base_is_one_release_and_the_same() -> None:
    images = {rest.split()[0] for rest in given("FROM")}
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", images.pop())


def test_no_host_is_named_where_packages_come_from() -> None:
    text = (ROOT / "Dockerfile").read_text()
    addresses = re.findall(r"https?://\S+", text)
    assert all(address.startswith("http://127.0.0.1:3000/") for address in addresses)
    assert "index-url" not in text


def test_packages_are_installed_by_their_hashes() -> None:
    installs = [rest for rest in given("RUN") if "pip install" in rest]
    assert len(installs) == 2
    for command in installs:
        assert "--no-cache-dir" in command
        assert "--no-deps" in command
        assert "--require-hashes" in command or "--no-index" in command
    pinned = (ROOT / "requirements" / "nodes.txt").read_text()
    packages = re.findall(r"^\S+==\S+.*(?:\n    --hash=sha256:\w{64}.*)+", pinned, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^\w", pinned, re.MULTILINE))


def test_system_packages_leave_no_lists_behind() -> None:
    for command in given("RUN"):
        if "apt-get install" in command:
            assert "--no-install-recommends" in command
            assert "rm -rf /var/lib/apt/lists/*" in command
        assert "apt-get upgrade" not in command
        assert "sudo" not in command


def test_the_process_is_nobody_in_particular_and_cannot_change_its_code() -> None:
    (user,) = given("USER", LAST_STAGE)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    words = [word for word, _ in LAST_STAGE]
    assert "RUN" not in words[words.index("USER") :]
    (copy,) = given("COPY", LAST_STAGE)
    assert "--from=build" in copy
    assert "--chown=root:root" in copy


def test_it_is_started_without_a_shell_so_that_signals_reach_it() -> None:
    (entry,), (command,) = given("ENTRYPOINT", LAST_STAGE), given("CMD", LAST_STAGE)
    assert json.loads(entry) + json.loads(command) == ["dabir", "serve"]
    assert given("STOPSIGNAL", LAST_STAGE) == ["SIGTERM"]


def test_its_health_is_asked_where_it_listens() -> None:
    (check,) = given("HEALTHCHECK", LAST_STAGE)
    command = json.loads(check.partition(" CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    (port,) = given("EXPOSE", LAST_STAGE)
    assert f"http://127.0.0.1:{port}/healthz" in command[2]
    assert Settings.model_fields["port"].default == int(port)


def test_it_sets_only_what_is_a_setting_and_no_secret() -> None:
    (environ,) = given("ENV", LAST_STAGE)
    names = [word.partition("=")[0] for word in environ.split()]
    ours = {name.removeprefix(PREFIX).lower() for name in names if name.startswith(PREFIX)}
    assert ours == {"host", "data_dir"}


@pytest.mark.parametrize("source", copied())
def test_what_it_copies_is_there_and_let_through(source: str) -> None:
    assert (ROOT / source).exists()
    kept = [line[1:] for line in ignored() if line.startswith("!")]
    assert any(source.rstrip("/") in (path, path.rpartition("/")[0]) for path in kept)


def test_it_copies_all_that_the_package_is_made_of() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    include = re.search(r"^include = (\[.*\])$", project, re.MULTILINE)
    assert include is not None
    assert set(json.loads(include[1])) <= set(copied())


def ignored() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("secret", ["data", ".env", "dabir.toml", "models.toml", ".git", "tests"])
def test_nothing_else_goes_to_the_builder(secret: str) -> None:
    assert ignored()[0] == "*"
    assert not any(fnmatch(secret, line[1:]) for line in ignored() if line.startswith("!"))
