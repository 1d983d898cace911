"""Sphinx's settings for the site."""

import tomllib

from tests.readme import README
from tests.support import ROOT

with (ROOT / "pyproject.toml").open("rb") as file:
    description = tomllib.load(file)["project"]["description"]

project = README.partition("\n")[0].removeprefix("# ")
language = "en"
extensions = ["myst_parser"]
smartquotes = False  # two hyphens are the beginning of an option here

# A heading has the anchor that it has on GitHub.
myst_heading_anchors = 4
myst_heading_slug_func = "tests.steps.anchor"
myst_html_meta = {"description": description}

html_theme = "furo"
html_title = project
html_favicon = str(ROOT / "common" / "static" / "icon.svg")
html_static_path = ["style.css"]
html_css_files = ["style.css"]
templates_path = ["templates"]
html_copy_source = False
html_show_copyright = False
html_use_index = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "github-dark"

# The colours of the theme that are others here, and those of style.css, in light and in dark.
html_theme_options = {
    "light_css_variables": {
        "color-sidebar-link-text--top-level": "var(--color-foreground-secondary)",
        "color-code-background": "#f5f7f9",
        "numbers": "#666d76",
        "added": "#cff2d8",
        "removed": "#fdddda",
        "place": "#dfe9fb",
    },
    "dark_css_variables": {
        "color-sidebar-link-text--top-level": "var(--color-foreground-secondary)",
        "color-code-background": "#1b1f26",
        "numbers": "#8b949e",
        "added": "#143d22",
        "removed": "#501d21",
        "place": "#1b2f4d",
    },
}
