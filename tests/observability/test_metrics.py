"""The numbers that operators can ask for."""

from prometheus_client.parser import text_string_to_metric_families

from infrastructure.metrics import Metrics


def values(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Each sample by its name and the values of its labels, in the order of the labels' names."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_happened_is_counted() -> None:
    metrics = Metrics()
    metrics.request_answered("/api/v1/messages/send", 200)
    metrics.request_answered("/api/v1/messages/send", 200)
    metrics.stream_opened()
    metrics.socket_connected()
    metrics.socket_connected()
    metrics.socket_disconnected()
    metrics.reply_started()
    metrics.reply_ended("failed", "PROVIDER_TIMEOUT")
    metrics.first_token_arrived(0.2)
    metrics.batch_appended(3, 0.004, waited=0.001, reached=True)
    metrics.upstream_called("smollm2", "answered")
    seen = values(metrics)
    assert seen["dabir_http_requests_total", ("/api/v1/messages/send", "200")] == 2
    assert seen["dabir_open_streams", ()] == 1
    assert seen["dabir_sockets", ()] == 1
    assert seen["dabir_replies_started_total", ()] == 1
    assert seen["dabir_replies_ended_total", ("PROVIDER_TIMEOUT", "failed")] == 1
    assert seen["dabir_time_to_first_token_seconds_sum", ()] == 0.2
    assert seen["dabir_append_batch_size_sum", ()] == 3
    assert seen["dabir_append_seconds_count", ()] == 1
    assert seen["dabir_upstream_calls_total", ("smollm2", "answered")] == 1
    metrics.stream_closed()
    assert values(metrics)["dabir_open_streams", ()] == 0


def test_what_is_watched_is_asked_when_somebody_reads() -> None:
    metrics = Metrics()
    lag = [5.0]
    metrics.watch_views(lag=lambda: lag[0], set_aside=lambda: 1)
    metrics.watch_holds(lambda: 7)
    assert values(metrics)["dabir_views_lag", ()] == 5
    lag[0] = 0
    seen = values(metrics)
    assert (seen["dabir_views_lag", ()], seen["dabir_views_set_aside", ()]) == (0, 1)
    assert seen["dabir_holds_open", ()] == 7


def test_two_sets_of_numbers_do_not_mix() -> None:
    first, second = Metrics(), Metrics()
    first.reply_started()
    assert values(second)["dabir_replies_started_total", ()] == 0
