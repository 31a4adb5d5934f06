"""
Row by row, for several machines
================================

A :class:`~eventlstm.StreamingDetector` gives the scores of the batch, one row at a time, and says when an alarm opens
and closes.
"""

import matplotlib.pyplot as plt
import pandas as pd

import eventlstm as el

log = el.datasets.make_sensor_log(
    n_machines=4, n_days=8, freq="30min", warning="6h", failures_per_machine=2, random_state=1
)
past, new = log.X.loc["pump-01":"pump-02"], log.X.loc["pump-03":]
network = el.LSTMClassifier(hidden_size=16, max_epochs=10, lr=0.01)
model = el.EventClassifier(network, n_estimators=2, random_state=0).fit(past, log.y.loc[past.index])

stream = el.StreamingDetector(model, el.AlarmPolicy(threshold=0.5, merge_gap="2h"))
updates = []
for (run, time), row in new.sort_index(level="time").iterrows():  # as they would come, machines mixed
    update = stream.update(row, time=time, run=run)
    updates.append((run, time, update.score))
    if update.alarm in ("opened", "closed"):
        print(time, run, update.alarm, f"{update.score:.2f}")

# %%
live = pd.DataFrame(updates, columns=["run", "time", "score"])
figure, axis = plt.subplots(figsize=(8, 2.5), layout="constrained")
for run, part in live.groupby("run"):
    axis.plot(part["time"], part["score"], label=run)
axis.axhline(0.5, color="black", linestyle=":")
axis.set_ylabel("score")
axis.legend()
