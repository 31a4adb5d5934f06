"""A convolutional LSTM layer over sensors that lie on a grid, and what goes with it: weights shared by all cells.

Maps lie flat: ``maps * height * width`` values, each map row by row, one map after the other. A layer is then an LSTM
of as many units, and maps one behind the other are channels one behind the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

KERNEL_SIZE = 3  # a cell and its neighbours: what moves faster is met by the memory, or by a second layer

Grid = tuple[int, int]  # (height, width)


class ConvLSTM(nn.Module):
    """The weights of an LSTM layer whose gates are convolutions: each cell of a grid sees itself and its neighbours.

    Parameters
    ----------
    input_size : int
        Channels of the input: maps times cells.
    hidden_size : int
        Maps in each direction.
    grid : (int, int)
        Height and width.
    bidirectional : bool, default=False
        Whether a second pass runs from the end to the start.
    device : str or torch.device, optional
        Where the weights lie.

    Notes
    -----
    Names are those of ``torch.nn.LSTM``, the gates in its order; kernels are ``(4 * maps, maps below, 3, 3)``, and
    there is a bias for each map. What lies beyond the edge is zero. The peepholes of the paper, a weight for each map
    and cell, are left out: all weights are shared by all cells.

    References
    ----------
    Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", 2015.

    Examples
    --------
    >>> from eventlstm.networks.conv_lstm import ConvLSTM
    >>> layer = ConvLSTM(2 * 12, 5, grid=(3, 4))
    >>> layer.weight_ih_l0.shape, layer.weight_hh_l0.shape, layer.n_units
    (torch.Size([20, 2, 3, 3]), torch.Size([20, 5, 3, 3]), 60)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        grid: Grid,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size, self.grid, self.bidirectional = hidden_size, grid, bidirectional
        self.n_units = hidden_size * prod(grid)
        self.fan_in = hidden_size * KERNEL_SIZE**2
        kernel = (KERNEL_SIZE, KERNEL_SIZE)
        shapes = {
            "weight_ih_l0": (4 * hidden_size, input_size // prod(grid), *kernel),
            "weight_hh_l0": (4 * hidden_size, hidden_size, *kernel),
            "bias_ih_l0": (4 * hidden_size,),
            "bias_hh_l0": (4 * hidden_size,),
        }
        for suffix in ("", "_reverse")[: 1 + bidirectional]:
            for name, shape in shapes.items():
                self.register_parameter(name + suffix, nn.Parameter(torch.empty(shape, device=device)))


def convolve(x: torch.Tensor, kernel: torch.Tensor, grid: Grid, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return what a convolution makes of flat maps.

    Parameters
    ----------
    x : Tensor of shape (..., maps * cells)
        Maps.
    kernel : Tensor of shape (maps above, maps, size, size)
        Weights, of an odd size.
    grid : (int, int)
        Height and width.
    bias : Tensor of shape (maps above,), optional
        What is added to each map.

    Returns
    -------
    Tensor of shape (..., maps above * cells)
        Maps.
    """
    maps = x.reshape(-1, kernel.shape[1], *grid)  # (items, maps, height, width)
    above = F.conv2d(maps, kernel, bias, padding=kernel.shape[-1] // 2)
    return above.reshape(*x.shape[:-1], -1)


def neighbours(grid: Grid) -> np.ndarray:
    """Return the cells that each cell of a grid sees, in the order of a kernel; beyond the edge lies a cell more.

    Parameters
    ----------
    grid : (int, int)
        Height and width.

    Returns
    -------
    ndarray of shape (n_cells, kernel_size ** 2)
        Numbers of cells.
    """
    cells = np.pad(np.arange(prod(grid)).reshape(grid), KERNEL_SIZE // 2, constant_values=prod(grid))
    return np.lib.stride_tricks.sliding_window_view(cells, (KERNEL_SIZE,) * 2).reshape(prod(grid), -1)


class CellwiseLinear(nn.Linear):
    """A linear layer of the maps that is the same in each cell, (..., maps * cells) to (..., maps above * cells)."""

    def __init__(self, in_maps: int, out_maps: int, n_cells: int) -> None:
        super().__init__(in_maps, out_maps, device="meta")
        self.n_cells = n_cells

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the maps above."""
        by_cell = x.unflatten(-1, (-1, self.n_cells)).transpose(-1, -2)  # (..., cells, maps)
        return super().forward(by_cell).transpose(-1, -2).flatten(-2)


class MapNorm(nn.GroupNorm):
    """Layer normalisation of flat maps (..., maps * cells): over maps and cells, with a gain and a bias of each map."""

    def __init__(self, n_maps: int) -> None:
        super().__init__(1, n_maps, device="meta")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the maps normalised at each step."""
        maps = x.reshape(-1, self.num_channels, x.shape[-1] // self.num_channels)  # (items, maps, cells)
        return super().forward(maps).reshape(x.shape)


def summarise(h: torch.Tensor, n_directions: int, n_cells: int) -> torch.Tensor:
    """Return the mean and the maximum over the grid of each map, direction by direction.

    What has been learnt at one place then holds at all: the maximum finds what is small wherever it is, and the mean
    tells how much of the grid takes part. A head over all maps as they are learnt little from as many events.

    Parameters
    ----------
    h : Tensor of shape (..., directions * maps * cells)
        Maps.
    n_directions : int
        How many directions they come from.
    n_cells : int
        Cells of the grid.

    Returns
    -------
    Tensor of shape (..., directions * 2 * maps)
        Of each direction first the means, then the maxima.
    """
    maps = h.unflatten(-1, (n_directions, -1, n_cells))
    return torch.cat([maps.mean(-1), maps.amax(-1)], dim=-1).flatten(-2)


def check_grid(cell: str, grid: Any, n_channels: int, categories: Sequence[Any]) -> Grid | None:
    """Return the height and the width, or None without a grid, refusing what does not go together.

    Parameters
    ----------
    cell : str
        The recurrent cell.
    grid : (int, int) or None
        Height and width.
    n_channels : int
        Channels of the input.
    categories : sequence
        Channels of codes.

    Returns
    -------
    (int, int) or None
        The grid.

    Raises
    ------
    ValueError
        If there is a grid without a convolutional cell or the other way round, it is not two whole numbers above zero,
        the channels are no multiple of its cells, or there are codes.
    """
    if grid is None and cell != "convlstm":
        return None
    if grid is None:
        raise ValueError(
            "cell='convlstm' came without a grid. Set grid=(height, width), the rows and columns of its sensors."
        )
    if cell != "convlstm":
        raise ValueError(f"grid={grid!r} came with cell={cell!r}, which has no grid. Set cell='convlstm' or grid=None.")
    if len(grid) != 2 or not all(isinstance(n, Integral) and int(n) > 0 for n in grid):
        raise ValueError(f"grid={grid!r} came. Give two whole numbers above zero: (height, width).")
    height, width = map(int, grid)
    if categories:
        raise ValueError(
            f"cell='convlstm' has no place on its grid for codes, but channels {[k for k, _ in categories]} are "
            "categorical. Leave them out, or use another cell."
        )
    if n_channels % (height * width):
        raise ValueError(
            f"grid={(height, width)} has {height * width} cells, and {n_channels} channels came, which is no multiple. "
            "Pass the sensors of the grid alone, each quantity row by row, or set grid to how they lie."
        )
    return height, width
