"""Tables that are safe to open in a spreadsheet: texts that it would run as formulas get an apostrophe."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

# What spreadsheets take for the beginning of a formula, in either width, and what they pass over before one.
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before texts and names that spreadsheets would take for formulas; numbers stay numbers."""
    index = table.index
    if isinstance(index, pd.MultiIndex):
        index = index.set_levels([_as_texts(level) for level in index.levels], verify_integrity=False)
    columns = {as_text_cell(name): _as_texts(column) for name, column in table.items()}
    return pd.DataFrame(columns).set_axis(index.set_names([as_text_cell(name) for name in index.names]))


def _as_texts(values: Any) -> Any:
    holds_text = not (is_numeric_dtype(values.dtype) or is_datetime64_any_dtype(values.dtype))
    return values.map(as_text_cell) if holds_text else values


def as_text_cell(value: Any) -> Any:
    """Put an apostrophe before a text that spreadsheets would take for a formula."""
    is_formula = isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value
