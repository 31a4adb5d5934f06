"""How Sphinx builds the manual: `python -m sphinx -W -j auto -b html docs docs/_build/html`, without a network."""

import os
import re
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS / "_tools")]
os.environ["MPLBACKEND"] = "Agg"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

import copied_pages
import inventories
import live_report
import reference_pages

project = "eventlstm"
author = "The eventlstm developers"
copyright = author
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "numpydoc",
    "matplotlib.sphinxext.plot_directive",
    "sphinx_gallery.gen_gallery",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "_tools", "examples", "**.ipynb_checkpoints", "sg_execution_times.rst"]
exclude_patterns += [f"gallery/*.{kind}" for kind in ("ipynb", "json", "md5", "py", "zip")]
default_role = "py:obj"
show_warning_types = True
# The plot directive and the gallery hold functions in their settings, which no cache can keep.
suppress_warnings = ["config.cache"]

toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings tell types, and tell them better
autosummary_generate = False  # reference_pages writes the pages
numpydoc_show_class_members = False
numpydoc_use_plots = False

# Other projects are linked by the lists in docs/_tools/inventories.py: no build waits for their servers.
intersphinx_mapping = inventories.write(DOCS / "_build" / "inventories")

plot_include_source = True
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 150)]
plot_rcparams = {
    "figure.figsize": (8, 3.2),
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
plot_apply_rcparams = True

sphinx_gallery_conf = {
    "examples_dirs": str(DOCS / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("eventlstm",),
    "backreferences_dir": "reference/backreferences",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "capture_repr": ("_repr_html_",),
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "abort_on_example_error": True,
    "plot_gallery": "True",
    "reset_modules": ("matplotlib",),
}

# The notebooks are shown as they are stored; tests/test_notebooks.py runs them.
nb_execution_mode = "off"
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

html_theme = "pydata_sphinx_theme"
html_title = f"eventlstm {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_build/live"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "eventlstm"},
    "header_links_before_dropdown": 5,
    "navbar_end": ["version", "theme-switcher"],
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "start": [], "faq": [], "glossary": []}
templates_path = ["_templates"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def escape_fitted_names(app, what, name, obj, options, lines):
    """Keep "(n_features_in_,)" in the line of a parameter from being read as a link: it ends as links do."""
    for number, line in enumerate(lines):
        if re.match(r"\s*\w[\w, *]* : ", line) or " of shape (" in line:
            lines[number] = re.sub(r"(?<=[A-Za-z])_(?=[\s,)*+])", r"\\_", line)


def setup(app):
    """Add what this project needs beside extensions."""
    app.connect("autodoc-process-docstring", escape_fitted_names, priority=400)  # before numpydoc


copied_pages.write(ROOT, DOCS)
live_report.write(DOCS / "_build" / "live")
reference_pages.write(DOCS)
