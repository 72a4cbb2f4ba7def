"""The settings of the program: their declarations, and how they are read at the start."""

from .all_settings import MIB, PROJECT_ROOT, Settings
from .loading import SHORTEST_PASSWORD, load, misspelt

__all__ = ["MIB", "PROJECT_ROOT", "SHORTEST_PASSWORD", "Settings", "load", "misspelt"]
