"""The examples of the pages run as they stand, against the real server."""

import re
import shlex
from string import Template

import httpx
import pytest

from tests.docs.browser import ADDRESS, printed
from tests.docs.pages import DOCS, PROTOCOL, ROOT, blocks
from tests.service import Service, send, token

VISITOR = {"x-anon-id": "a-visitor-of-my-own"}
SCRIPTS = blocks(PROTOCOL, "js")
CURLS = [
    command.strip()
    for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
    for block in blocks(page.read_text(), "sh")
    for command in re.split(r"(?<!\\)\n", block)
    if command.strip().startswith("curl ")
]


def request_of(command: str, variables: dict[str, str], url: str) -> httpx.Request:
    """What curl would send, to the service at `url`. Fails for an option not known here."""
    method, path, body = "", "", None
    headers: dict[str, str] = {"accept": "*/*"}
    words = iter(shlex.split(Template(command).substitute(variables).replace("\\\n", ""))[1:])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(":")
            headers[name] = value.strip()
        elif word == "-d":
            body = next(words)
        elif word != "-N":
            assert word.startswith(ADDRESS), word
            path = word.removeprefix(ADDRESS)
    method = method or ("GET" if body is None else "POST")
    return httpx.Request(method, url + path, headers=headers, content=body)


@pytest.fixture(scope="module")
def variables(service: Service) -> dict[str, str]:
    """What the commands' readers would have from what they did before."""
    started = send(service, VISITOR, "A message to come back to.")[0].data
    return {
        "CHAT_ID": started["chat_id"],
        "STREAM_TOKEN": started["stream_token"],
        "ADMIN_TOKEN": token("operator", "dabir:admin"),
    }


@pytest.mark.parametrize("command", CURLS, ids=lambda command: command.split("\n")[0])
def test_a_curl_command_is_answered(
    service: Service, variables: dict[str, str], command: str
) -> None:
    with httpx.Client(timeout=30) as client:
        answer = client.send(request_of(command, variables, service.url))
    assert answer.is_success, answer.text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.split("\n")[0])
def test_a_script_prints_what_it_asked_for(service: Service, script: str) -> None:
    # The tests' model says what it was told.
    said = re.findall(r"(?:content: |ask\()'([^']+)'", script)
    assert printed(service, script)[-1] == (said[0] if said else "true")


def test_the_script_that_promises_it_survives_a_lost_connection(service: Service) -> None:
    (script,) = [script for script in SCRIPTS if "Last-Event-ID" in script]
    lines = printed(service, script, "cut")
    deltas = [line.removeprefix("… ") for line in lines if line.startswith("… ")]
    assert "".join(deltas) == lines[-1] == "Write a line about scribes."
