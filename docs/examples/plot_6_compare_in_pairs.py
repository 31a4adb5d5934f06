"""
Is it better, or luck?
======================

Two models on the same rows held out, and the interval of their difference from events and machines drawn anew. If it
holds zero, this log cannot tell them apart.
"""

import matplotlib.pyplot as plt
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict

import eventlstm as el
from eventlstm.metrics import bootstrap_interval

log = el.datasets.make_sensor_log(n_machines=8, n_days=10, freq="30min", warning="6h", random_state=0)
network = el.LSTMClassifier(hidden_size=16, max_epochs=10, lr=0.01)
trees = ExtraTreesClassifier(200, min_samples_leaf=3, random_state=0)
models = {
    "LSTM": el.EventClassifier(network, n_estimators=2, random_state=0),
    "trees": el.EventClassifier(trees, window_size=1, mode="windows", inputs=el.CausalFeatures(), n_estimators=1),
}
score = {
    name: cross_val_predict(model, log.X, log.y, cv=el.RunKFold(2), method="predict_proba")[:, 1]
    for name, model in models.items()
}

# %%
draws = {"n_resamples": 200, "random_state": 0}
intervals = {name: bootstrap_interval(average_precision_score, log.y, score[name], **draws) for name in models}
difference = bootstrap_interval(average_precision_score, log.y, score["LSTM"], paired_with=score["trees"], **draws)
intervals["LSTM less trees"] = difference
figure, axis = plt.subplots(figsize=(8, 2))
for row, (estimate, low, high) in enumerate(intervals.values()):
    axis.plot([low, high], [row, row], linewidth=3, alpha=0.5, color="tab:blue")
    axis.plot(estimate, row, "o", color="tab:blue")
axis.axvline(0, color="black", linestyle=":")
axis.set_yticks(range(len(intervals)), list(intervals))
axis.set_xlabel("average precision, 95 % interval")
