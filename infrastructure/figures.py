"""What a node has counted, read back out of its metrics."""

from itertools import pairwise

import msgspec
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample


class Buckets(msgspec.Struct, frozen=True):
    """A histogram: how many were at most each of `bounds`, in seconds, the last one infinite."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]

    def since(self, before: "Buckets") -> "Buckets":
        counts = (now - then for now, then in zip(self.counts, before.counts, strict=True))
        return Buckets(self.bounds, tuple(counts))

    def percentile(self, share: float) -> float | None:
        """Interpolated within its bucket; None where nothing was measured."""
        total = self.counts[-1]
        if not total:
            return None
        wanted = share * total
        places = pairwise([(0.0, 0), *zip(self.bounds, self.counts, strict=True)])
        for (low, below), (high, upto) in places:
            if upto >= wanted and upto > below:
                # Of those beyond the last bound nothing is known but that.
                if high == float("inf"):
                    return low
                return low + (high - low) * (wanted - below) / (upto - below)
        return None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Counted since the start, but for what is open now."""

    requests: int
    replies_started: int
    replies_ended: int
    pieces: int
    refusals: dict[str, int]
    faults: dict[str, int]
    failures: dict[str, int]
    open_streams: int
    open_sockets: int
    first_token: Buckets
    append: Buckets


def count_of(metric: Counter | Gauge) -> int:
    """Of all its labels together."""
    return sum(_by_label(metric, None).values())


def counts_by(metric: Counter, label: str) -> dict[str, int]:
    """Without those for which the label is empty."""
    return {value: count for value, count in _by_label(metric, label).items() if value}


def measured(metric: Collector) -> int:
    """How many, of all its labels together."""
    return int(sum(sample.value for sample in _samples(metric, "_count")))


def buckets_of(metric: Histogram) -> Buckets:
    """Of one without labels."""
    samples = _samples(metric, "_bucket")
    bounds = tuple(float(sample.labels["le"]) for sample in samples)
    return Buckets(bounds, tuple(int(sample.value) for sample in samples))


def _by_label(metric: Counter | Gauge, label: str | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in _samples(metric, "_total" if isinstance(metric, Counter) else ""):
        key = sample.labels[label] if label else ""
        counts[key] = counts.get(key, 0) + int(sample.value)
    return counts


def _samples(metric: Collector, suffix: str) -> list[Sample]:
    return [
        sample
        for family in metric.collect()
        for sample in family.samples
        if sample.name == f"{family.name}{suffix}"
    ]
