"""`lorafw firmware`: make keys, update files, signatures and the input.json of a task definition."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import click

from lorafw import example
from lorafw.atomic import write_atomic
from lorafw.cli.console import echo
from lorafw.errors import NoMatchingKey
from lorafw.firmware.image import build_image, looks_like_image, read_update, unpack_image
from lorafw.firmware.signature_fault import find_signature_fault
from lorafw.firmware.signing import (
    KeyPair,
    PublicKey,
    UpdateSignature,
    decode_signature,
    find_key,
    verify_external_signature,
)
from lorafw.firmware.signing import sign_update as sign_bytes
from lorafw.gateway.virtual import MODEL, STATION
from lorafw.signals import exit_on_signals
from lorafw.text import visible
from lorafw.version import GatewayVersion

EXECUTABLE_MODE = 0o755
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)

UPDATE = click.argument("update", type=FILE)
SIG_KEYS = click.option(
    "--sig-key",
    "sig_keys",
    multiple=True,
    type=FILE,
    help="Public key: sig-0.key (64 bytes) or PEM. Can be given more than once.",
)


@click.group()
def firmware() -> None:
    """Make keys, build, sign, verify and inspect update files, and write task definitions."""


@firmware.command()
@click.option(
    "--private-key",
    type=NEW_FILE,
    default=Path("private.pem"),
    show_default=True,
    help="File for the private key. Only you can read it. Keep it, and keep it secret.",
)
@click.option(
    "--sig-key",
    type=NEW_FILE,
    default=Path("sig-0.key"),
    show_default=True,
    help="File for the public key. Copy it into the gateway's home folder.",
)
def keygen(private_key: Path, sig_key: Path) -> None:
    """Make an ECDSA P-256 key pair. You can sign all updates with one pair. Existing files are not overwritten."""
    for path in (private_key, sig_key):
        if path.exists():
            raise click.ClickException(f"{path} exists; a key is not overwritten. Choose another name.")
    pair = KeyPair.generate()
    with exit_on_signals():
        _save_key_pair(pair, private_key, sig_key)
    echo(f"Private key  {private_key}\nPublic key   {sig_key}")
    echo(f"SigKeyCrc    {pair.public_key.crc}  (keycrc={pair.public_key.crc:08X} in a station's log)")


def _save_key_pair(pair: KeyPair, private_key: Path, sig_key: Path) -> None:
    """Write both keys or none. A single key would be useless, and the next run would refuse to overwrite it.

    Args:
        pair: The keys.
        private_key: File for the private key. It must not exist.
        sig_key: File for the public key. It must not exist.
    """
    pair.save(private_key)
    try:
        write_atomic(sig_key, pair.public_key.sig_key, overwrite=False)
    except BaseException:
        private_key.unlink()
        raise


@firmware.command()
@click.option("--package", required=True, help="PackageVersion of the gateway after the update (version.txt).")
@click.option("--station", type=FILE, help="New Basics Station binary.")
@click.option("--station-conf", type=FILE, help="New station.conf.")
@click.option(
    "--file",
    "others",
    multiple=True,
    metavar="NAME=PATH",
    help="Another file for the home folder. Can be given more than once.",
)
@click.option("--restart", metavar="COMMAND", help="Command that restarts the station. It is run last.")
@click.option(
    "--default-home", default=".", show_default=True, help="Home folder of a station that was started without -h."
)
@click.option(
    "-o", "--output", type=NEW_FILE, default=Path("fwstation"), show_default=True, help="File to write the update to."
)
def build(
    *,
    package: str,
    station: Path | None,
    station_conf: Path | None,
    others: tuple[str, ...],
    restart: str | None,
    default_home: str,
    output: Path,
) -> None:
    """Build an update file: a shell script that contains the new files."""
    files = _collect_files(station, station_conf, others)
    update = build_image(package_version=package, files=files, restart=restart, default_home=default_home)
    write_atomic(output, update, mode=EXECUTABLE_MODE)
    echo(f"{output}: {len(update)} bytes, PackageVersion {package}, files: {', '.join(files) or 'version.txt only'}")
    if restart is None:
        _note_that_a_restart_is_needed(files)


def _note_that_a_restart_is_needed(files: Collection[str]) -> None:
    """Print a note if an update without a restart has a file that a station reads only when it starts."""
    if "station" in files:
        echo("Note: a new station runs only after a restart; --restart COMMAND does it.", err=True)
    if "station.conf" in files:
        echo("Note: a station reads station.conf only when it starts; --restart COMMAND restarts it.", err=True)


def _collect_files(station: Path | None, station_conf: Path | None, others: tuple[str, ...]) -> dict[str, bytes | Path]:
    """Return the files of an update by their names in the home folder.

    Args:
        station: The station binary, or None.
        station_conf: The station.conf, or None.
        others: Other files as ``NAME=PATH``.

    Raises:
        click.BadParameter: One of ``others`` has no name, or its file does not exist.
    """
    files: dict[str, bytes | Path] = {}
    if station is not None:
        files["station"] = station
    if station_conf is not None:
        files["station.conf"] = station_conf
    for argument in others:
        name, equals, path = argument.partition("=")
        if not equals or not Path(path).is_file():
            raise click.BadParameter(f"{argument!r} is not NAME=PATH of a file", param_hint="--file")
        files[name] = Path(path)
    return files


@firmware.command()
@UPDATE
@click.option("--key", type=FILE, required=True, help="Private key (PEM file).")
@click.option("--deterministic", is_flag=True, help="Make the same signature each time (RFC 6979).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with AWS's member names.")
def sign(update: Path, key: Path, deterministic: bool, as_json: bool) -> None:
    """Sign an UPDATE file. Prints UpdateSignature and SigKeyCrc."""
    signed = sign_bytes(KeyPair.load(key, deterministic=deterministic), read_update(update))
    if as_json:
        echo(json.dumps({"UpdateSignature": signed.base64, "SigKeyCrc": signed.key_crc}))
        return
    echo(f"UpdateSignature  {signed.base64}\nSigKeyCrc        {signed.key_crc}")


@firmware.command()
@UPDATE
@click.option("--signature", required=True, help="UpdateSignature in base64.")
@SIG_KEYS
def verify(update: Path, signature: str, sig_keys: tuple[Path, ...]) -> None:
    """Check the signature of an UPDATE file with the keys of a gateway, in the order in which they are given."""
    keys = [PublicKey.load(path) for path in sig_keys]
    data = read_update(update)
    signature_bytes = decode_signature(signature)
    try:
        index = find_key(data, signature_bytes, keys)
    except NoMatchingKey as error:
        fault = find_signature_fault(lambda: [data], signature_bytes, error.known)
        if fault is None:
            raise
        raise click.ClickException(f"{error}. {fault}") from error
    echo(f"VERIFIED with {sig_keys[index]} (SigKeyCrc {keys[index].crc})")


@firmware.command()
@UPDATE
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(update: Path, as_json: bool) -> None:
    """Show what an UPDATE file would do. It must have been built by lorafw. Nothing is executed."""
    data = read_update(update)
    if not looks_like_image(data):
        raise click.ClickException(f"{update} is not an update file that lorafw built; read it before you run it")
    image = unpack_image(data)
    if as_json:
        echo(json.dumps(image.describe()))
        return
    echo(f"PackageVersion  {visible(image.package_version)}\nSize            {len(data)} bytes")
    echo(f"Restart         {visible(image.restart or 'none')}")
    for file in image.files:
        echo(
            f"File            {visible(file.name)}  {len(file.content)} bytes  mode {file.mode:o}  sha256 {file.sha256}"
        )


@firmware.command("task-definition")
@click.option(
    "--file", "update", type=FILE, help="The update file. Needed to sign it, or to check an existing signature."
)
@click.option("--key", type=FILE, help="Private key (PEM file) to sign the update file with.")
@click.option("--signature", help="Use this existing signature, in base64. Needs --sig-key or --sig-key-crc.")
@click.option(
    "--sig-key", type=FILE, help="Public key of the existing signature. If --file is given, the signature is checked."
)
@click.option(
    "--sig-key-crc", type=click.IntRange(1, 2**32 - 1), help="CRC of the public key of the existing signature."
)
@click.option("--data-source", default=example.DATA_SOURCE, show_default=True, help="UpdateDataSource.")
@click.option("--role", default=example.ROLE_ARN, show_default=True, help="UpdateDataRole.")
@click.option("--station", default=STATION, show_default=True, help="CurrentVersion.Station.")
@click.option("--package", default="1.0.0", show_default=True, help="CurrentVersion.PackageVersion.")
@click.option("--model", default=MODEL, show_default=True, help="CurrentVersion.Model.")
@click.option(
    "--update-version",
    metavar="PACKAGE",
    help="UpdateVersion.PackageVersion. The task completes only with this version, not with any other new one.",
)
@click.option("--name", default=example.DEFINITION_NAME, show_default=True, help="Name of the task definition.")
@click.option("--no-auto", is_flag=True, help="Set AutoCreateTasks to false. You create the tasks yourself.")
def task_definition(
    *,
    update: Path | None,
    key: Path | None,
    signature: str | None,
    sig_key: Path | None,
    sig_key_crc: int | None,
    data_source: str,
    role: str,
    station: str,
    package: str,
    model: str,
    update_version: str | None,
    name: str,
    no_auto: bool,
) -> None:
    """Print a task definition (input.json) for the AWS CLI's option --cli-input-json.

    \b
    lorafw firmware task-definition --file fwstation --key private.pem > input.json
    lorafw aws iotwireless create-wireless-gateway-task-definition --cli-input-json file://input.json
    """  # noqa: D301 -- \b is the character with which click keeps line breaks
    # 1. Sign the update file, or take the signature that somebody else made.
    if key is not None and signature is None and update is not None:
        signed = sign_bytes(KeyPair.load(key), read_update(update))
    elif signature is not None and key is None:
        signed = _external_signature(update, signature, sig_key, sig_key_crc)
    else:
        raise click.UsageError("give --file and --key to sign, or --signature with --sig-key or --sig-key-crc")
    # 2. Put the task definition together.
    update_to = None if update_version is None else GatewayVersion(package=update_version)
    members = example.input_json(
        signature=signed.signature,
        sig_key_crc=signed.key_crc,
        data_source=data_source,
        role=role,
        name=name,
        current_version=GatewayVersion(station=station, package=package, model=model),
        update_version=update_to,
        auto_create_tasks=not no_auto,
    )
    # 3. Print it. Names keep their letters, such as ü, unless they have control characters.
    text = json.dumps(members, indent=4, ensure_ascii=False)
    if visible(text, keep_lines=True) != text:
        text = json.dumps(members, indent=4)  # JSON has its own escapes for control characters
    echo(text)


def _external_signature(
    update: Path | None, signature_base64: str, sig_key: Path | None, crc: int | None
) -> UpdateSignature:
    """Return a signature that was made elsewhere, checked with the files that were given.

    Args:
        update: The update file, or None to check no signature.
        signature_base64: The signature in base64.
        sig_key: File of the public key, or None if only its CRC is known.
        crc: CRC of the public key, or None to calculate it from ``sig_key``.

    Raises:
        click.UsageError: Neither the public key nor its CRC was given.
        click.ClickException: The CRC is not that of the public key.
        SignatureError: The signature is malformed, or is not valid for the update file.
    """
    signature = decode_signature(signature_base64)
    if sig_key is not None:
        public_key = PublicKey.load(sig_key)
        if crc is not None and crc != public_key.crc:
            raise click.ClickException(f"--sig-key-crc is {crc}, but {sig_key} has the CRC {public_key.crc}")
        if update is None:
            return UpdateSignature(signature, public_key.crc)
        return verify_external_signature(read_update(update), signature, public_key)
    if crc is None:
        raise click.UsageError("a given signature needs --sig-key or --sig-key-crc")
    return UpdateSignature(signature, crc)
