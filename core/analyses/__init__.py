"""The table of analyses: what can be asked of a classifier, and with which settings.

A setting is declared once, in the module of its topic, with its values, unit and one line of help; the command line,
links and the controls of the dashboard are all made from it.
"""

from core.analyses.analysis import PAPER as PAPER
from core.analyses.analysis import Analysis as Analysis
from core.analyses.analysis import thumbnails as thumbnails
from core.analyses.augmentation import AUGMENTATION
from core.analyses.corruptions import CORRUPTION, NOISE, SEVERITY
from core.analyses.margins import MARGIN_CURVE, MARGINS
from core.analyses.planes import FRAGMENTATION, PROFILE, SLICE
from core.analyses.sparse import PIXEL, SPARSE
from core.analyses.supports import RACE, SUPPORTS, TRANSFER

TABLE = {
    analysis.name: analysis
    for analysis in (
        SLICE,
        PROFILE,
        FRAGMENTATION,
        MARGINS,
        MARGIN_CURVE,
        SPARSE,
        PIXEL,
        SUPPORTS,
        RACE,
        TRANSFER,
        SEVERITY,
        CORRUPTION,
        NOISE,
        AUGMENTATION,
    )
}
