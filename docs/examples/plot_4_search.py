"""
A search over whole machines
============================

``GridSearchCV`` works as always. Folds of whole machines come from :class:`~eventlstm.RunKFold`, and
:func:`~eventlstm.refit_nanmean` passes over folds in which a measure is undefined.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import GridSearchCV

import eventlstm as el

SIZE, WINDOW = "param_estimator__hidden_size", "param_window_size"

log = el.datasets.make_sensor_log(
    n_machines=4, n_days=8, freq="30min", warning="6h", failures_per_machine=2, random_state=0
)
network = el.LSTMClassifier(max_epochs=8, lr=0.01)
model = el.EventClassifier(network, n_estimators=1, random_state=0)
search = GridSearchCV(
    model,
    {"estimator__hidden_size": [8, 16], "window_size": [16, 32]},
    cv=el.RunKFold(2),
    scoring="average_precision",
    refit=el.refit_nanmean(),
)
search.fit(log.X, log.y)
print(search.best_params_)

# %%
# Look at the spread over the folds before you believe in the order: with eight failures, these hardly differ.

found = pd.DataFrame(search.cv_results_)
names = [f"{size} units, {window} rows" for size, window in zip(found[SIZE], found[WINDOW], strict=True)]
figure, axis = plt.subplots(figsize=(8, 2.5), layout="constrained")
axis.errorbar(found["mean_test_score"], names, xerr=found["std_test_score"], fmt="o")
axis.set_xlabel("average precision: mean and deviation over folds")
