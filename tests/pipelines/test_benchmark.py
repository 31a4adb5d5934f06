"""The benchmark of pipelines/, on sizes so small that its table can be judged, but not its figures."""

import sys

import pytest

from .loading import load_script


@pytest.fixture(scope="module")
def benchmark():
    return load_script("benchmark")


@pytest.fixture(scope="module")
def tiny(benchmark):
    return benchmark.Sizes(2, windows=128, epochs=1, log_rows=3000, machines=2, seeds=1, budgets=(2,))


def table(page):
    """Return the cells of a table's rows, its head left out."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def test_every_measurement_ends_in_a_row_of_positive_ratios_or_of_words(benchmark, tiny, tmp_path, capsys):
    page = tmp_path / "speed.md"
    assert benchmark.main(["-o", str(page)], tiny) == 0
    printed = capsys.readouterr()
    assert page.read_text(encoding="utf-8") in printed.out
    assert printed.err.split()[1::2] == list(benchmark.GROUPS)
    rows = table(printed.out)
    assert len({row[0] for row in rows}) == len(rows) >= len(benchmark.GROUPS)
    for row in rows:
        _, median, best, spread, bar, met = row
        assert len(met) > 1 if bar or not median else met == ""
        assert not median or (float(median) > 0 and float(best) > 0 and spread.endswith("%"))


def test_threads_change_no_bit(benchmark, tiny):
    assert [row.note for row in benchmark.threads(tiny)] == ["yes", "yes"]


@pytest.mark.parametrize(
    ("bar", "at_least", "ends"),
    [
        (2.0, False, "2 | 1 | 100% | at most 2 | yes |"),
        (1.5, False, "2 | 1 | 100% | at most 1.5 | **no** |"),
        (2.0, True, "2 | 3 | 100% | at least 2 | yes |"),
        (2.5, True, "2 | 3 | 100% | at least 2.5 | **no** |"),
    ],
)
def test_the_median_is_held_against_the_bar(benchmark, bar, at_least, ends):
    assert str(benchmark.Row("fit", (1.0, 3.0, 2.0), bar, at_least)) == f"| fit | {ends}"


def test_both_sides_run_in_turn_after_a_round_to_warm_up(benchmark, tiny):
    calls = []
    row = benchmark.share("fit", lambda: calls.append("ours"), lambda: calls.append("theirs"), tiny)
    assert calls == ["ours", "theirs"] * 3
    assert len(row.ratios) == tiny.repeats == 2


def test_without_skorch_its_rows_say_what_to_install_and_the_others_are_there(benchmark, tiny, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "skorch", None)  # Python's own mark of a module that cannot be imported
    assert benchmark.main(["--only", "skorch", "balanced", "memory"], tiny) == 0
    *without, memory = table(capsys.readouterr().out)
    assert [row[-1] for row in without] == ["needs skorch: `pip install -c constraints.txt skorch`"] * 2
    assert float(memory[1]) > 0
