"""What a model is worth: scores on rows held out, baselines beside it, and the report as one page."""

from .html_report import report
from .refit import refit_nanmean

__all__ = ["refit_nanmean", "report"]
