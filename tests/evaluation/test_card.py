"""The data card of a report: what it says of logs that came from long tables."""

import pytest

import eventlstm as el


def test_the_share_of_values_carried_forward_is_in_the_card_where_the_log_knows_it(tmp_path):
    pytest.importorskip("plotly")
    readings = [(t, "fast", t % 7) for t in range(60)] + [(t, "slow", t % 5) for t in range(0, 60, 4)]
    events = [(t, "trip", 0 if t != 30 else 1) for t in (0, 30, 33)]
    rows = "".join(f"{t},{name},{value}\n" for t, name, value in readings + events)
    path = tmp_path / "log.csv"
    path.write_text("t,sensor,value\n" + rows)
    X, y = el.read_log(path, time="t", layout="long", step=1, label="trip")
    path = tmp_path / "page.html"
    cards = [el.report(None, log, y, path, y_score=X["fast"], n_resamples=5)["card"] for log in tables(X)]
    assert cards[0]["carried_share"] == pytest.approx((0 + 45 / 60) / 2)
    assert [sensor["carried_share"] for sensor in cards[0]["sensors"]] == [0, 45 / 60]
    assert cards[1]["carried_share"] is None and cards[1]["sensors"][1]["carried_share"] is None


def tables(X):
    """A log, and the same that does not know where it came from."""
    other = X.copy()
    other.attrs = {}
    return X, other
