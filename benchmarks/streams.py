"""How many answers one core holds, each growing by 50 tokens a second, before they falter.

    python -m benchmarks.streams [--rate 50] [--ramp 6] [--hold 3] [--only Dabir]
                                 [--peers open-webui chainlit]

Provider and clients keep to the first core, the contestant to the second. The streams begin at a
steady pace within `--ramp` seconds, and each goes on until all have been held together for
`--hold`. They are held where the 99th percentile of the gaps between two reads with tokens is at
most 100 ms, and no answer takes 5 % longer, from the request to its end, than the provider takes to
say it. The number is doubled until that fails, then bisected. A failure is tried again: other work
on the machine shall not count.
"""

import argparse
from contextlib import AbstractContextManager

from benchmarks.load.contestants import (
    Contestant,
    dabir,
    floor,
    provider,
    put_under_load,
)
from benchmarks.load.peers import OPT_IN, add_argument, litellm_proxy
from benchmarks.results import KEEP, Chart, Result, Row, report

OTHERS_CORE, CORE = 0, 1
LONGEST_GAP = 0.1
LONGEST_ANSWER = 1.05
BEGIN_WITH = {
    "Dabir": 100,
    "floor": 200,
    "LiteLLM proxy": 10,
    "Open WebUI, API": 40,
    "Open WebUI, page": 20,
    "Chainlit": 40,
}
GRAIN = 5


class Trials:
    """Looks for the most streams that a contestant holds; `rows` tell of each trial."""

    def __init__(self, rate: int, ramp: float, hold: float) -> None:
        self._rate = rate
        self._ramp = ramp
        self._tokens = round(rate * (ramp + hold))
        self.model = f"tokens-{self._tokens}-at-{rate}"
        self.rows: list[Row] = []

    def search(self, contestant: Contestant) -> None:
        put_under_load(contestant, self.model, 2, core=OTHERS_CORE)  # the first ones load things
        held, failed = 0, 0
        streams = BEGIN_WITH[contestant.name]
        while streams not in (held, failed):
            if self._are_held(contestant, streams):
                held = streams
            else:
                failed = streams
            if not failed:
                streams = 2 * held
            elif failed - held > max(GRAIN, held // 10):
                streams = (held + failed) // 2 // GRAIN * GRAIN

    def _are_held(self, contestant: Contestant, streams: int) -> bool:
        return any(self._try(contestant, streams) for _ in range(2))

    def _try(self, contestant: Contestant, streams: int) -> bool:
        load = put_under_load(
            contestant,
            self.model,
            streams,
            at=lambda number: number * self._ramp / streams,
            core=OTHERS_CORE,
        )
        told = load.told
        longest = max(told.whole) / ((self._tokens - 1) / self._rate)
        held = told.gap_p99 <= LONGEST_GAP and longest <= LONGEST_ANSWER
        row: Row = {
            "who": contestant.name,
            "streams": streams,
            "gap p50, ms": told.gap_p50 * 1e3,
            "gap p99, ms": told.gap_p99 * 1e3,
            "longest gap, ms": told.gap_max * 1e3,
            "longest answer ÷ upstream": longest,
            "CPU a token, µs": load.cpu / told.tokens * 1e6,
            "held": "yes" if held else "no",
        }
        print(*(f"{name}: {value}" for name, value in row.items()), sep="; ", flush=True)
        self.rows.append(row)
        return held


def main(rate: int, ramp: float, hold: float, only: str | None, peers: list[str]) -> None:
    trials = Trials(rate, ramp, hold)
    with provider(OTHERS_CORE) as port:
        contestants: dict[str, AbstractContextManager[Contestant]] = {
            "Dabir": dabir(port, [trials.model], core=CORE),
            "floor": floor(port, core=CORE),
            "LiteLLM proxy": litellm_proxy(port, [trials.model], core=CORE),
        }
        for peer in OPT_IN if only else peers:
            for name, start in OPT_IN[peer].items():
                contestants[name] = start(port, [trials.model], CORE)
        for name, started in contestants.items():
            if only in (None, name):
                with started as contestant:
                    trials.search(contestant)
    most = {
        str(row["who"]): int(row["streams"] or 0) for row in trials.rows if row["held"] == "yes"
    }
    report(
        Result(
            name="streams",
            title=f"Streams held on one core, {rate} tokens a second each",
            how=f"begun within {ramp:g} s and held together for {hold:g} s; held means p99 of gaps "
            "of at most 100 ms and no answer 5 % longer than its upstream: "
            + ", ".join(f"{name} {streams}" for name, streams in most.items()),
            rows=sorted(trials.rows, key=lambda row: (str(row["who"]), int(row["streams"] or 0))),
            chart=Chart(
                kind="lines",
                across="streams",
                up="gap p99, ms",
                by="who",
                log_across=True,
                log_up=True,
                limit=LONGEST_GAP * 1e3,
            ),
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--ramp", type=float, default=6.0)
    parser.add_argument("--hold", type=float, default=3.0)
    parser.add_argument("--only", choices=BEGIN_WITH)
    add_argument(parser)
    parser.add_argument(KEEP, action="store_true", help="keep the figures for the document")
    given = parser.parse_args()
    main(given.rate, given.ramp, given.hold, given.only, given.peers)
