"""The table of analyses: what can be asked of a classifier, and with which settings.

A setting is declared once, in the module of its topic, with its values, unit and one line of help; the command line,
links and the controls of the dashboard are all made from it. An `Analysis` that a module of this folder defines is in
the table; modules that `_ORDER` does not name come last.
"""

from importlib import import_module
from pkgutil import iter_modules

from core.analyses.analysis import Analysis

_ORDER = (
    "planes", "margins", "level_sets", "sparse", "corruptions", "local", "regions", "curvature", "shared_directions",
    "detector", "limits", "maps",
)  # fmt: skip
_modules = dict.fromkeys((*_ORDER, *sorted(module.name for module in iter_modules(__path__))))

TABLE = {
    entry.name: entry
    for module in _modules
    for entry in vars(import_module(f"{__name__}.{module}")).values()
    if isinstance(entry, Analysis)
}
ALIASES = {alias: analysis.name for analysis in TABLE.values() for alias in analysis.aliases}
