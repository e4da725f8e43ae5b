"""The URLs that moto sends to lorafw's API. The operation of a request is found with botocore's own model."""

from lorafw.iotwireless.constants import HOSTS
from lorafw.iotwireless.responses import IoTWirelessResponse

url_bases = list(HOSTS)

url_paths = {"{0}/.*$": IoTWirelessResponse.dispatch}
