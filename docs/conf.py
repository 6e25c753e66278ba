"""How Sphinx builds the documentation: ``make docs``."""

from onex import __version__

project = "onex-registry"
author = "the authors of onex-registry"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = f"onex {__version__}"
html_show_sphinx = False
html_copy_source = False
# Pages link to headings of each other, as they do where the files themselves are shown.
myst_heading_anchors = 4
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
