"""The figures in the document are those that were kept."""

from benchmarks.report import DOCUMENT, PLACE, filled_in
from benchmarks.results import kept_results


def test_the_tables_are_those_of_the_kept_results() -> None:
    text, results = DOCUMENT.read_text(), kept_results()
    assert {place[2] for place in PLACE.finditer(text)} == set(results)
    assert filled_in(text, results) == text, "run `just bench report`"
