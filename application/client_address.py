"""Which clients count as one for limits."""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address


@lru_cache(4096)
def limited_address(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 one: what one customer usually holds."""
    try:
        parsed = ip_address(address)
    except ValueError:
        # A Unix socket has no peer. All such callers share one allowance.
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(IPv6Network((int(parsed), 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)
