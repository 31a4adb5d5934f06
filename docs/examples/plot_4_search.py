"""
A search over whole machines
============================

``GridSearchCV`` works as always. Folds of whole machines come from :class:`~eventlstm.RunKFold`, and
:func:`~eventlstm.refit_nanmean` passes over folds in which a measure is undefined.
"""

import pandas as pd
from sklearn.model_selection import GridSearchCV

import eventlstm as el

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
search.best_params_

# %%
# Look at the spread before you believe in the order: with eight failures, these hardly differ.

pd.DataFrame(search.cv_results_)[
    ["param_estimator__hidden_size", "param_window_size", "mean_test_score", "std_test_score"]
]
