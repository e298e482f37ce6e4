"""What standing in between adds to the time to the first token, and when it adds most.

    python -m benchmarks.first_token [--held 50 200] [--rate 50] [--rounds 2]

Provider and clients keep to the first core, whoever is between them to the second.

- *alone*: one answer of one token after the other.
- *N held*: N answers that grow by `--rate` tokens a second each have begun, at a steady pace; while
  they go on further ones begin, 20 a second, and theirs are the times.
- *N at once*: N answers begin in the same moment, and nothing else goes on.

All begin new chats, each client is another principal. The percentiles are those of all rounds
together; what is added is what is beyond the same percentile of direct calls.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from benchmarks.load.client import Told
from benchmarks.load.contestants import (
    Contestant,
    dabir,
    direct,
    provider,
    put_under_load,
)
from benchmarks.load.peers import litellm_proxy
from benchmarks.results import KEEP, Chart, Result, Row, report

OTHERS_CORE, CORE = 0, 1
ALONE = "tokens-1"
CALLS = 100
PACE = 40
"""Of the streams to be held, so many begin in a second."""
ARRIVALS, APART = 160, 0.05
SETTLES = 1.0
"""Seconds from the last of them to the first whose time counts."""
PROXY = "LiteLLM proxy"
PROXY_HOLDS = 20
"""See benchmarks/streams.py: beyond it, its times are those of a queue that only grows."""


class FirstTokens:
    """Times in seconds, by situation and by who answered, of all rounds."""

    def __init__(self, held: list[int], rate: int) -> None:
        self._held = held
        self._short = f"tokens-10-at-{rate}"
        self._long = {count: f"tokens-{round(_lasts(count) * rate)}-at-{rate}" for count in held}
        self.models = [ALONE, self._short, *self._long.values()]
        self._times: dict[tuple[str, str], list[float]] = {}

    def measure(self, who: Contestant) -> None:
        self._note(
            "alone", who, put_under_load(who, ALONE, CALLS, in_turn=1, core=OTHERS_CORE).told
        )
        for count in self._held:
            if who.name != PROXY or count <= PROXY_HOLDS:
                self._note(f"{count} held", who, self._among(who, count))
            at_once = put_under_load(who, self._short, count, core=OTHERS_CORE)
            self._note(f"{count} at once", who, at_once.told)

    def rows(self) -> Iterator[Row]:
        for (situation, name), times in self._times.items():
            row: Row = {"streams": situation, "who": name}
            for share in (0.5, 0.99):
                value = _percentile(times, share)
                without = _percentile(self._times[situation, "direct"], share)
                row[f"p{share * 100:g}, ms"] = value * 1e3
                row[f"added p{share * 100:g}, ms"] = (
                    None if name == "direct" else (value - without) * 1e3
                )
            yield row

    def _among(self, who: Contestant, count: int) -> Told:
        """Of those that come while so many are held."""
        with ThreadPoolExecutor(1) as beside:
            held = beside.submit(
                put_under_load,
                who,
                self._long[count],
                count,
                at=lambda number: number / PACE,
                core=OTHERS_CORE,
            )
            coming = put_under_load(
                who,
                self._short,
                ARRIVALS,
                at=lambda number: count / PACE + SETTLES + number * APART,
                core=OTHERS_CORE,
            )
            held.result()
        return coming.told

    def _note(self, situation: str, who: Contestant, told: Told) -> None:
        self._times.setdefault((situation, who.name), []).extend(told.first)
        print(f"{who.name}, {situation}: {_percentile(told.first, 0.5) * 1e3:.1f} ms", flush=True)


def _lasts(count: int) -> float:
    """Seconds of an answer that begins first and is still under way when the last one comes."""
    return count / PACE + SETTLES + ARRIVALS * APART + 1


def _percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(int(share * len(times)), len(times) - 1)]


def main(held: list[int], rate: int, rounds: int, only: str | None) -> None:
    taken = FirstTokens(held, rate)
    with ExitStack() as stack:
        port = stack.enter_context(provider(OTHERS_CORE))
        contestants = [stack.enter_context(direct(port))]
        if only != PROXY:
            contestants.append(stack.enter_context(dabir(port, taken.models, core=CORE)))
        if only != "Dabir":
            contestants.append(stack.enter_context(litellm_proxy(port, taken.models, core=CORE)))
        for who in contestants:
            put_under_load(
                who, ALONE, 30, in_turn=1, core=OTHERS_CORE
            )  # loads what a first one needs
        for _ in range(rounds):
            for who in contestants:
                taken.measure(who)
    report(
        Result(
            name="first_token",
            title="Time to the first token",
            how=f"{rounds} rounds in turn; alone: {CALLS} calls a round; N held: {ARRIVALS} calls "
            f"a round, {1 / APART:g} a second, among N answers of {rate} tokens a second; N at "
            "once: N calls in one moment",
            rows=sorted(taken.rows(), key=lambda row: str(row["streams"]).split()[::-1]),
            chart=Chart(kind="bars", across="streams", up="added p99, ms", by="who", log_up=True),
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--held", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=["Dabir", PROXY])
    parser.add_argument(KEEP, action="store_true", help="keep the figures for the document")
    given = parser.parse_args()
    main(given.held, given.rate, given.rounds, given.only)
