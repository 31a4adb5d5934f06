"""Every public object documents what it takes, what it returns and how it is used, in numpydoc's form."""

import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from types import ModuleType

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

import eventlstm

PUBLIC_MODULES = ("datasets", "losses", "metrics", "networks", "plots", "thresholds")

# What a reader misses when it is absent or wrong. Left out is what only concerns the look: where quotes stand
# (GL01, GL02), blank lines (GL03), capitals and full stops inside entries (PR05, PR08, PR09, RT02, RT04,
# RT05), the mood of the verb (SS05), and sections that not every object needs (ES01, SA01-SA04).
CODES = {
    "GL05",  # tabs
    "GL06",  # a section unknown to numpydoc, often a misspelling
    "GL07",  # sections out of order
    "GL08",  # no docstring
    "GL10",  # a directive that will not render
    "PR01",  # a parameter is not documented
    "PR02",  # a documented parameter does not exist
    "PR03",  # documented in another order than the signature
    "PR04",  # no type
    "PR06",  # a type by another name than Python's
    "PR07",  # no description
    "PR10",  # no space before the colon, so that the type is read as part of the name
    "RT01",  # no Returns section
    "RT03",  # no description of what is returned
    "SS01",  # no summary
    "SS02",  # summary without a capital
    "SS03",  # summary without a full stop
    "SS06",  # summary over several lines
    "YD01",  # no Yields section
}
WITH_EXAMPLE = CODES | {"EX01"}  # asked of classes and functions; a method is shown in the example of its class


def public_modules() -> list[ModuleType]:
    """The root and those public modules that exist and name their contents."""
    found = [
        importlib.import_module(f"eventlstm.{name}")
        for name in PUBLIC_MODULES
        if importlib.util.find_spec(f"eventlstm.{name}")
    ]
    return [eventlstm, *(module for module in found if hasattr(module, "__all__"))]


def public_objects() -> dict[str, object]:
    """Address to object, for the classes and functions that ``__all__`` names."""
    named = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in public_modules()
        for name in getattr(module, "__all__", ())
    }
    return {address: found for address, found in named.items() if callable(found)}


def public_methods() -> dict[str, object]:
    """Address to method or property, for those that the public classes have from us."""
    return {
        f"{address}.{name}": getattr(found, name)
        for address, found in public_objects().items()
        if inspect.isclass(found)
        for name in own_method_names(found)
    }


def own_method_names(of_class: type) -> Iterator[str]:
    """The public methods and properties of a class, without what scikit-learn or Python put there."""
    for name in dir(of_class):
        owner = next((base for base in of_class.__mro__ if name in vars(base)), None)
        if name.startswith("_") or owner is None or not owner.__module__.startswith("eventlstm"):
            continue
        if is_method(getattr(of_class, name)) and not is_metadata_request(name):
            yield name


def is_method(found: object) -> bool:
    return inspect.isroutine(found) or isinstance(found, property)


def is_metadata_request(name: str) -> bool:
    """Whether scikit-learn generates the method, as it does for every keyword of ``fit`` or ``score``."""
    return name.startswith("set_") and name.endswith("_request")


def faults(found: object, address: str, codes: set[str]) -> list[str]:
    """What numpydoc finds wrong, as far as it is among ``codes``."""
    function = getattr(found, "__func__", found)  # of a bound classmethod numpydoc asks no Returns
    errors = validate(get_doc_object(function))["errors"]
    return [f"{address}: {code} {message}" for code, message in errors if code in codes]


def expect_none(found: list[str]) -> None:
    """Fail with every fault in full, which a comparison of lists would cut short."""
    assert not found, "\n".join(found)


OBJECTS = public_objects()
METHODS = public_methods()


def test_the_package_names_its_public_objects():
    assert eventlstm.__all__
    assert len(set(eventlstm.__all__)) == len(eventlstm.__all__)


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_every_public_name_exists(module):
    assert [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)] == []


@pytest.mark.parametrize("address", OBJECTS)
def test_a_public_object_is_documented(address):
    expect_none(faults(OBJECTS[address], address, WITH_EXAMPLE))


@pytest.mark.parametrize("address", METHODS)
def test_a_public_method_is_documented(address):
    expect_none(faults(METHODS[address], address, CODES))


def test_a_poor_docstring_is_caught():
    def area(width, height):
        """Area of a rectangle

        Parameters
        ----------
        width : float
            Metres.
        depth : float
            Metres.
        """
        return width * height

    found = {fault.split()[1] for fault in faults(area, "area", WITH_EXAMPLE)}
    assert found == {"EX01", "PR01", "PR02", "RT01", "SS03"}


def test_a_method_without_a_docstring_is_caught():
    class Meter:
        def read(self):
            return 1.0

    assert faults(Meter.read, "Meter.read", CODES) == ["Meter.read: GL08 The object does not have a docstring"]
