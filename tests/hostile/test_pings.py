"""A socket that never answers its pings is closed, though it reads all that it is sent."""

import pytest

from tests.hostile.raw_http import connection, read_until, seconds_until_closed, text_frame, upgrade
from tests.service import Service

PINGS_EVERY, ANSWER_WITHIN = 25.0, 20.0
"""Seconds, as the handshake tells clients."""
LATE = 10.0


@pytest.mark.takes_minutes
def test_a_socket_that_never_answers_a_ping_is_closed(service: Service, sub: str) -> None:
    with connection(service) as client:
        client.sendall(upgrade())
        handshake = read_until(client, b"0{")
        assert f'"pingInterval":{PINGS_EVERY * 1000:g}'.encode() in handshake
        assert f'"pingTimeout":{ANSWER_WITHIN * 1000:g}'.encode() in handshake
        client.sendall(text_frame('40/chats,{"anon_id":"' + sub + '"}'))
        read_until(client, b'["usage_info"')
        client.settimeout(PINGS_EVERY + ANSWER_WITHIN + LATE)
        assert seconds_until_closed(client) < PINGS_EVERY + ANSWER_WITHIN + LATE
