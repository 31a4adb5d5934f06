"""
Losses for rare classes
=======================

What a confident, right answer still costs: losses that look away from easy rows learn mostly from hard ones.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from eventlstm import losses

proba = np.linspace(0.01, 0.99, 99)
logits = torch.tensor(np.stack([np.zeros_like(proba), np.log(proba / (1 - proba))], axis=1))
target = torch.ones(len(proba), dtype=torch.int64)

figure, axis = plt.subplots()
for name in ("cross_entropy", "focal", "asymmetric"):
    loss = losses.make_loss(name).prepare([950, 50], [10, 10])
    axis.plot(proba, loss(logits, target), label=name)
axis.set(xlabel="probability of the right class", ylabel="loss", yscale="log", ylim=(1e-4, 10))
axis.legend()
