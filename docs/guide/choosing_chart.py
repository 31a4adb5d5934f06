"""The chart of the page: questions on the left of each arrow, an estimator at its end."""

import matplotlib.pyplot as plt

BOX = {"boxstyle": "round,pad=0.45", "facecolor": "#eef3fa", "edgecolor": "#3b6ea5"}
ANSWER = {"boxstyle": "round,pad=0.45", "facecolor": "#fdf3e1", "edgecolor": "#c98a1b"}


def draw():
    _, axis = plt.subplots(figsize=(8, 3.1))
    axis.set(xlim=(0, 10), ylim=(0.6, 9.4))
    axis.axis("off")
    question(axis, (1.2, 5), "What is a sample?")
    for y, kind, said in ((7.4, "row", "a row\nof a log"), (2.6, "window", "a window,\nalready cut")):
        arrow(axis, (2.35, 5), (3.75, y), said)
        question(axis, (4.3, y), "Labels?")
        labelled, unlabelled = ESTIMATORS[kind]
        arrow(axis, (4.85, y), (6.15, y + 1.2), "yes")
        arrow(axis, (4.85, y), (6.15, y - 1.2), "no")
        answer(axis, (6.3, y + 1.2), labelled)
        answer(axis, (6.3, y - 1.2), unlabelled)


ESTIMATORS = {
    "row": (
        "EventBlend, EventClassifier\na probability at every row",
        "AnomalyDetector\na score at every row, shares by sensor",
    ),
    "window": (
        "LSTMClassifier\na probability for each window\nLSTMTagger\na label at every step",
        "LSTMAutoencoder\nan error for each window",
    ),
}


def question(axis, place, text):
    axis.text(*place, text, ha="center", va="center", bbox=BOX, fontweight="bold")


def answer(axis, place, text):
    axis.text(*place, text, ha="left", va="center", bbox=ANSWER)


def arrow(axis, start, end, text):
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#555555"})
    middle = [(a + b) / 2 for a, b in zip(start, end, strict=True)]
    axis.text(*middle, text, ha="center", va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})


draw()
