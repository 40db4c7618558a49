"""Values ↔ JSON, one converter per type, for the wire and the command line.

``encode``/``decode`` carry one value, ``encode_call``/``decode_call`` the
arguments of a call, ``parse`` reads what a person typed, and
``register_converter`` adds a type.
"""

from errands.arguments.calls import decode_call, encode_call
from errands.arguments.converter import Converter
from errands.arguments.decoding import decode
from errands.arguments.encoding import Wire, encode
from errands.arguments.parsing import describe, parse
from errands.arguments.registry import register_converter

__all__ = [
    "Converter",
    "Wire",
    "decode",
    "decode_call",
    "describe",
    "encode",
    "encode_call",
    "parse",
    "register_converter",
]
