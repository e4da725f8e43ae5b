"""CUPS, the Configuration and Update Server protocol of LoRa Basics Station: the wire, and nothing but the wire."""
