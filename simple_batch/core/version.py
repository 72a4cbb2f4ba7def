"""The version of the program (see CHANGELOG.md)."""

__version__ = "0.1.0"
