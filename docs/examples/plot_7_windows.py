"""
Windows, and where attention looks
==================================

Samples that were cut before, such as one recording for each weld: a short bump in one of two channels is what is to be
found. Attention says at which steps the network found it.
"""

import numpy as np

import eventlstm as el
from eventlstm.plots import AttentionDisplay

rng = np.random.default_rng(0)
X = rng.normal(size=(600, 60, 2))
y = (np.arange(600) % 10 == 0).astype(int)
X[y == 1, 30:36, 1] += 2.5

model = el.LSTMClassifier(pooling="additive", hidden_size=16, max_epochs=20, lr=0.01, random_state=0)
model.fit(X[:400], y[:400])
proba = model.predict_proba(X[400:])[:, 1]
print(
    "mean probability with a bump:",
    proba[y[400:] == 1].mean().round(2),
    "and without:",
    proba[y[400:] == 0].mean().round(2),
)

# %%
AttentionDisplay.from_estimator(model, X[400:], event=y[400:] == 1)
