"""Which web pages of other origins may call: one list for HTTP and Socket.IO."""

from collections.abc import Sequence

ANY = "*"


class Origins:
    """`allowed`: origins such as `https://example.org`, or `*` alone; the own one always may."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(origin.lower() for origin in allowed)

    @property
    def any_without_credentials(self) -> bool:
        return ANY in self._allowed

    def allows(self, origin: str) -> bool:
        return self.any_without_credentials or origin.lower() in self._allowed

    @staticmethod
    def is_own(origin: str, hosts: Sequence[str | None]) -> bool:
        """Whether a page came from here: its origin names a host under which we were called.

        The scheme is left aside: a proxy may have ended TLS.
        """
        _, _, host = origin.lower().partition("://")
        return bool(host) and host in {known.strip().lower() for known in hosts if known}
