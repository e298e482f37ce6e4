"""Whose address a request is counted under, when proxies stand between."""

from ipaddress import ip_network

import pytest

from interfaces.address import client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48")]


def test_without_a_trusted_proxy_the_peer_is_the_client_whatever_it_says() -> None:
    assert client_address("198.51.100.1", ["203.0.113.9"], []) == "198.51.100.1"
    assert client_address("198.51.100.1", ["203.0.113.9"], PROXIES) == "198.51.100.1"


def test_a_trusted_proxy_is_believed() -> None:
    assert client_address("10.0.0.1", ["203.0.113.9"], PROXIES) == "203.0.113.9"
    assert client_address("2001:db8:ffff::1", ["2001:db8::7"], PROXIES) == "2001:db8::7"
    assert client_address("::ffff:10.0.0.1", ["203.0.113.9"], PROXIES) == "203.0.113.9"
    assert client_address("10.0.0.1", [], PROXIES) == "10.0.0.1"


def test_what_a_client_wrote_left_of_it_is_not() -> None:
    assert client_address("10.0.0.1", ["1.1.1.1, 203.0.113.9"], PROXIES) == "203.0.113.9"
    assert client_address("10.0.0.1", ["1.1.1.1", "203.0.113.9"], PROXIES) == "203.0.113.9"
    assert client_address("10.0.0.1", ["10.9.9.9, 203.0.113.9"], PROXIES) == "203.0.113.9"


def test_proxies_in_a_row_are_walked_through() -> None:
    chain = ["1.1.1.1, 203.0.113.9, 10.0.0.3", "10.0.0.2"]
    assert client_address("10.0.0.1", chain, PROXIES) == "203.0.113.9"
    assert client_address("10.0.0.1", ["10.0.0.3, 10.0.0.2"], PROXIES) == "10.0.0.3"


@pytest.mark.parametrize("broken", ["unknown", "", "1.2.3", "[::1", "999.1.1.1", "a" * 9000, "_x"])
def test_what_is_no_address_ends_the_walk(broken: str) -> None:
    assert client_address("10.0.0.1", [f"203.0.113.9, {broken}, 10.0.0.2"], PROXIES) == "10.0.0.2"


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_the_ways_proxies_write_an_address(entry: str, address: str) -> None:
    assert client_address("10.0.0.1", [entry], PROXIES) == address


def test_a_unix_socket_has_no_address() -> None:
    assert client_address(None, ["203.0.113.9"], PROXIES) == ""
    assert client_address("/run/dabir.sock", ["203.0.113.9"], PROXIES) == "/run/dabir.sock"
