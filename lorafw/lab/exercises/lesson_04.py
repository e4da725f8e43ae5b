"""Lesson 04: why does my gateway not match?"""

from __future__ import annotations

from lorafw.lab.exercises.grading import Exercise, equals

EXERCISES = {
    "04-third": Exercise(
        "The API tells what the gateway presented last: get_wireless_gateway_firmware_information, with its id.",
        equals({"PackageVersion": "1.0.0", "Model": "rpi", "Station": "2.0.5(rpi/std) 2021-03-11 17:02:44"}),
    ),
    "04-fifth": Exercise(
        "All three fields must be given and equal. How many fields does a gateway without version.txt present?",
        equals(False),
    ),
    "04-delete": Exercise(
        "The oldest of those that match wins. Which one stands in the way of Better?",
        equals("FirmwareUpdate"),
    ),
}
