"""Laws of the log that the package makes itself."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eventlstm import datasets

STEP = pd.Timedelta("10min")
WARNING_ROWS = 24  # the default of four hours
PRECURSOR_SENSORS = ["vibration_mm_s", "bearing_temperature_C", "pressure_bar"]


@pytest.fixture(scope="module")
def log():
    return datasets.make_sensor_log(random_state=0)


def failures_of(y):
    """Tell the last row of each event, as positions in the series of one machine."""
    last = (y == 1) & (y.shift(-1, fill_value=0) == 0)
    return np.flatnonzero(last)


def mean_of_last(signal, n_rows):
    """Average each row with those before it on the same machine."""
    return signal.groupby(level="machine").rolling(n_rows, min_periods=1).mean().droplevel(0)


def average_precision_on_new_machines(features, y):
    """Fit a linear model on two thirds of the machines and judge it on the rest."""
    machines = y.index.get_level_values("machine")
    held_out = machines.isin(machines.unique()[:4])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    model.fit(features[~held_out], y[~held_out])
    return average_precision_score(y[held_out], model.decision_function(features[held_out]))


def test_the_same_seed_gives_the_same_log(log):
    again = datasets.make_sensor_log(random_state=0)
    other = datasets.make_sensor_log(random_state=1)
    pd.testing.assert_frame_equal(again.X, log.X)
    pd.testing.assert_series_equal(again.y, log.y)
    assert not other.X.equals(log.X)


def test_a_random_state_instance_is_drawn_from(log):
    rng = np.random.RandomState(0)
    pd.testing.assert_frame_equal(datasets.make_sensor_log(random_state=rng).X, log.X)
    assert not datasets.make_sensor_log(random_state=rng).X.equals(log.X)


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()  # noqa: NPY002
    datasets.make_sensor_log(n_machines=1, n_days=2, failures_per_machine=1, random_state=0)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_the_index_is_sorted_unique_and_shared_by_y(log):
    assert log.X.index.names == ["machine", "time"]
    assert log.X.index.is_monotonic_increasing
    assert log.X.index.is_unique
    assert log.X.index.equals(log.y.index)


def test_machines_of_any_number_sort_as_they_are_counted():
    log = datasets.make_sensor_log(n_machines=101, n_days=3, freq="1h", failures_per_machine=1, random_state=0)
    names = log.X.index.get_level_values("machine").unique()
    assert list(names) == [f"pump-{i:03d}" for i in range(1, 102)]
    assert log.X.index.is_monotonic_increasing


def test_all_values_are_finite_numbers(log):
    assert (log.X.dtypes == np.float64).all()
    assert np.isfinite(log.X.to_numpy()).all()
    assert set(log.y.unique()) == {0, 1}
    assert log.y.name == "failure"


@pytest.mark.parametrize("seed", range(5))
def test_three_to_five_rows_in_a_hundred_are_positive(seed):
    assert 0.03 < datasets.make_sensor_log(random_state=seed).y.mean() < 0.05


@pytest.mark.parametrize("n_failures", [1, 2, 5])
def test_each_machine_has_the_failures_asked_for_each_with_its_whole_warning(n_failures):
    log = datasets.make_sensor_log(n_machines=3, failures_per_machine=n_failures, random_state=0)
    for _, y in log.y.groupby(level="machine"):
        assert len(failures_of(y)) == n_failures
        assert y.sum() == n_failures * WARNING_ROWS


def test_a_log_without_failures_has_labels_that_are_all_zero():
    log = datasets.make_sensor_log(n_machines=2, n_days=3, failures_per_machine=0, random_state=0)
    assert len(log.y) == len(log.X)
    assert (log.y == 0).all()


def test_each_failure_is_followed_by_a_standstill_of_hours_and_then_by_more_rows(log):
    for _, y in log.y.groupby(level="machine"):
        time = y.index.get_level_values("time")
        for row in failures_of(y):
            standstill = time[row + 1] - time[row] - STEP
            assert pd.Timedelta("2h") <= standstill <= pd.Timedelta("5h")


def test_a_warning_period_has_no_gap_in_it(log):
    for _, y in log.y.groupby(level="machine"):
        time = y.index.get_level_values("time")
        for row in failures_of(y):
            assert time[row] - time[row - WARNING_ROWS + 1] == STEP * (WARNING_ROWS - 1)


def test_machines_stop_without_a_failure_too(log):
    for _, y in log.y.groupby(level="machine"):
        n_stops = (np.diff(y.index.get_level_values("time")) > STEP).sum()
        assert n_stops > len(failures_of(y))


@pytest.mark.parametrize("sensor", PRECURSOR_SENSORS)
def test_quiet_rows_reach_what_rows_before_a_failure_reach(log, sensor):
    quiet, warned = log.X.loc[log.y == 0, sensor], log.X.loc[log.y == 1, sensor]
    assert quiet.max() > warned.quantile(0.99)
    assert quiet.min() < warned.quantile(0.01)


def test_further_sensors_leave_the_first_ones_as_they_are():
    few, many = (
        datasets.make_sensor_log(n_machines=2, n_days=2, failures_per_machine=1, n_sensors=n, random_state=0)
        for n in (3, 10)
    )
    assert list(few.X.columns) == PRECURSOR_SENSORS
    assert list(many.X.columns[-2:]) == ["sensor_09", "sensor_10"]
    pd.testing.assert_frame_equal(few.X, many.X[PRECURSOR_SENSORS])


def test_less_noise_leaves_the_events_and_takes_the_unrest():
    clean, noisy = (datasets.make_sensor_log(n_machines=2, noise=noise, random_state=0) for noise in (0, 3))
    pd.testing.assert_series_equal(clean.y, noisy.y)
    unrest = [log.X.groupby(level="machine").diff().abs().median() for log in (clean, noisy)]
    assert (unrest[0] <= unrest[1]).all()
    assert (unrest[0] < unrest[1]).sum() >= len(unrest[0]) - 1  # the valve moves in whole steps


@pytest.mark.parametrize("freq", ["1min", "20min", "1h"])
def test_rows_come_at_the_frequency_asked_for(freq):
    log = datasets.make_sensor_log(n_machines=1, freq=freq, random_state=0)
    steps = pd.Series(log.X.index.get_level_values("time")).diff().dropna()
    assert steps.min() == steps.mode()[0] == pd.Timedelta(freq)
    assert log.y.sum() == 3 * (pd.Timedelta("4h") // pd.Timedelta(freq))


def test_the_course_in_time_tells_what_single_rows_do_not(log):
    kicks = log.X["pressure_bar"].groupby(level="machine").diff().abs().fillna(0)
    warmth = log.X["bearing_temperature_C"] - 0.6 * log.X["motor_temperature_C"]
    course = {
        "pressure": np.log(mean_of_last(kicks, 6) + 0.01),
        "vibration": mean_of_last(log.X["vibration_mm_s"], 6) - mean_of_last(log.X["vibration_mm_s"], 48),
        "warmth": warmth - mean_of_last(warmth, 48),
    }
    from_rows = average_precision_on_new_machines(log.X, log.y)
    from_course = average_precision_on_new_machines(pd.DataFrame(course), log.y)
    assert 0.1 < from_rows < 0.45
    assert from_course > from_rows + 0.15


def test_a_linear_model_on_windows_is_left_short_of_solving_it(log):
    runs = log.X.groupby(level="machine")
    window = np.hstack([runs.shift(lag).bfill() for lag in range(0, 32, 2)])
    assert 0.3 < average_precision_on_new_machines(window, log.y) < 0.65


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_machines": 0}, r"n_machines=0 is not an integer of at least 1\. Pass 1 or more"),
        ({"n_machines": 2.0}, "n_machines=2.0 is not an integer"),
        ({"n_machines": True}, "n_machines=True is not an integer"),
        ({"n_sensors": 2}, "n_sensors=2 is not an integer of at least 3"),
        ({"failures_per_machine": -1}, "failures_per_machine=-1 is not an integer of at least 0"),
        ({"noise": -0.5}, "noise=-0.5 is not a finite number of at least 0"),
        ({"noise": float("nan")}, "noise=nan is not a finite number"),
        ({"n_days": "ten"}, "n_days='ten' is not a finite number"),
        ({"n_days": 0}, r"give 0 rows to a machine.*Pass more n_days"),
        ({"n_days": 1}, r"give 144 rows to a machine, and failures_per_machine=3 .* needs \d+\. Pass more"),
        ({"freq": "often"}, "freq='often' is not a positive time. Pass a text such as freq='10min'"),
        ({"freq": "-10min"}, "freq='-10min' is not a positive time"),
        ({"freq": 10}, "freq=10 is not a positive time"),
        ({"warning": None}, "warning=None is not a positive time. Pass a text such as warning='4h'"),
        (
            {"warning": "5min"},
            "warning='5min' is shorter than one step of freq='10min'. Pass a longer warning",
        ),
    ],
)
def test_a_bad_parameter_is_named_with_what_to_do(parameters, message):
    with pytest.raises(ValueError, match=message):
        datasets.make_sensor_log(**parameters)


@pytest.mark.parametrize("n_failures", [0, 1, 3])
def test_the_shortest_log_that_the_message_names_can_be_made(n_failures):
    with pytest.raises(ValueError, match="needs") as refused:
        datasets.make_sensor_log(n_days=0.1, failures_per_machine=n_failures)
    needed = int(str(refused.value).split("needs ")[1].split(".")[0])
    for seed in range(20):
        log = datasets.make_sensor_log(
            n_machines=5,
            n_days=needed * STEP / pd.Timedelta("1D"),
            failures_per_machine=n_failures,
            random_state=seed,
        )
        assert log.y.sum() == 5 * n_failures * WARNING_ROWS


HARD = {"season": {"season": 3.0}, "noise": {"noise_spread": 1.0}, "conditions": {"n_conditions": 6}}


@pytest.mark.parametrize("kind", HARD)
def test_what_makes_a_log_hard_moves_sensors_and_nothing_else(kind):
    size = {"n_machines": 4, "n_days": 4, "failures_per_machine": 1, "random_state": 0}
    plain, hard = datasets.make_sensor_log(**size), datasets.make_sensor_log(**size, **HARD[kind])
    pd.testing.assert_series_equal(plain.y, hard.y)
    assert hard.X.index.equals(plain.X.index) and list(hard.X) == list(plain.X)
    assert ((hard.X - plain.X).std() > 0.1 * plain.X.std()).all()
    pd.testing.assert_frame_equal(hard.X, datasets.make_sensor_log(**size, **HARD[kind]).X)


def test_a_season_lifts_or_lowers_each_sensor_steadily():
    size = {"n_machines": 2, "n_days": 4, "failures_per_machine": 1, "random_state": 0}
    plain, hard = datasets.make_sensor_log(**size).X, datasets.make_sensor_log(**size, season=2.0).X
    drift = ((hard - plain) / plain.std()).loc["pump-01"]
    np.testing.assert_allclose(np.abs(drift.iloc[-1]), 2.0, rtol=0.05)
    assert (np.abs(drift.diff().dropna()) < 0.1).all().all()


def test_machines_differ_in_noise_and_conditions_take_few_levels():
    size = {"n_machines": 4, "n_days": 4, "failures_per_machine": 1, "random_state": 0}
    plain = datasets.make_sensor_log(**size).X
    noise = (datasets.make_sensor_log(**size, noise_spread=1.0).X - plain).groupby("machine").std()
    assert (noise.max() > 1.5 * noise.min()).all()
    offsets = (datasets.make_sensor_log(**size, n_conditions=5).X - plain).round(6)
    assert len(offsets.drop_duplicates()) == 5


@pytest.mark.parametrize(("name", "value"), [("season", -1.0), ("noise_spread", "much"), ("n_conditions", 0)])
def test_sizes_that_are_none_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value!r} is not"):
        datasets.make_sensor_log(**{name: value})
