"""Where and with which numbers a network computes: devices, precisions, generators."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

# The type of the weights under each precision: bfloat16 is for the products of a forward pass alone.
PRECISIONS = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.float32,
    "auto": torch.float32,
}
# Instructions that multiply in bfloat16, by torch's names: Intel and AMD, then ARM. Elsewhere it is emulated, slowly.
BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
MAX_REASON_LENGTH = 160  # of torch's in a message of one line
_moving = threading.Lock()


def resolve_device(device: Any) -> torch.device:
    """Return the device of a name; "auto" is the first of cuda, mps and xpu that is there, else the cpu."""
    if device != "auto":
        try:
            number = torch.zeros(1, device=device)
            number.cpu()  # meta, for one, has shapes but no numbers
            return number.device
        except (RuntimeError, AssertionError, ImportError) as error:
            reason = str(error).splitlines()[0].split(". ")[0][:MAX_REASON_LENGTH]
            raise ValueError(f"device={device!r} cannot be used here ({reason}). Pass 'auto' or 'cpu'.") from None
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator if accelerator is not None else torch.device("cpu")


def move_network(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return a network with its weights on a device and of a type.

    One that is there already is left alone: threads that score by one network share its weights, and torch puts new
    ones in their place when it moves them, under the eyes of whoever computes with them.
    """
    with _moving:
        if not all(_is_there(tensor, device, dtype) for tensor in (*module.parameters(), *module.buffers())):
            with torch.inference_mode(False):  # weights that are moved while scoring could never be trained again
                module.to(device, dtype)
    return module


def _is_there(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> bool:
    same_device = tensor.device.type == device.type and device.index in (None, tensor.device.index)
    return same_device and (tensor.dtype == dtype or not tensor.is_floating_point())


def device_generator(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """Return a generator on `device`, seeded from `generator` unless it is there already."""
    if generator.device.type == device.type:
        return generator
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device=device).manual_seed(seed)


def spawn(generator: torch.Generator) -> torch.Generator:
    """Return another generator on the cpu, seeded from the state of a generator, which stays as it is."""
    twin = generator.clone_state()
    return torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=twin, device=twin.device)))


def weight_dtype(precision: str) -> torch.dtype:
    """Return the type of the weights, the data and the loss."""
    return PRECISIONS[precision]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Compute in bfloat16 in here where `precision` says so; "auto" does where the device has instructions for it.

    Weights keep float32 and are rounded at each use (Micikevicius et al., "Mixed precision training", 2018; Kalamkar
    et al., "A study of bfloat16 for deep learning training", 2019: no scaling of the loss is needed).
    """
    if precision == "bfloat16" or (precision == "auto" and computes_in_bfloat16(device)):
        # torch keeps rounded weights in one cache for all threads: theirs would share a graph. One use each needs none.
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
    return nullcontext()


def computes_in_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16; where torch cannot tell, it is taken to have none."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    ask = getattr(torch.cpu, "get_capabilities", None)  # older versions of torch have no public way to ask a processor
    if device.type != "cpu" or ask is None:
        return False
    found = ask()
    return any(found.get(name, False) for name in BFLOAT16_INSTRUCTIONS)
