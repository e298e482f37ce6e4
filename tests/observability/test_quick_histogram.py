"""What is observed in a hurry is exported as anything else is."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from infrastructure.quick_histogram import QuickHistogram

BUCKETS = (0.25, 0.5, 1.0)
VALUES = (0.1, 0.25, 0.3, 0.5, 1.0, 1.5, 7.0)


def test_it_is_exported_as_prometheus_own_histogram_is() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    quick = QuickHistogram("gap_seconds", "Between two", BUCKETS, ours)
    histogram = Histogram("gap_seconds", "Between two", buckets=BUCKETS, registry=theirs)
    assert _lines(ours) == _lines(theirs)
    for value in VALUES:
        quick.observe(value)
        histogram.observe(value)
    assert _lines(ours) == _lines(theirs)


def _lines(registry: CollectorRegistry) -> list[str]:
    """But for the time of its making, which theirs tells beside."""
    return [
        line for line in generate_latest(registry).decode().splitlines() if "_created" not in line
    ]
