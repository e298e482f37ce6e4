"""compose.yaml, against the settings, the files and the image that it names."""

import re
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # comes with litellm, its types do not

from infrastructure.settings import PREFIX, Settings
from tests.deploy.behind_nginx import NODE, SITE
from tests.service import ROOT

TEXT = (ROOT / "compose.yaml").read_text()
FILE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
NODES = [name for name in SERVICES if name.startswith("node-")]
SECRETS = ("POSTGRES_PASSWORD", "DABIR_SECRET", "DABIR_JWT_SECRET", "DABIR_MASTER_KEY")


def filled_in(value: str) -> str:
    """As it is where none of the variables that have a default is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@pytest.mark.parametrize("node", NODES)
def test_a_node_is_given_only_settings(node: str) -> None:
    ours = [name for name in SERVICES[node]["environment"] if name.startswith(PREFIX)]
    assert ours
    assert {name.removeprefix(PREFIX).lower() for name in ours} <= set(Settings.model_fields)


def test_nodes_differ_in_nothing_but_their_addresses() -> None:
    assert len(NODES) == 3
    apart = [{**SERVICES[node], "networks": None} for node in NODES]
    assert apart[0] == apart[1] == apart[2]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_has_a_value_here(secret: str) -> None:
    for used in re.findall(rf"\$\{{{secret}([^}}]*)\}}", TEXT):
        assert used == ":-" or used.startswith(":?")
    assert not re.search(rf"{secret}: (?!\$\{{)\S", TEXT)


def test_nothing_starts_without_what_must_be_secret() -> None:
    assert re.search(r"\$\{POSTGRES_PASSWORD:\?", TEXT)
    assert re.search(r"\$\{DABIR_SECRET:\?", TEXT)
    assert FILE["secrets"]["master_key"] == {"environment": "DABIR_MASTER_KEY"}
    for node in NODES:
        assert SERVICES[node]["secrets"] == ["master_key"]
        assert SERVICES[node]["environment"]["DABIR_MASTER_KEY_FILE"] == "/run/secrets/master_key"


@pytest.mark.parametrize("name", SERVICES)
def test_files_that_are_mounted_are_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, target, *mode = filled_in(volume).split(":")
        assert target.startswith("/")
        if source.startswith("."):
            assert (ROOT / source).is_file()
            assert mode == ["ro"]
        else:
            assert source in FILE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_one_release(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert re.match(r"\d+\.\d+", tag), image
    assert "." not in image.partition("/")[0]


@pytest.mark.parametrize("name", SERVICES)
def test_who_depends_waits_for_health(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        image = (ROOT / "Dockerfile").read_text() if "build" in SERVICES[needed] else ""
        assert "healthcheck" in SERVICES[needed] or "HEALTHCHECK" in image


def test_only_nginx_is_reached_from_outside_and_only_on_this_machine() -> None:
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["nginx"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["nginx"]["ports"])


def test_addresses_fit_and_nginx_is_the_proxy_that_nodes_believe() -> None:
    (subnet,) = (
        ip_network(each["subnet"]) for each in FILE["networks"]["inside"]["ipam"]["config"]
    )
    fixed = {
        name: each["networks"]["inside"]["ipv4_address"]
        for name, each in SERVICES.items()
        if isinstance(each["networks"], dict)
    }
    assert set(fixed) == {*NODES, "nginx"}
    assert len(set(fixed.values())) == len(fixed)
    assert all(ip_address(address) in subnet for address in fixed.values())
    for node in NODES:
        assert SERVICES[node]["environment"]["DABIR_TRUSTED_PROXIES"] == fixed["nginx"]


def test_nginx_knows_every_node() -> None:
    assert {f"node-{number}" for number in NODE.findall(SITE)} == set(NODES)


@pytest.mark.parametrize("node", NODES)
def test_a_stop_outlasts_the_grace(node: str) -> None:
    period = SERVICES[node]["stop_grace_period"]
    assert int(period.removesuffix("s")) >= Settings.model_fields["grace"].default + 10


def test_valkey_writes_nothing_and_never_fills_up() -> None:
    command = SERVICES["valkey"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--save"] == ""
    assert options["--appendonly"] == "no"
    assert options["--maxmemory-policy"] == "volatile-ttl"
    assert options["--maxmemory"]
