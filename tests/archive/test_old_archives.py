"""Models that an earlier version saved, one of each public estimator, are read and say what they said then."""

from pathlib import Path

import numpy as np
import pytest

import eventlstm as el

from .make_archives import FOLDER, answers, processor

SAID = dict(np.load(FOLDER / "answers.npz"))
PROCESSOR = str(SAID.pop("processor"))
ARCHIVES = sorted(FOLDER.glob("*.eventlstm"), key=lambda path: path.name)
KEPT_BITS = 1e-5  # of float32 networks on another kind of processor


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("one_torch_thread")
def test_an_old_archive_says_what_it_said(path: Path):
    found = answers(el.load(path))
    wanted = {name.split(".")[1]: said for name, said in SAID.items() if name.split(".")[0] == path.stem}
    assert found.keys() == wanted.keys()
    for method, said in wanted.items():
        tolerance = 0 if processor() == PROCESSOR else KEPT_BITS
        np.testing.assert_allclose(found[method], said, rtol=tolerance, atol=tolerance, err_msg=method)


def test_every_public_estimator_has_an_old_archive():
    classes = {getattr(el, name) for name in el.__all__} | {
        getattr(el.thresholds, name) for name in el.thresholds.__all__
    }
    fitted = {cls.__name__ for cls in classes if hasattr(cls, "fit") and cls is not el.AlarmPolicy}
    assert fitted == {path.stem for path in ARCHIVES} & fitted
