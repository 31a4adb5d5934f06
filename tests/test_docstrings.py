"""Every public object documents what it takes, what it returns and how it is used, in numpydoc's form."""

import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from types import ModuleType

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

import eventlstm

PUBLIC_MODULES = ("datasets", "losses", "metrics", "networks", "plots", "thresholds")

# What a reader misses when it is absent or wrong. Left out is what only concerns the look: where quotes stand
# (GL01, GL02), blank lines (GL03), capitals and full stops inside entries (PR05, PR08, PR09, RT02, RT04,
# RT05, SA02, SA03), the mood of the verb (SS05), and an extended summary, which not every object needs (ES01).
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
# Asked of classes and functions; a method is shown in the example of its class: an example, and where to look next (a
# See Also, with a description of each name).
WITH_EXAMPLE = CODES | {"EX01", "SA01", "SA04"}
MANY = 8  # parameters; a class of more has them in groups at its head


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


def names_nowhere(found: object, address: str) -> list[str]:
    """The names in the See Also of an object at ``address`` that are neither public here nor in another package."""
    names = [name for entry, _ in get_doc_object(found)["See Also"] for name, _ in entry]
    return [f"{address}: See Also names {name}" for name in names if not is_found(name, address.rpartition(".")[0])]


def is_found(name: str, module: str) -> bool:
    """Whether a name, as it stands on a page of ``module``, is a public one with its own text, or another package's."""
    if f"{module}.{name}" in ADDRESSES or name in ADDRESSES:
        return True
    package, _, rest = name.partition(".")
    if package == "eventlstm" or not rest or not importlib.util.find_spec(package):
        return False
    return hasattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2])


def parameter_names(found: object) -> list[str]:
    """The documented parameters of an object, one by one where several share a text."""
    return [name for entry in get_doc_object(found)["Parameters"] for name in entry.name.split(", ")]


def grouped(found: object) -> list[str]:
    """The parameters in the groups at the head of a docstring, such as ``- Score: `smoothing`, `threshold`.``."""
    lines = "\n".join(get_doc_object(found)["Extended Summary"])
    groups = re.findall(r"^- [A-Z][a-z ]+: ((?:`\w+`,\s+)*`\w+`)\.$", lines, re.MULTILINE)
    return [name for group in groups for name in re.findall(r"\w+", group)]


def group_faults(found: object, address: str) -> list[str]:
    """The parameters that stand in no group, in several, or only in a group, where a class needs groups or has them."""
    wanted, told = parameter_names(found), grouped(found)
    if len(wanted) <= MANY and not told:
        return []
    return [
        f"{address}: {name} stands in {told.count(name)} groups, and {wanted.count(name)} times in Parameters"
        for name in dict.fromkeys([*wanted, *told])
        if (told.count(name), wanted.count(name)) != (1, 1)
    ]


def expect_none(found: list[str]) -> None:
    """Fail with every fault in full, which a comparison of lists would cut short."""
    assert not found, "\n".join(found)


OBJECTS = public_objects()
METHODS = public_methods()
CONSTANTS = {f"{module.__name__}.{name}" for module in public_modules() for name in getattr(module, "__all__", ())}
ADDRESSES = OBJECTS.keys() | METHODS.keys() | (CONSTANTS - {f"eventlstm.{name}" for name in PUBLIC_MODULES})


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


@pytest.mark.parametrize("address", OBJECTS)
def test_what_to_see_also_is_there(address):
    expect_none(names_nowhere(OBJECTS[address], address))


@pytest.mark.parametrize("address", [address for address, found in OBJECTS.items() if inspect.isclass(found)])
def test_many_parameters_stand_in_groups(address):
    expect_none(group_faults(OBJECTS[address], address))


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
    assert found == {"EX01", "PR01", "PR02", "RT01", "SA01", "SS03"}


def test_a_method_without_a_docstring_is_caught():
    class Meter:
        def read(self):
            return 1.0

    assert faults(Meter.read, "Meter.read", CODES) == ["Meter.read: GL08 The object does not have a docstring"]


def test_a_name_to_see_that_is_gone_is_caught():
    def area():
        """Area of a rectangle.

        See Also
        --------
        save : Found, as this is a page of the root.
        AlarmPolicy.flag : Found, a method.
        eventlstm.losses.LOSSES : Found, a table.
        sklearn.metrics.make_scorer : Found, of another package.
        FocalLoss : Of another page.
        eventlstm.losses : A module, which has no page.
        sklearn.metrics.gone : Not there.
        nowhere.gone : No such package.
        """

    found = names_nowhere(area, "eventlstm.area")
    assert [fault.split()[-1] for fault in found] == [
        "FocalLoss",
        "eventlstm.losses",
        "sklearn.metrics.gone",
        "nowhere.gone",
    ]


def test_a_parameter_without_a_group_is_caught():
    class Box:
        """A box.

        - Size: `width`, `height`,
          `depth`.
        - Look: `color`, `depth`, `gone`.

        Parameters
        ----------
        width, height, depth : float
            Metres.
        color, shade : str
            Of paint.
        """

        def __init__(self, width, height, depth, color, shade): ...

    assert [fault.split()[1] for fault in group_faults(Box, "Box")] == ["depth", "shade", "gone"]


def test_a_class_of_many_parameters_without_groups_is_caught():
    class Row:
        """A row.

        Parameters
        ----------
        a, b, c, d, e, f, g, h, i : float
            Values.
        """

    assert len(group_faults(Row, "Row")) == MANY + 1
