"""Sensor logs to learn from and to test on, made on the spot: nothing is downloaded."""

from .sensor_log import Log, make_sensor_log

__all__ = ["Log", "make_sensor_log"]
