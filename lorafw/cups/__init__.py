"""CUPS, the Configuration and Update Server protocol of LoRa Basics Station: its messages and their encoding.

Nothing in this package does input or output.
"""

from lorafw.cups.codec import decode_request, decode_response, encode_request, encode_response
from lorafw.cups.messages import EMPTY_RESPONSE, UpdateInfoRequest, UpdateInfoResponse

__all__ = [
    "EMPTY_RESPONSE",
    "UpdateInfoRequest",
    "UpdateInfoResponse",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
]
