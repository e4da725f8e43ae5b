"""The URLs that moto sends to lorafw's API. The operation of a request is found with botocore's own model."""

from lorafw.iotwireless.constants import HOSTS
from lorafw.iotwireless.responses import IoTWirelessResponse

url_bases = list(HOSTS)

# A path can contain any character, also a line feed, which "." would not match.
url_paths = {r"{0}/(?P<path>[\s\S]+)$": IoTWirelessResponse.dispatch}
