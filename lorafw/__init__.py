"""lorafw: firmware updates of LoRaWAN gateways as AWS IoT Core for LoRaWAN does them, on one laptop."""
