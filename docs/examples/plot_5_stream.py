"""
Row by row, for several machines
================================

A :class:`~eventlstm.StreamingDetector` gives the scores of the batch, one row at a time, and says when an alarm opens
and closes.
"""

import eventlstm as el

log = el.datasets.make_sensor_log(
    n_machines=4, n_days=8, freq="30min", warning="6h", failures_per_machine=2, random_state=1
)
past, new = log.X.loc["pump-01":"pump-02"], log.X.loc["pump-03":]
network = el.LSTMClassifier(hidden_size=16, max_epochs=10, lr=0.01)
model = el.EventClassifier(network, n_estimators=2, random_state=0).fit(past, log.y.loc[past.index])

stream = el.StreamingDetector(model, el.AlarmPolicy(threshold=0.5, merge_gap="2h"))
for (run, time), row in new.sort_index(level="time").iterrows():  # as they would come, machines mixed
    update = stream.update(row, time=time, run=run)
    if update.alarm in ("opened", "closed"):
        print(time, run, update.alarm, f"{update.score:.2f}")
