"""The operator's commands, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-at-least-thirty-two-bytes"


def dabir(
    folder: Path, *arguments: str, python: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DABIR_")}
    return subprocess.run(
        [sys.executable, *python, "-m", "tests.cli.operator", *arguments],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_flags_go_before_settings(tmp_path: Path) -> None:
    done = dabir(tmp_path, "serve", "--port", "5", "--data-dir", "d", DABIR_PORT="4")
    assert (done.returncode, done.stdout) == (0, "127.0.0.1 5 d\n")


def test_a_bad_setting_is_one_line_on_stderr_and_code_2(tmp_path: Path) -> None:
    done = dabir(tmp_path, "serve", DABIR_PORT="eighty")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "dabir: DABIR_PORT must be a port from 0 (any) to 65535.\n"


def test_every_bad_setting_gets_its_line(tmp_path: Path) -> None:
    (tmp_path / "dabir.toml").write_text("grace = 1\nprot = 3\n")
    done = dabir(tmp_path, "serve", "--port", "70000")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "dabir: --port must be a port from 0 (any) to 65535.",
        "dabir: `grace` in dabir.toml must be a duration, such as 20s.",
        "dabir: `prot` in dabir.toml is not a setting. Did you mean `port`?",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "--port", "x"), 'dabir: Invalid value for --port: unable to convert "x"'),
        (("serve", "--prot", "3"), "dabir: Unknown option: --prot. Did you mean --port?"),
        (("bogus",), 'dabir: Unknown command "bogus".'),
        (("token", "mint"), "--sub requires an argument"),
    ],
)
def test_a_wrong_flag_is_one_line_on_stderr_and_code_2(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    done = dabir(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_mint_prints_the_token_and_nothing_else(tmp_path: Path) -> None:
    done = dabir(
        tmp_path,
        *("token", "mint", "--sub", "alice", "--expires", "30m"),
        *("--scope", "dabir:admin", "--scope", "more"),
        DABIR_JWT_SECRET=SECRET,
        DABIR_JWT_ISSUER="https://id.example",
        DABIR_JWT_AUDIENCE="dabir",
    )
    assert (done.returncode, done.stderr) == (0, "")
    claims = jwt.decode(done.stdout.removesuffix("\n"), OctKey.import_key(SECRET)).claims
    assert (claims["sub"], claims["scope"]) == ("alice", "dabir:admin more")
    assert (claims["iss"], claims["aud"]) == ("https://id.example", "dabir")
    assert claims["exp"] - claims["iat"] == 1800


def test_what_cannot_be_minted_says_why_on_stderr_with_code_2(tmp_path: Path) -> None:
    done = dabir(tmp_path, "token", "mint", "--sub", "alice")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dabir: Set DABIR_JWT_SECRET first")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_help_and_version_import_nothing_heavy(flag: str, tmp_path: Path) -> None:
    done = dabir(tmp_path, flag, python=("-X", "show-modules"))
    assert done.returncode == 0
    loaded = set(done.stdout.split())
    assert "interfaces.cli.app" in loaded
    heavy = {"litellm", "litestar", "pydantic", "sqlalchemy", "aiohttp", "joserfc", "eventsourcing"}
    assert loaded.isdisjoint(heavy)
