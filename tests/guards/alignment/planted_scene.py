"""The planted preferences of benchmarks/planted_preferences.py, and small changes to them."""

import importlib.util
import sys
from pathlib import Path

import msgspec
import numpy as np

from lifeloop.guards.alignment.reading import read_pairs, texts_of
from lifeloop.guards.alignment.table import tabled

_PATH = Path(__file__).parents[3] / "benchmarks" / "planted_preferences.py"
_SPEC = importlib.util.spec_from_file_location("planted_preferences", _PATH)
planting = importlib.util.module_from_spec(_SPEC)
sys.modules["planted_preferences"] = planting
_SPEC.loader.exec_module(planting)

planted, follows, Variant = planting.planted, planting.follows, planting.Variant
changed = msgspec.structs.replace


def turned(preference):
    """Return the preference with its answers turned round."""
    return changed(preference, chosen=preference.rejected, rejected=preference.chosen)


def read(preferences):
    """Return the table, the words, the reading of the quick model, and that all are left."""
    table = tabled(preferences)
    texts = texts_of(table)
    left = np.ones(table.n, dtype=bool)
    return table, texts, read_pairs(table, texts, left), left


def ids(table, places):
    """Return the ids of places."""
    return {table.preferences[place].id for place in places}
