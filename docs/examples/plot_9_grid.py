"""
Sensors on a grid
=================

Thermal arrays, pressure maps and battery packs have sensors side by side, and what matters may be where a value goes
next. Here a warm spot on 6 x 6 sensors moves straight on, the event, or jumps about: the same places in another order,
so that no sensor by itself tells them apart. ``cell="convlstm"`` lets each sensor see its neighbours.
"""

from time import process_time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import average_precision_score

import eventlstm as el

N_STEPS, SIZE, SHARE = 8, 6, 0.1


def make_spots(n_windows, seed):
    """Return windows (n_windows, n_steps, 36), each step's grid row by row, and whether the spot moves."""
    rng = np.random.default_rng(seed)
    y = rng.random(n_windows) < SHARE
    there_and_back = np.r_[0:SIZE, SIZE - 2 : 0 : -1]
    begin = rng.integers(len(there_and_back), size=n_windows)
    at = there_and_back[(begin[:, None] + np.arange(N_STEPS)) % len(there_and_back)]  # (n_windows, n_steps)
    for window in np.flatnonzero(~y):
        rng.shuffle(at[window])
    line = np.broadcast_to(rng.integers(SIZE, size=n_windows)[:, None], at.shape)
    upright = rng.random(n_windows)[:, None] < 0.5
    place = np.where(upright, at * SIZE + line, line * SIZE + at)
    X = rng.normal(20.0, 0.5, size=(n_windows, N_STEPS, SIZE * SIZE))
    X[np.arange(n_windows)[:, None], np.arange(N_STEPS), place] += 3.0
    return X, y.astype(int)


def find(seed, **network):
    """Return the average precision of a network on new windows, how many weights it has, and the seconds of its fit."""
    (X, y), (X_new, y_new) = make_spots(1500, seed), make_spots(3000, 100 + seed)
    began = process_time()
    model = el.LSTMClassifier(lr=0.01, n_jobs=1, random_state=seed, **network).fit(X - 20.0, y)
    seconds = process_time() - began
    n_weights = sum(weight.numel() for weight in model.module_.parameters())
    return average_precision_score(y_new, model.predict_proba(X_new - 20.0)[:, 1]), n_weights, seconds


# %%
# The steps of an event, and below it those of a window without.
X, y = make_spots(200, seed=0)
figure, axes = plt.subplots(2, N_STEPS, figsize=(9, 2.6))
for row, window in zip(axes, (y.argmax(), y.argmin()), strict=True):
    for ax, values in zip(row, X[window], strict=True):
        ax.imshow(values.reshape(SIZE, SIZE), vmin=19, vmax=24, cmap="inferno")
        ax.set(xticks=[], yticks=[])
figure.suptitle("A spot that moves, and one that jumps")

# %%
# Average precision, three times with other windows and other draws of about as many weights; guessing has 0.1. The
# price is time: convolutions go step by step.
networks = {"LSTM": {"hidden_size": 14}, "ConvLSTM": {"cell": "convlstm", "grid": (SIZE, SIZE), "hidden_size": 8}}
for name, network in networks.items():
    found, n_weights, seconds = zip(*(find(seed, **network) for seed in range(3)), strict=True)
    print(f"{name}, {n_weights[0]} weights: {np.round(found, 2)}, {np.mean(seconds):.1f} s a fit")
