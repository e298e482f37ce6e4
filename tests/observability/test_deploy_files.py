"""The dashboard and the alert rules speak of figures that there are, and of headings to read."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.metrics import MetricWrapperBase

from infrastructure.figures import buckets_of
from infrastructure.metrics import Metrics
from infrastructure.quick_histogram import QuickHistogram
from tests.docs.pages import DOCS, ROOT
from tests.docs.test_links import anchors
from tests.service import Service

RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dabir.json"

PROMETHEUS_OWN = {"up"}
_NAME = re.compile(r"(?<![\w\"$])(?:up(?=\{)|(?:dabir|process)_\w+)(?=[\s{)\[]|$)")
_SELECTOR = re.compile(r"\b((?:dabir|process)_\w+)\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|without) ?\(([^)]*)\)")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
TARGET_LABELS = {"job", "instance"}
UNREADY = {"dabir_unready": {"reason"}}
"""Collected when asked for, and so no figure of its own."""


def ours() -> dict[str, Any]:
    """Each figure by its name, without `_total`."""
    kinds = MetricWrapperBase | QuickHistogram
    found = [each for each in vars(Metrics()).values() if isinstance(each, kinds)]
    return {each._name: each for each in found}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in panels() for target in panel.get("targets", ()))


@pytest.fixture(scope="module")
def exposed(service: Service) -> dict[str, set[str]]:
    """The names on the page of a real server, each with the labels that it may have."""
    page = httpx.get(f"{service.url}/metrics").text
    declared = dict(re.findall(r"^# TYPE (\S+) (\S+)", page, re.MULTILINE))
    labels = {
        name: set(getattr(each, "_labelnames", ())) for name, each in ours().items()
    } | UNREADY
    found: dict[str, set[str]] = {}
    for name, kind in declared.items():
        own = labels.get(name.removesuffix("_total"), set())
        if kind == "histogram":
            found[f"{name}_bucket"] = own | {"le"}
            found[f"{name}_sum"] = found[f"{name}_count"] = own
        else:
            found[name] = own
    return found


def test_every_figure_that_is_asked_for_is_there(exposed: dict[str, set[str]]) -> None:
    asked = {name for each in expressions() for name in _NAME.findall(each)}
    assert len(asked) > 20
    assert asked - PROMETHEUS_OWN <= set(exposed)


def test_every_figure_of_ours_is_on_the_dashboard() -> None:
    text = DASHBOARD.read_text()
    assert {name for name in [*ours(), *UNREADY] if name not in text} == set()


def test_every_label_that_is_asked_for_is_there(exposed: dict[str, set[str]]) -> None:
    for expression in expressions():
        for name, selector in _SELECTOR.findall(expression):
            assert set(_LABEL.findall(selector)) <= exposed[name] | TARGET_LABELS, expression
        grouped = {
            label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")
        }
        names = set(_NAME.findall(expression)) - PROMETHEUS_OWN
        known = TARGET_LABELS.union(*(exposed[name] for name in names))
        assert grouped <= known, expression


def test_brackets_of_expressions_close() -> None:
    pairs = {")": "(", "]": "[", "}": "{"}
    for expression in expressions():
        waiting: list[str] = []
        for mark in re.sub(r'"[^"]*"', "", expression):
            if mark in pairs.values():
                waiting.append(mark)
            elif mark in pairs:
                assert waiting, expression
                assert waiting.pop() == pairs[mark], expression
        assert not waiting, expression


def test_thresholds_of_histograms_lie_within_their_buckets() -> None:
    """A quantile is never beyond the last bucket, so that such an alert would never fire."""
    figures = ours()
    checked = 0
    for rule in alerts():
        for name, limit in re.findall(
            r"histogram_quantile\(.*?rate\((\w+)_bucket\[\w+\]\)\)\) > ([\d.]+)", rule["expr"]
        ):
            bounds = buckets_of(figures[name]).bounds[:-1]
            assert bounds[0] < float(limit) < bounds[-1], rule["alert"]
            checked += 1
    assert checked >= 8


def test_every_alert_says_what_it_is_and_where_to_read_on() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names)) > 10
    known = anchors(DOCS / "operations.md")
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operations.md"
        assert anchor in known, rule["alert"]


def test_the_dashboard_is_whole() -> None:
    board = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["targets"], panel["title"]
    variables = {each["name"] for each in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", DASHBOARD.read_text()))
    assert used - {"__rate_interval", "__all"} == variables
