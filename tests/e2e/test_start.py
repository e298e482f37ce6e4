"""How the server starts, says no, and goes down."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.node import run
from tests.service import JWT_SECRET, ROOT, Service, bearer, joined, named, send, sending
from tests.upstream import Upstream


def dabir(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name[:6] != "DABIR_"}
    return subprocess.run(
        [sys.executable, str(ROOT / "dabir.py"), *arguments],
        env=clean | environ,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"DABIR_PORT": "many"}, "DABIR_PORT must be"),
        ({"DABIR_PROT": "3000"}, "Did you mean DABIR_PORT?"),
        ({"DABIR_JWT_SECRET": "short"}, "DABIR_JWT_SECRET must be"),
        ({"DABIR_MODELS_FILE": "nowhere.toml"}, "nowhere.toml"),
        ({"DABIR_DATABASE_URL": "postgresql://x"}, "DABIR_DATABASE_URL"),
    ],
)
def test_a_bad_setting_is_named_and_nothing_starts(
    tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    done = dabir(tmp_path, "serve", **environ)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "short" not in done.stderr


def test_a_port_in_use_is_named(service: Service, upstream: Upstream, tmp_path: Path) -> None:
    taken = str(httpx.URL(service.url).port)
    second = Service(tmp_path / "data", upstream.api_base, environ={"DABIR_PORT": taken})
    with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1, port {taken}"):
        second.start()
    assert second.wait() == 2


def test_an_unpriced_model_is_refused_at_start_unless_prices_are_given(tmp_path: Path) -> None:
    model = '[[models]]\nid = "m"\nlitellm_model = "openai/nobody-knows-this"\n'
    sizes = "context_window = 1000\nmax_output_tokens = 100\n"
    (tmp_path / "models.toml").write_text(f'default = "m"\n{model}{sizes}')
    done = dabir(tmp_path, "serve")
    assert done.returncode == 2
    assert "input_price_per_million" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_minted_token_is_accepted(service: Service, tmp_path: Path) -> None:
    done = dabir(tmp_path, "token", "mint", "--sub", "alice", DABIR_JWT_SECRET=JWT_SECRET)
    assert done.returncode == 0
    headers = {"authorization": f"Bearer {done.stdout.strip()}"}
    assert named(send(service, headers, "hello"), "usage_info").data["kind"] == "user"


def test_health_readiness_metrics_and_schema_are_served(service: Service) -> None:
    with httpx.Client(base_url=service.url) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready"}
        assert "dabir_replies_started_total" in client.get("/metrics").text
        paths = client.get("/schema/openapi.json").json()["paths"]
        assert "/api/v1/messages/send" in paths
        page = client.get("/")
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]


async def _sent_while_draining(service: Service) -> list[tuple[int, str]]:
    """Forty sends with the signal among them: the status of each, and its body."""
    async with httpx.AsyncClient(timeout=60) as client:

        async def one(number: int) -> tuple[int, str]:
            url, headers = f"{service.url}/api/v1/messages/send", bearer(f"late-{number}")
            body = {"content": "[[tokens-40-at-40]]"}
            async with client.stream("POST", url, json=body, headers=headers) as answer:
                return answer.status_code, (await answer.aread()).decode()

        sends = [asyncio.create_task(one(number)) for number in range(40)]
        done = 0
        while done < 10:
            done = service.count_in_log("reply started")
            await asyncio.sleep(0.005)
        service.signal(signal.SIGTERM)
        return await asyncio.gather(*sends)


def test_draining_lets_replies_end_refuses_new_ones_and_cuts_nobody(
    upstream: Upstream, tmp_path: Path
) -> None:
    with Service(tmp_path / "data", upstream.api_base, forked=False) as service:
        service.wait_ready()
        with sending(service, bearer("ada"), content="[[gate-drain]] the end") as stream:
            seen = stream.until("assistant_delta")
            answers = asyncio.run(_sent_while_draining(service))
            with httpx.Client(base_url=service.url) as client:
                assert "draining" in client.get("/readyz").json()["reasons"]
            with sending(service, bearer("bob"), content="too late") as refused:
                assert refused.rest()[0].data["code"] == "SERVER_DRAINING"
            upstream.release("drain")
            events = seen + stream.rest()
        assert named(events, "assistant_complete").data["content"] == joined(events)
        assert service.wait() == 0
    for status, body in answers:
        if status == 503:
            assert "SERVER_DRAINING" in body
        else:
            assert (status, body.count("event: assistant_complete")) == (200, 1)


def test_without_models_a_small_local_one_answers_over_both_channels(tmp_path: Path) -> None:
    with Service(tmp_path / "data", None, forked=False) as service:
        service.wait_ready()
        visitor = {"x-anon-id": "a-first-visitor"}
        events = send(service, visitor, "Say hello.", max_tokens=24)
        complete = named(events, "assistant_complete").data
        assert complete["content"] == joined(events) != ""
        assert complete["message"]["model"] == "smollm2"
        assert complete["usage"]["completion_tokens"] > 0
        assert complete["usage"]["estimated"] is False
        told = run(service, "both_channels", "anon:a-first-visitor", "And again.")
        answers = [data for event, data in told if event == "message_completed"]
        assert answers[0]["message"]["model"] == "smollm2"
        assert answers[0]["message"]["content"]
