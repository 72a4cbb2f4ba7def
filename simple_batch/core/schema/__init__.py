"""JSON Schemas that answers are to fit, and the JSON in an answer.

``parse`` reads a schema and refuses what is none; a ``Schema`` says what is wrong
with an answer. Nothing is ever fetched, patterns are matched in linear time, and a
schema that could make endless work is refused.
"""

from .answer import Given, given
from .check import MAX_BYTES, Schema, parse
from .json_text import JsonText, NoJson, json_of

__all__ = [
    "MAX_BYTES",
    "Given",
    "JsonText",
    "NoJson",
    "Schema",
    "given",
    "json_of",
    "parse",
]
