"""The picture of the page: times of a fit beside a bare torch loop, read from the table in pipelines/RESULTS.md."""

import re
from pathlib import Path

import matplotlib.pyplot as plt

RESULTS = next(
    path for parent in Path.cwd().resolve().parents if (path := parent / "pipelines" / "RESULTS.md").exists()
)
ROW = re.compile(r"\| fit beside the bare loop, (.+?), (one worker|two workers) \| ([.\d]+) \|")

found = {}
for name, workers, median in ROW.findall(RESULTS.read_text("utf-8")):
    found.setdefault(name, {})[workers] = float(median)

figure, axis = plt.subplots()
for place, (workers, colour) in enumerate({"one worker": "tab:blue", "two workers": "tab:orange"}.items()):
    heights = [row + (0.2 if place else -0.2) for row in range(len(found))]
    bars = axis.barh(heights, [times[workers] for times in found.values()], 0.38, color=colour, label=workers)
    axis.bar_label(bars, fmt="%.2f", padding=3)
axis.axvline(1, color="black", linestyle=":", linewidth=1)
axis.set_yticks(range(len(found)), list(found))
axis.invert_yaxis()
axis.set(xlabel="time of a fit over that of the bare loop", xlim=(0, 1.25))
axis.legend(loc="lower right")
