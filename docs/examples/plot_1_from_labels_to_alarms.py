"""
From labels to alarms
=====================

Score machines that were held out, choose a threshold, and list the alarms. Each row is scored by a model that has not
seen its machine.
"""

import pandas as pd
from sklearn.model_selection import cross_val_predict

import eventlstm as el
from eventlstm.plots import EventTimelineDisplay

log = el.datasets.make_sensor_log(n_machines=6, n_days=10, freq="30min", warning="6h", random_state=0)
network = el.LSTMClassifier(hidden_size=16, max_epochs=10, lr=0.01)
model = el.EventClassifier(network, n_estimators=2, random_state=0)
proba = cross_val_predict(model, log.X, log.y, cv=el.RunKFold(2), method="predict_proba")
score = pd.Series(proba[:, 1], log.X.index)

# %%
# The threshold for at most one false alarm in ten days of a machine, and the alarms it gives:

policy = el.AlarmPolicy(merge_gap="2h")
policy.threshold = el.choose_threshold(log.y, score, policy=policy, max_false_alarms_per_day=0.1)
policy.to_events(score).head()

# %%
EventTimelineDisplay.from_predictions(log.y, score, policy=policy)
