"""The server that the pages' examples speak to."""

from tests.e2e.conftest import service, sub, upstream

__all__ = ["service", "sub", "upstream"]
