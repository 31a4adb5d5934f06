"""Devices and precisions are found, or refused with those that are there."""

import pytest
import torch

from eventlstm.training.devices import PRECISIONS, autocast, computes_in_bfloat16, resolve_device, weight_dtype

CPU = torch.device("cpu")


def test_auto_is_an_accelerator_where_there_is_one_and_else_the_cpu():
    found = resolve_device("auto")
    assert (found.type != "cpu") == torch.accelerator.is_available()
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize("device", ["banana", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used here .*Pass 'auto' or 'cpu'"):
        resolve_device(device)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_are_rounded_to_bfloat16_where_the_precision_says_so(precision):
    weight = torch.ones(2, 2, dtype=weight_dtype(precision), requires_grad=True)
    with autocast(precision, CPU):
        product = weight @ weight
    rounded = precision == "bfloat16" or (precision == "auto" and computes_in_bfloat16(CPU))
    assert product.dtype == (torch.bfloat16 if rounded else weight.dtype)
    product.float().sum().backward()
    assert weight.grad.dtype == weight.dtype


def test_only_float64_has_weights_of_float64():
    assert {name for name in PRECISIONS if weight_dtype(name) == torch.float64} == {"float64"}
    assert {weight_dtype(name) for name in set(PRECISIONS) - {"float64"}} == {torch.float32}


def test_the_processor_computes_in_bfloat16_where_torch_knows_an_instruction_for_it():
    found = torch.cpu.get_capabilities()
    assert computes_in_bfloat16(CPU) == any(
        found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
    )
    assert not computes_in_bfloat16(torch.device("meta"))
