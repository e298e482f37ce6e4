"""Where a request comes from, when proxies stand between."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

_WITH_PORT = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?")


def client_address(
    peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[_Network]
) -> str:
    """The client's IP address: the peer, or whom the trusted proxies name.

    `forwarded_for` are the values of X-Forwarded-For in the order received, each perhaps a list.
    They are read from the right, where our own proxies wrote: the first address that is no trusted
    proxy is the client, and whatever stands left of it was made up by anybody. What is no address
    ends the reading. Empty without a peer (a Unix socket).
    """
    client = _parsed(peer or "")
    if client is None:
        return peer or ""
    entries = [entry for value in forwarded_for for entry in value.split(",")]
    for entry in reversed(entries):
        if not _is_trusted(client, trusted):
            break
        named = _parsed(entry)
        if named is None:
            break
        client = named
    return str(client)


def _is_trusted(address: _Address, trusted: Sequence[_Network]) -> bool:
    return any(address in network for network in trusted)


def _parsed(text: str) -> _Address | None:
    text = text.strip()
    if match := _WITH_PORT.fullmatch(text):
        text = match["v6"] or match["v4"]
    try:
        # A zone (`%eth0`) means something on its own machine only.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
