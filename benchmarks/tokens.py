"""CPU a token, from a provider's byte to a client's, everything of the turn included.

    python -m benchmarks.tokens [--streams 60] [--tokens 200] [--rate 50] [--rounds 5]
                                [--peers open-webui chainlit]

Tokens arrive one by one. Beside Dabir: the floor (a bare ASGI application, aiohttp's bytes, msgspec
and send, nothing stored), the same with litellm's own iteration, LiteLLM's proxy, and the peers
that are named. CPU is that of all the contestant's processes; who cannot keep up takes longer. A
turn of one token tells what comes before the tokens from what each further one costs.
"""

import argparse
from contextlib import ExitStack
from functools import partial

from benchmarks.load import contestants, peers
from benchmarks.load.contestants import Contestant, put_under_load
from benchmarks.results import KEEP, Chart, Result, Row, in_turn, median_ratio, report


def main(streams: int, tokens: int, rate: int, rounds: int, others: list[str]) -> None:
    whole, single = f"tokens-{tokens}-at-{rate}", f"tokens-1-at-{rate}"
    models = [whole, single]
    with ExitStack() as stack:
        provider = stack.enter_context(contestants.provider())
        fielded = [
            stack.enter_context(contestants.floor(provider)),
            stack.enter_context(contestants.dabir(provider, models)),
            stack.enter_context(contestants.floor(provider, "litellm")),
            stack.enter_context(peers.litellm_proxy(provider, models)),
            *(
                stack.enter_context(start(provider, models, None))
                for name in others
                for start in peers.OPT_IN[name].values()
            ),
        ]
        for contestant in fielded:
            put_under_load(contestant, single, streams)
        per_token, tries = in_turn(
            rounds, {one.name: partial(_cpu, one, whole, streams, tokens) for one in fielded}
        )
        per_turn, _ = in_turn(
            rounds, {one.name: partial(_cpu, one, single, streams, 1) for one in fielded}
        )
    rows: list[Row] = []
    for name, cpu in per_token.items():
        further = (cpu * tokens - per_turn[name]) / (tokens - 1)
        rows.append(
            {
                "": name,
                "CPU a token, µs": cpu * 1e6,
                "× the floor": median_ratio(tries[name], tries["floor"]),
                "of a turn of one token, ms": per_turn[name] * 1e3,
                "of each further token, µs": further * 1e6,
            }
        )
    report(
        Result(
            name="tokens",
            title="CPU a token",
            how=f"{streams} streams at once of {tokens} tokens, {rate} a second each; medians of "
            f"{rounds} rounds in turn",
            rows=rows,
            chart=Chart("bars", across="", up="CPU a token, µs"),
        )
    )


def _cpu(contestant: Contestant, model: str, streams: int, tokens: int) -> float:
    """Seconds a token."""
    return put_under_load(contestant, model, streams).cpu / (streams * tokens)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    peers.add_argument(parser)
    parser.add_argument(KEEP, action="store_true", help="keep the result for the document")
    given = parser.parse_args()
    main(given.streams, given.tokens, given.rate, given.rounds, given.peers)
