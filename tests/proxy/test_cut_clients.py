"""Clients from npm behind a connection that is cut again and again get each character once."""

import random
from typing import Any

import pytest

from tests.node import lines
from tests.proxy.cutting import CuttingProxy
from tests.proxy.speech import POEM, chunks
from tests.service import Service, token
from tests.upstream import Upstream

CUTS = [160, 0, 1, 13, 377, 0, 999, 1013, 1500, 450, 451, 452, 20, 777]
"""Within the first event and within later ones, and before anything could come.

The first one lets `retry` through: a client that has not read it waits three seconds.
"""


def resumed(proxy: CuttingProxy, client: str, sub: str, content: str) -> dict[str, Any]:
    (seen,) = lines("resume.mjs", client, proxy.url, token(sub), content)
    return dict(seen)


def assert_each_character_came_once(seen: dict[str, Any], text: str) -> None:
    assert seen["text"] == seen["content"] == text
    assert seen["names"] == ["assistant_typing", "assistant_complete", "usage_info"]
    assert seen["status"] == 204
    assert seen["lastId"].endswith(".u")


METHODS: dict[str, tuple[str, ...]] = {"event_source": ("GET",), "parser": ("POST", "GET")}
"""What each client reads: an EventSource never its POST."""


@pytest.mark.parametrize("client", METHODS)
def test_a_client_that_is_cut_off_in_mid_answer_misses_nothing(
    service: Service, upstream: Upstream, sub: str, client: str
) -> None:
    upstream.script("poem", chunks(POEM * 8))
    with CuttingProxy(service.url, CUTS, methods=METHODS[client]) as proxy:
        seen = resumed(proxy, client, sub, "[[poem]]")
        assert_each_character_came_once(seen, POEM * 8)
        assert proxy.cuts_left == 0
        assert all("last-event-id" in head.lower() for head in proxy.asked[-5:])


@pytest.mark.parametrize("client", METHODS)
def test_random_cuts_lose_nothing(service: Service, sub: str, client: str) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # shown where it fails
    chance = random.Random(seed)
    cuts = [700, *(int(chance.expovariate(1 / 700)) for _ in range(25))]
    with CuttingProxy(service.url, cuts, methods=METHODS[client]) as proxy:
        seen = resumed(proxy, client, sub, "[[tokens-400-at-200]]")
        text = "".join(f"t{number} " for number in range(400))
        assert_each_character_came_once(seen, text)
