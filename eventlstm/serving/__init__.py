"""Fitted models at work, row by row."""
