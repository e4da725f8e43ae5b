"""Where the API answers. Which operation a request means is read from botocore's own model."""

from lorafw.iotwireless.constants import HOSTS
from lorafw.iotwireless.responses import IoTWirelessResponse

url_bases = list(HOSTS)

url_paths = {"{0}/.*$": IoTWirelessResponse.dispatch}
