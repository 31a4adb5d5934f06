"""What is read in pieces is the whole log: machines that take turns, events of a file, and what comes before them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eventlstm as el
from eventlstm.fleets.log_columns import LogColumns
from eventlstm.fleets.log_pieces import NotInPiecesError, read_labelled_pieces
from eventlstm.fleets.onsets import Onsets

COLUMNS = LogColumns("time", ("machine",), ("a", "b"))
EVENTS = "machine,start,end\nm1,2024-01-01 01:00,2024-01-01 02:10:30\nm0,2024-01-01 00:00,2024-01-01 00:00\n"
EVENTS += "m1,2024-01-01 02:00,2024-01-01 02:30\nm2,2024-01-01 04:59:30,2025-01-01\n"


def make_table(kind="dates", n_rows=300, n_machines=3):
    """A table whose machines take turns, some of them later and longer than others."""
    rng = np.random.default_rng(0)
    parts = []
    for number in range(n_machines):
        times = np.arange(7 * number, n_rows + 40 * number)
        values = rng.normal(size=(len(times), 2)).astype(np.float32 if kind == "float32" else np.float64)
        part = pd.DataFrame(values, columns=["a", "b"]).assign(machine=f"m{number}", time=times)
        parts.append(part.assign(hall=number % 2, label=np.where(times % 50 > 44, "broken", "fine")))
    table = pd.concat(parts).sort_values(["time", "machine"], ascending=[True, False])
    if kind != "numbers":
        zone = "Europe/Berlin" if kind == "zone" else None
        table["time"] = pd.Timestamp("2024-01-01", tz=zone) + pd.to_timedelta(table["time"], unit="min")
    return table.reset_index(drop=True)


def write(table, path):
    table.to_parquet(path, index=False, row_group_size=97) if path.suffix == ".parquet" else table.to_csv(
        path, index=False
    )
    return path


def joined(pieces):
    frames, labels = zip(*pieces, strict=True)
    told = None if labels[0] is None else np.concatenate([np.asarray(label) for label in labels])
    return pd.concat(frames), told


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("kind", ["dates", "numbers", "zone", "float32"])
def test_machines_that_take_turns_are_read_run_by_run(tmp_path, suffix, kind):
    path = write(make_table(kind), tmp_path / f"log.{suffix}")
    log = el.read_log(path, time="time", run="machine", sensors=["a", "b"], label="label")
    pieces = list(read_labelled_pieces(path, COLUMNS, 100, "label"))
    assert [len(frame) for frame, _ in pieces[:-1]] == [100] * (len(pieces) - 1) and len(pieces) > 5
    frame, labels = joined(pieces)
    pd.testing.assert_frame_equal(frame, log.X)
    assert labels.tolist() == log.y.tolist()


def test_several_columns_of_the_run_and_all_sensors(tmp_path):
    path = write(make_table(), tmp_path / "log.parquet")
    log = el.read_log(path, time="time", run=["hall", "machine"], drop=["label"])
    frame, _ = joined(read_labelled_pieces(path, LogColumns("time", ("hall", "machine"), None), 64, "label"))
    pd.testing.assert_frame_equal(frame, log.X)


@pytest.mark.parametrize("change", ["swapped", "twice"])
def test_rows_of_a_run_that_are_not_in_order_are_left_to_those_who_read_the_whole(tmp_path, change):
    table = make_table()
    rows = table.index[table["machine"] == "m1"][200:202]
    table.loc[rows, "time"] = table.loc[rows[::-1] if change == "swapped" else rows[[0, 0]], "time"].to_numpy()
    with pytest.raises(NotInPiecesError):
        list(read_labelled_pieces(write(table, tmp_path / "log.csv"), COLUMNS, 100))


@pytest.mark.parametrize("order", [["time"], ["machine", "time"]])
def test_events_of_a_file_label_the_rows_of_pieces(tmp_path, order):
    path = write(make_table().sort_values(order), tmp_path / "log.csv")
    events = tmp_path / "events.csv"
    events.write_text(EVENTS)
    log = el.read_log(path, time="time", run="machine", sensors=["a", "b"], events=events)
    frame, labels = joined(read_labelled_pieces(path, COLUMNS, 50, events=events))
    assert labels.tolist() == log.y.tolist() and 90 < sum(labels) < 250
    pd.testing.assert_index_equal(frame.index, log.X.index)


def test_events_of_no_run_are_refused_and_those_without_a_row_told_of(tmp_path):
    path, events = write(make_table(), tmp_path / "log.csv"), tmp_path / "events.csv"
    events.write_text("machine,start,end\nm0,2023-01-01,2023-01-02\n")
    with pytest.warns(UserWarning, match="1 of 1 events hold no row of the log, the first is data row 1"):
        list(read_labelled_pieces(path, COLUMNS, 100, events=events))
    events.write_text("machine,start,end\nm9,2024-01-01,2024-01-02\n")
    with pytest.raises(ValueError, match=r"names the run 'm9', but the log has 'm0', 'm1'"):
        list(read_labelled_pieces(path, COLUMNS, 100, events=events))


@pytest.mark.parametrize("horizon", [1, 7, 500, "90s", "3h", 25.0])
def test_rows_before_events_are_those_of_the_whole_log(horizon):
    table = make_table("numbers" if isinstance(horizon, float) else "dates")
    frame = table.set_index(["machine", "time"]).sort_index()[["a", "b"]]
    y = pd.Series(np.random.default_rng(1).random(len(frame)) > 0.97, frame.index).astype(int)
    y.iloc[[0, 1, 99, 100, -1]] = 1
    for n_rows in (1, 33, 100, 5_000):

        def read(n_rows=n_rows):
            for k in range(0, len(frame), n_rows):
                yield frame.iloc[k : k + n_rows], (y.iloc[k : k + n_rows] == 1).to_numpy()

        _, told = joined(Onsets.find(read()).reach_back(read(), horizon))
        assert told.astype(int).tolist() == el.horizon_labels(y, horizon).tolist()


def test_nothing_is_left_of_a_log_that_was_laid_out(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    pieces = read_labelled_pieces(write(make_table(), tmp_path / "log.csv"), COLUMNS, 100)
    next(pieces)
    pieces.close()
    assert list(Path(tmp_path / "temporary").iterdir()) == []
