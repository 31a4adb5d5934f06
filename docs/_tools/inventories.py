"""Where the names of other projects are documented, so that links to them need no network while the site is built.

Sphinx would read the list of each project from its server. The names used here are few, and their addresses follow a
pattern; a name that is missing here is shown as text, without a link.
"""

import zlib
from pathlib import Path

SKLEARN = """
calibration.CalibratedClassifierCV dummy.DummyClassifier ensemble.ExtraTreesClassifier
ensemble.HistGradientBoostingClassifier ensemble.IsolationForest ensemble.RandomForestClassifier
ensemble.VotingClassifier frozen.FrozenEstimator linear_model.LogisticRegression linear_model.Ridge
metrics.average_precision_score metrics.brier_score_loss metrics.fbeta_score metrics.make_scorer
metrics.matthews_corrcoef metrics.PrecisionRecallDisplay model_selection.cross_val_predict
model_selection.FixedThresholdClassifier model_selection.GridSearchCV model_selection.GroupKFold
model_selection.TimeSeriesSplit model_selection.TunedThresholdClassifierCV pipeline.Pipeline
pipeline.make_pipeline preprocessing.StandardScaler impute.SimpleImputer decomposition.PCA base.clone
calibration.CalibrationDisplay metrics.d2_brier_score
"""
IMBLEARN = """
ensemble.BalancedBaggingClassifier ensemble.BalancedRandomForestClassifier metrics.geometric_mean_score
metrics.classification_report_imbalanced
over_sampling.SMOTE over_sampling.ADASYN over_sampling.RandomOverSampler under_sampling.RandomUnderSampler
"""
PANDAS = "DataFrame Series MultiIndex DatetimeIndex Timedelta read_csv read_sql date_range Series.shift"
TORCH = "nn.LSTM nn.LSTMCell nn.GRU nn.CrossEntropyLoss optim.AdamW"
# Project: address of its site, prefix of the names, the page of a name ($ stands for it), the names.
PROJECTS = {
    "sklearn": ("https://scikit-learn.org/stable/", "sklearn.", "modules/generated/$.html", SKLEARN),
    "imblearn": ("https://imbalanced-learn.org/stable/", "imblearn.", "references/generated/$.html", IMBLEARN),
    "pandas": ("https://pandas.pydata.org/docs/", "pandas.", "reference/api/$.html", PANDAS),
    "torch": ("https://docs.pytorch.org/docs/stable/", "torch.", "generated/$.html", TORCH),
}


def write(folder: Path) -> dict[str, tuple[str, str]]:
    """Write a list a project in the form of Sphinx, and return them as `intersphinx_mapping` wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for project, (_, prefix, page, names) in PROJECTS.items():
        text = "".join(entry(prefix + name, page) for name in names.split())
        head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: stable\n"
        head += "# The remainder of this file is compressed using zlib.\n"
        (folder / f"{project}.inv").write_bytes(head.encode() + zlib.compress(text.encode()))
    return {project: (site, str(folder / f"{project}.inv")) for project, (site, *_) in PROJECTS.items()}


def entry(name: str, page: str) -> str:
    """A line of the list: classes begin with a capital, functions do not."""
    role = "class" if name.rsplit(".", 1)[-1][0].isupper() else "function"
    return f"{name} py:{role} 1 {page.replace('$', name)}#{name} -\n"
