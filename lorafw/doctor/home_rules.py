"""LW5xx: rules about the home folder of a gateway."""

from __future__ import annotations

import zlib
from typing import Final

from lorafw.doctor.findings import Severity, Violations, rule
from lorafw.doctor.subject import Subject

_STATION: Final = "Basics Station 2.0.6, sys_linux.c"
_CUPS: Final = "Basics Station 2.0.6, cups.c"
_KEY_BYTES: Final = 64
_MAX_PACKAGE_CHARS: Final = 32


@rule(
    "LW501",
    Severity.ERROR,
    title="The station does not start with this station.conf.",
    remedy="Correct station.conf.",
    source=_STATION,
)
def check_conf(subject: Subject) -> Violations:
    """Check that a station can read station.conf."""
    if subject.home is not None and subject.home.conf_problem is not None:
        yield f"{subject.home.conf_problem}."


@rule(
    "LW502",
    Severity.ERROR,
    title="The station does not know where CUPS is.",
    remedy="Write https://host:port to cups.uri. 'aws iotwireless get-service-endpoint' prints it.",
    source=_STATION,
)
def check_has_cups_uri(subject: Subject) -> Violations:
    """Check that cups.uri is there."""
    if subject.home is not None and not subject.home.cups_uri:
        yield f"{subject.home.path / 'cups.uri'} is missing or empty."


@rule(
    "LW503",
    Severity.ERROR,
    title="The station cannot use the address in cups.uri.",
    remedy="Write https://host:port, with the port and without a path.",
    source="Basics Station 2.0.6, net.c",
)
def check_cups_uri(subject: Subject) -> Violations:
    """Check the form of cups.uri."""
    if subject.home is not None and subject.home.uri_problem is not None:
        yield f"{subject.home.uri_problem}."


@rule(
    "LW504",
    Severity.ERROR,
    title="A file that HTTPS needs is missing.",
    remedy="Copy cups.trust, cups.crt and cups.key to the home folder. 'lorafw gateway init' writes them.",
    source=_STATION,
)
def check_credentials(subject: Subject) -> Violations:
    """Check that the files for HTTPS are there."""
    if subject.home is None:
        return
    for name in subject.home.missing_credentials:
        yield f"{subject.home.path / name} is missing."


@rule(
    "LW505",
    Severity.ERROR,
    title="The gateway has no key, so it refuses every signed update.",
    remedy="Copy the public key to sig-0.key. 'lorafw firmware keygen' writes it.",
    source=_CUPS,
)
def check_has_key(subject: Subject) -> Violations:
    """Check that sig-0.key is there if the update is signed."""
    if subject.home is None or subject.home.sig_keys:
        return
    is_signed = subject.definition is None or subject.definition.signature_text is not None
    if is_signed:
        yield f"{subject.home.path / 'sig-0.key'} is missing."


@rule(
    "LW506",
    Severity.ERROR,
    title="A sig-N.key file does not hold a public key as a station reads it (64 bytes: x and y of a P-256 point).",
    remedy="Convert the key with 'lorafw firmware keygen --from', or write x and y without the leading byte 04.",
    source=_CUPS,
)
def check_key_length(subject: Subject) -> Violations:
    """Check the length of the key files."""
    if subject.home is None:
        return
    for number, key in enumerate(subject.home.sig_keys):
        if len(key) != _KEY_BYTES:
            yield f"sig-{number}.key has {len(key)} bytes."


@rule(
    "LW507",
    Severity.ERROR,
    title="No key of the gateway has the CRC SigKeyCrc.",
    remedy="Sign with a key that the gateway has, or bring the new key to the gateway first.",
    source=_CUPS,
)
def check_key_crc(subject: Subject) -> Violations:
    """Check that one of the key files has the CRC in the definition."""
    if subject.home is None or subject.definition is None or not subject.home.sig_keys:
        return
    crc = subject.definition.sig_key_crc
    crcs = [zlib.crc32(key) for key in subject.home.sig_keys]
    if crc is not None and crc not in crcs:
        yield f"SigKeyCrc is {crc}; the gateway has {', '.join(map(str, crcs))}."


@rule(
    "LW508",
    Severity.WARNING,
    title="The gateway presents no PackageVersion.",
    remedy="Write the version to version.txt in the home folder.",
    source=_STATION,
)
def check_has_package(subject: Subject) -> Violations:
    """Check that version.txt is there."""
    if subject.home is not None and subject.home.package is None:
        yield f"{subject.home.path / 'version.txt'} is missing."


@rule(
    "LW509",
    Severity.ERROR,
    title="The gateway presents a PackageVersion that no definition can name.",
    remedy="Write 1 to 32 characters to version.txt.",
    source="AWS IoT Wireless API Reference, LoRaWANGatewayVersion",
)
def check_package_length(subject: Subject) -> Violations:
    """Check the length of version.txt."""
    if subject.home is None or subject.home.package is None:
        return
    if not 0 < len(subject.home.package) <= _MAX_PACKAGE_CHARS:
        yield f"version.txt has {len(subject.home.package)} characters."


@rule(
    "LW510",
    Severity.ERROR,
    title="The gateway presents another PackageVersion than CurrentVersion.",
    remedy="Correct CurrentVersion, or check whether this gateway needs the update.",
    source="AWS IoT Wireless Developer Guide, Update gateway firmware using CUPS",
)
def check_package_matches(subject: Subject) -> Violations:
    """Check that version.txt has CurrentVersion's package."""
    if subject.home is None or subject.definition is None or subject.home.package is None:
        return
    current = subject.definition.version("CurrentVersion")
    if current is None or current.package is None:
        return
    if current.package != subject.home.package:
        yield f"version.txt has {subject.home.package!r}; CurrentVersion has {current.package!r}."


@rule(
    "LW511",
    Severity.ERROR,
    title="The gateway polls again before the installation has ended, which uses up attempts.",
    remedy="Make the installation shorter, or raise CUPS_OKSYNC_INTV in station.conf.",
    source="Basics Station 2.0.6, s2conf.h (CUPS_OKSYNC_INTV)",
)
def check_poll_interval(subject: Subject) -> Violations:
    """Check that the poll interval is longer than the installation."""
    if subject.home is None or subject.home.poll_interval_s is None or subject.install_s is None:
        return
    if subject.home.poll_interval_s <= subject.install_s:
        yield f"It polls every {subject.home.poll_interval_s:g} s, and the installation takes {subject.install_s:g} s."


@rule(
    "LW512",
    Severity.WARNING,
    title="Other users can read a private key of the gateway.",
    remedy="Run 'chmod 600' on the file.",
    source="lorafw",
)
def check_key_modes(subject: Subject) -> Violations:
    """Check the permissions of the private keys."""
    if subject.home is None:
        return
    for name in subject.home.readable_by_others:
        yield f"{subject.home.path / name} has the permissions {subject.home.file_modes[name]:o}."
