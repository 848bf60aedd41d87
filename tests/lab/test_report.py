"""The report: one self-contained page, readable without anything outside it."""

import re
from html.parser import HTMLParser

import pytest

from mfgen.lab import _comparison, _recipes, _report


@pytest.fixture(scope="module")
def page(hand_written):
    return _report.render(_comparison.read(hand_written))


class Balance(HTMLParser):
    """Follows opening and closing tags, and collects identifiers and references to them."""

    EMPTY = frozenset({"meta", "br", "path", "use", "image", "rect", "stop", "line"})

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.uses = [], [], []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.ids += [named["id"]] if "id" in named else []
        for value in named.values():
            self.uses += re.findall(r"(?:url\(#|^#)([^)]*)", value or "")
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_the_page_is_well_formed_and_its_identifiers_are_unique(page):
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert set(parser.uses) <= set(parser.ids)


def test_nothing_outside_the_page_is_needed(page):
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
    assert "url(http" not in page


def test_the_page_holds_tables_figures_and_specifications(page):
    assert "<h1>score-vp with and without the HJB regulariser" in page
    assert "0.0210 ± 0.0014" in page
    assert "0.021 against 0.042 nats" in page
    assert page.count("<svg") == 5 + 4
    assert page.count("<details>") == 6
    assert "beta_max" in page
    assert "jax 0.10" in page


def test_bold_is_explained_where_there_is_something_to_compare(page, hand_written):
    assert "The best mean of a row is bold." in page
    alone = _report.render(_comparison.read(hand_written[:1]))
    assert "bold." not in alone
    assert 'class="best"' not in alone


def test_the_figure_of_losses_says_what_it_leaves_out(page):
    assert "first tenth of the steps: larger values at the start are not shown." in page


def test_figures_take_the_colour_of_the_text(page):
    assert "prefers-color-scheme: dark" in page
    assert "currentColor" in page
    assert "#20262e" not in page.split("</style>")[1]


def test_text_from_outside_is_escaped(write_run, tmp_path):
    part = {"type": "mine:Thing", "note": "<script>alert(1)</script>"}
    experiment = _recipes.experiment("score-vp").changed({"model": part})
    folder = write_run(tmp_path / "run", experiment, {"kl": (0.1, 0.01)}, pictures=False)
    page = _report.render(_comparison.read([folder.path]))
    assert "alert(1)" in page
    assert "<script>" not in page


def test_runs_of_no_steps_have_no_time_of_a_step(write_run, tmp_path):
    runs = [
        write_run(
            tmp_path / name,
            _recipes.experiment(name),
            {"kl": (0.1, 0.01)},
            pictures=False,
            ms_per_step=None,
        )
        for name in ("score-vp", "score-vp-hjb")
    ]
    page = _report.render(_comparison.read([run.path for run in runs]))
    assert "<td>-</td>" in page
    assert not re.search(r"\bnan\b", page)


def test_a_report_is_replaced_and_nothing_else(write_run, tmp_path):
    runs = [
        write_run(tmp_path / name, _recipes.experiment(name), {"kl": (0.1, 0.01)}, pictures=False)
        for name in ("score-vp", "score-ve")
    ]
    out = tmp_path / "page.html"
    _report.write([runs[0].path], out)
    assert "1 run." in out.read_text("utf-8")
    _report.write([run.path for run in runs], out)
    assert "2 runs." in out.read_text("utf-8")
    out.write_text("my own page", encoding="utf-8")
    with pytest.raises(ValueError, match="is no report of mfgen"):
        _report.write([runs[0].path], out)
    assert out.read_text("utf-8") == "my own page"
