"""
Without labels
==============

Learn the first days of a machine as quiet, and score the rest. The fault is a valve that sticks: a sensor stays within
its limits, and does not follow the others.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import eventlstm as el
from eventlstm.plots import AttributionDisplay

rng = np.random.default_rng(0)
times = pd.date_range("2026-01-01", periods=10 * 144, freq="10min", name="time")
load = np.sin(np.arange(len(times)) / 12) + 0.1 * rng.normal(size=len(times))
X = pd.DataFrame({"load": load, "flow": 2 * load, "heat": pd.Series(load).ewm(span=6).mean().to_numpy()}, index=times)
X += 0.05 * rng.normal(size=X.shape)
X.iloc[1200:1230, 1] = X.iloc[1200, 1]  # five hours: the flow stands still

detector = el.AnomalyDetector(el.LSTMForecaster(hidden_size=16, max_epochs=15), threshold=5.0, random_state=0)
detector.fit(X[:1000])
score = pd.Series(detector.anomaly_score(X), times)

# %%
figure, axes = plt.subplots(2, sharex=True)
axes[0].plot(X["flow"][1100:], label="flow")
axes[0].legend()
axes[1].semilogy(score[1100:])
axes[1].axhline(detector.threshold_, color="tab:red", linestyle=":")
axes[1].set_ylabel("score")

# %%
# Which sensor raised it?

alarms = el.AlarmPolicy(detector.threshold_).to_events(score[1000:])
AttributionDisplay(detector.attribution(X, alarms), events=alarms).plot()
