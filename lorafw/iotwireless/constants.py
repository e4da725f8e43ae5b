"""The hosts of the API, and the paths and the header that lorafw adds to it."""

from typing import Final

HOSTS: Final = (
    r"https?://(?:api\.)?iotwireless(?:-fips)?\.(.+)\.amazonaws\.com",
    r"https?://(?:api\.)?iotwireless(?:-fips)?\.(.+)\.api\.aws",
)
"""The API's hosts; the second is the dual-stack form. moto's server asks without ``api.``."""

PLAIN_HEADER: Final = "x-lorafw-plain"
"""A request for the CUPS endpoint with this header is answered with the plain endpoint, if there is one."""

EXPLAIN_PATH: Final = "/lorafw/explain/"
"""GET of this path with a gateway's id or EUI behind it answers why it is updated or not."""

ABOUT_PATH: Final = "/lorafw/about/"
"""GET of this path with a number behind it answers {"lorafw": number}. It shows that the server is lorafw."""
