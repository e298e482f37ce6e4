"""Brings the kept results into docs/performance.md: their tables, and a chart of some.

    python -m benchmarks.report

Made is what stands in the document between `<!-- result: NAME -->` and `<!-- end -->`.
"""

import re
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from benchmarks.results import Chart, Kept, Result, columns_of, kept_results, shown

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
IMAGES = Path("images") / "performance"
"""As the document's links have it."""
PLACE = re.compile(r"(<!-- result: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
DIFFERENT_EACH_TIME = {"Date": None}


def filled_in(text: str, results: dict[str, Kept]) -> str:
    """The document with the results' tables. Raises KeyError for one that nobody kept."""
    return PLACE.sub(lambda place: place[1] + _section(results[place[2]]) + place[3], text)


def _section(kept: Kept) -> str:
    result = kept.result
    columns = columns_of(result)
    lines = [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(shown(row.get(column)) for column in columns)} |" for row in result.rows),
        "",
        f"{_sentence(result.how)} `{kept.command}`, {kept.date}; {kept.machine}.",
        "",
    ]
    if result.chart is not None:
        lines += [f"![{result.title}]({IMAGES / result.name}.svg)", ""]
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


def draw(result: Result, chart: Chart, path: Path) -> None:
    """Write it as SVG, the same bytes for the same result."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = result.name
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    if chart.kind == "bars":
        drawn = [row for row in result.rows if isinstance(row.get(chart.up), int | float)]
        told = [column for column in (chart.across, chart.by) if column is not None]
        names = [", ".join(shown(row.get(column)) for column in told) for row in drawn]
        lengths = [float(row[chart.up] or 0) for row in drawn]
        bars = axes.barh(range(len(names)), lengths, tick_label=names, color="#3b6ea5")
        axes.bar_label(bars, [shown(row[chart.up]) for row in drawn], padding=3)
        axes.invert_yaxis()
        axes.set_xlabel(chart.up)
        _limit_and_scale(axes.axvline, axes.set_xscale, chart.limit, log=chart.log_up)
    else:
        for series, marker in zip(_series(result, chart).items(), cycle("os^Dv"), strict=False):
            name, points = series
            axes.plot(*zip(*sorted(points), strict=True), marker=marker, label=name)
        axes.set_xlabel(chart.across)
        axes.set_ylabel(chart.up)
        axes.legend()
        if chart.log_across:
            axes.set_xscale("log")
        _limit_and_scale(axes.axhline, axes.set_yscale, chart.limit, log=chart.log_up)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata=DIFFERENT_EACH_TIME)
    pyplot.close(figure)


def _series(result: Result, chart: Chart) -> dict[str, list[tuple[float, float]]]:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in result.rows:
        across, up = row.get(chart.across), row.get(chart.up)
        if isinstance(across, int | float) and isinstance(up, int | float):
            series.setdefault(str(row[chart.by]) if chart.by else "", []).append((across, up))
    return series


def _limit_and_scale(
    line: Callable[..., object], scale: Callable[[str], object], limit: float | None, *, log: bool
) -> None:
    if limit is not None:
        line(limit, color="#b03030", linestyle="--", linewidth=1)
    if log:
        scale("log")


def main() -> None:
    results = kept_results()
    folder = DOCUMENT.parent / IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    for kept in results.values():
        if kept.result.chart is not None:
            draw(kept.result, kept.result.chart, folder / f"{kept.result.name}.svg")
    DOCUMENT.write_text(filled_in(DOCUMENT.read_text(), results))


if __name__ == "__main__":
    main()
