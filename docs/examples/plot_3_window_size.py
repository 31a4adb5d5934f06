"""
How much history?
=================

:func:`~eventlstm.suggest_window_size` reads from each sensor how long it repeats or remembers itself.
"""

import eventlstm as el
from eventlstm.plots import WindowSizeDisplay

log = el.datasets.make_sensor_log(n_machines=4, n_days=10, random_state=0)
size = el.suggest_window_size(log.X, max_window=200)
print("rows:", int(size))
WindowSizeDisplay(size, size.curves).plot()

# %%
# By sensor, in rows. It is an int, to be passed as ``window_size``.

size.sensors.round(1)
