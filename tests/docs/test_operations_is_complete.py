"""What an operator meets stands in docs/operations.md."""

import ast
import os
import re
import shlex
import subprocess
import sys

import httpx

from infrastructure.metrics import Metrics
from tests.docs.pages import OPERATIONS, ROOT, blocks, rows, section
from tests.service import JWT_SECRET, Service


def test_every_metric_stands_on_the_page() -> None:
    types = re.findall(r"^# TYPE (\S+)", Metrics().render().decode(), re.MULTILINE)
    metrics = {name for name in types if not name.endswith("_created")}
    told = {name for name in rows(section(OPERATIONS, "Health and figures")) if "_" in name}
    assert metrics == told


def test_every_reason_for_being_unready_stands_on_the_page() -> None:
    reasons = {
        key.value
        for node in ast.walk(ast.parse((ROOT / "dabir.py").read_text()))
        if isinstance(node, ast.AnnAssign)
        if isinstance(node.target, ast.Name) and node.target.id == "checks"
        if isinstance(node.value, ast.Dict)
        for key in node.value.keys
        if isinstance(key, ast.Constant)
    }
    assert reasons
    assert reasons <= set(rows(section(OPERATIONS, "Health and figures")))


def test_every_file_of_the_data_folder_stands_on_the_page(service: Service) -> None:
    found = {re.sub(r"-(wal|shm)$", "", path.name) for path in service.data_dir.iterdir()}
    assert found == set(rows(section(OPERATIONS, "The data folder")))


def test_the_commands_for_tokens_print_tokens_that_are_accepted(service: Service) -> None:
    lines = [line for block in blocks(OPERATIONS, "sh") for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith(".venv/bin/dabir")]
    assert len(commands) == 2
    statuses = []
    for command in commands:
        done = subprocess.run(
            [sys.executable, str(ROOT / "dabir.py"), *command],
            env=os.environ | {"DABIR_JWT_SECRET": JWT_SECRET},
            capture_output=True,
            text=True,
            check=True,
        )
        answer = httpx.get(
            f"{service.url}/api/v1/admin/usage/user:alice",
            headers={"authorization": f"Bearer {done.stdout.strip()}"},
        )
        statuses.append(answer.status_code)
    assert statuses == [403, 200]
