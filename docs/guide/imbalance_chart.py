"""The picture of the page: differences to the plain LSTM, read from the table in pipelines/RESULTS.md."""

import re
from pathlib import Path

import matplotlib.pyplot as plt

# Sphinx runs this in the folder of the page, or in that of the file.
RESULTS = next(
    path for parent in Path.cwd().resolve().parents if (path := parent / "pipelines" / "RESULTS.md").exists()
)
DIFFERENCE = re.compile(r"([+-][.\d]+) \[([+-][.\d]+), ([+-][.\d]+)\]")
COLUMNS = {"engines (C-MAPSS)": 3, "servers (ASD)": 6}  # where each set's difference stands in a row


def read_rows():
    """Name, and a triple of difference and its ends for each set, of every variant of the LSTM."""
    table = RESULTS.read_text("utf-8").split("## What imbalance methods buy")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in table.splitlines() if "|" in line]
    for row in cells:
        if row[0].startswith(("LSTM, ", "balanced bagging")):
            yield row[0].removeprefix("LSTM, "), [DIFFERENCE.search(row[place]) for place in COLUMNS.values()]


rows = list(read_rows())[::-1]
figure, axes = plt.subplots(1, 2, sharey=True, figsize=(8, 4.6))
for axis, title, column in zip(axes, COLUMNS, range(2), strict=True):
    for height, (_, found) in enumerate(rows):
        middle, low, high = map(float, found[column].groups())
        colour = "tab:red" if high < 0 else "tab:blue"
        axis.plot([low, high], [height, height], color=colour, linewidth=2, alpha=0.5)
        axis.plot(middle, height, "o", color=colour, markersize=4)
    axis.axvline(0, color="black", linewidth=0.8, linestyle=":")
    axis.set(title=title, xlabel="average precision, to the plain LSTM")
axes[0].set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
