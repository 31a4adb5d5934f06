"""The picture of the page: packages from left to right, each importing from those before it."""

import matplotlib.pyplot as plt

GROUPS = {
    "the log": (["logs", "datasets"], "#dbe9f6"),
    "judging scores": (["alarms", "metrics"], "#e3f1de"),
    "networks": (["networks", "losses", "training", "sampling"], "#fdf0d5"),
    "estimators": (["recurrent", "detectors"], "#f9dfd9"),
    "around them": (["plots", "evaluation", "export", "archive", "serving", "fleets", "watching", "cli"], "#e8e3f3"),
}
figure, axis = plt.subplots(figsize=(8, 3.2))
axis.set(xlim=(0, len(GROUPS)), ylim=(-8.2, 0.9))
axis.axis("off")
for column, (title, (packages, colour)) in enumerate(GROUPS.items()):
    axis.text(column + 0.5, 0.5, title, ha="center", fontweight="bold")
    for row, package in enumerate(packages):
        box = {"boxstyle": "round,pad=0.3", "facecolor": colour, "edgecolor": "none"}
        axis.text(column + 0.5, -0.6 - row, package, ha="center", va="center", family="monospace", bbox=box)
    if column:
        axis.annotate("", (column + 0.12, 0.6), (column - 0.12, 0.6), arrowprops={"arrowstyle": "-|>", "color": "gray"})
