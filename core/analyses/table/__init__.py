"""The table of analyses: what can be asked of a classifier, and with which settings.

A setting is declared once, in the module of its topic, with its values, unit and one line of help; the command line,
links and the controls of the dashboard are all made from it.
"""

from core.analyses.table.augmentation import AUGMENTATION
from core.analyses.table.corruptions import CORRUPTION, NOISE, SEVERITY
from core.analyses.table.curvature import CURVATURE, CURVATURE_SCALE, CURVATURE_SECTION, CURVATURE_WALK
from core.analyses.table.detector import DETECTOR, DETECTOR_ATTACKS
from core.analyses.table.every_image import ENUMERATION, PAINTING
from core.analyses.table.level_sets import LEVEL_SET, LEVEL_STAR, LEVEL_TRIANGLE
from core.analyses.table.limits import LIMITS, OVERLAY, SURVIVAL
from core.analyses.table.local import ADVERSARIAL_COMPARISON, LOCAL, LOCAL_LAYERS, LOCAL_SWEEP
from core.analyses.table.map_paths import MAP_PATH
from core.analyses.table.maps import MAP
from core.analyses.table.margins import MARGIN_CURVE, MARGINS
from core.analyses.table.planes import FRAGMENTATION, PROFILE, SLICE
from core.analyses.table.regions import PATH, REGION_GRAPH
from core.analyses.table.shared_directions import DIRECTION_NOISE, DIRECTION_OVERLAP, SHARED_DIRECTIONS
from core.analyses.table.sparse import PIXEL, SPARSE
from core.analyses.table.supports import BENCHMARK, SUPPORTS, TRANSFER

TABLE = {
    analysis.name: analysis
    for analysis in (
        SLICE,
        PROFILE,
        FRAGMENTATION,
        MARGINS,
        MARGIN_CURVE,
        LEVEL_SET,
        LEVEL_TRIANGLE,
        LEVEL_STAR,
        SPARSE,
        PIXEL,
        SUPPORTS,
        BENCHMARK,
        TRANSFER,
        SEVERITY,
        CORRUPTION,
        NOISE,
        AUGMENTATION,
        LOCAL,
        LOCAL_LAYERS,
        LOCAL_SWEEP,
        ADVERSARIAL_COMPARISON,
        PATH,
        REGION_GRAPH,
        CURVATURE,
        CURVATURE_SECTION,
        CURVATURE_WALK,
        CURVATURE_SCALE,
        SHARED_DIRECTIONS,
        DIRECTION_NOISE,
        DIRECTION_OVERLAP,
        DETECTOR,
        DETECTOR_ATTACKS,
        LIMITS,
        SURVIVAL,
        PAINTING,
        ENUMERATION,
        OVERLAY,
        MAP,
        MAP_PATH,
    )
}

ALIASES = {alias: analysis.name for analysis in TABLE.values() for alias in analysis.aliases}
