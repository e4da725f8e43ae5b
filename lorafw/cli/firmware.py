"""`lorafw firmware`: keys, update files, signatures, and the input.json of a task definition."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lorafw import example
from lorafw.atomic import write_atomic
from lorafw.cli.console import echo
from lorafw.cli.signals import exit_on_signals
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
from lorafw.text import visible
from lorafw.version import GatewayVersion

EXECUTABLE_MODE = 0o755
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)

UPDATE = click.argument("update", type=FILE)
SIG_KEYS = click.option(
    "--sig-key", "sig_keys", multiple=True, type=FILE, help="Public key: sig-0.key (64 bytes) or PEM; repeatable."
)


@click.group()
def firmware() -> None:
    """Update files: make keys, build, sign, verify, and write the task definition."""


@firmware.command()
@click.option(
    "--private-key",
    type=NEW_FILE,
    default=Path("private.pem"),
    show_default=True,
    help="Where the private key goes, readable by you only. Keep it, and keep it secret.",
)
@click.option(
    "--sig-key",
    type=NEW_FILE,
    default=Path("sig-0.key"),
    show_default=True,
    help="Where the public key goes: copy this file into the gateway's home folder.",
)
def keygen(private_key: Path, sig_key: Path) -> None:
    """Make an ECDSA P-256 key pair. One pair serves all updates; nothing is overwritten."""
    for path in (private_key, sig_key):
        if path.exists():
            raise click.ClickException(f"{path} exists; a key is not overwritten. Choose another name.")
    pair = KeyPair.generate()
    with exit_on_signals():
        _save_pair(pair, private_key, sig_key)
    echo(f"Private key  {private_key}\nPublic key   {sig_key}")
    echo(f"SigKeyCrc    {pair.public_key.crc}  (keycrc={pair.public_key.crc:08X} in a station's log)")


def _save_pair(pair: KeyPair, private_key: Path, sig_key: Path) -> None:
    """Write both keys or none. Half a pair is of no use, and would be in the way of the next attempt."""
    pair.save(private_key)
    try:
        write_atomic(sig_key, pair.public_key.sig_key, overwrite=False)
    except BaseException:
        private_key.unlink()
        raise


@firmware.command()
@click.option("--package", required=True, help="PackageVersion that the gateway has afterwards: version.txt.")
@click.option("--station", type=FILE, help="New Basics Station binary.")
@click.option("--station-conf", type=FILE, help="New station.conf.")
@click.option(
    "--file", "others", multiple=True, metavar="NAME=PATH", help="Another file for the home folder; repeatable."
)
@click.option("--restart", metavar="COMMAND", help="Command that restarts the station, run last.")
@click.option("--default-home", default=".", show_default=True, help="Home folder for a station started without -h.")
@click.option("-o", "--output", type=NEW_FILE, default=Path("fwstation"), show_default=True)
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
    """Build an update file: a shell script that carries the new files."""
    files: dict[str, bytes | Path] = {}
    if station is not None:
        files["station"] = station
    if station_conf is not None:
        files["station.conf"] = station_conf
    for other in others:
        name, equals, path = other.partition("=")
        if not equals or not Path(path).is_file():
            raise click.BadParameter(f"{other!r} is not NAME=PATH of a file", param_hint="--file")
        files[name] = Path(path)
    update = build_image(package_version=package, files=files, restart=restart, default_home=default_home)
    write_atomic(output, update, mode=EXECUTABLE_MODE)
    echo(f"{output}: {len(update)} bytes, PackageVersion {package}, files: {', '.join(files) or 'version.txt only'}")
    if station is not None and restart is None:
        echo("Note: a new station runs only after a restart; --restart COMMAND does it.", err=True)


@firmware.command()
@UPDATE
@click.option("--key", type=FILE, required=True, help="Private key in PEM.")
@click.option("--deterministic", is_flag=True, help="The same signature each time (RFC 6979).")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with AWS's member names.")
def sign(update: Path, key: Path, deterministic: bool, as_json: bool) -> None:
    """Sign an UPDATE file: UpdateSignature and SigKeyCrc."""
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
    """Check the signature of an UPDATE file against the keys of a gateway, in their order."""
    keys = [PublicKey.load(path) for path in sig_keys]
    data, decoded = read_update(update), decode_signature(signature)
    try:
        index = find_key(data, decoded, keys)
    except NoMatchingKey as error:
        fault = find_signature_fault(lambda: [data], decoded, error.known)
        if fault is None:
            raise
        raise click.ClickException(f"{error}. {fault}") from error
    echo(f"VERIFIED with {sig_keys[index]} (SigKeyCrc {keys[index].crc})")


@firmware.command()
@UPDATE
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def inspect(update: Path, as_json: bool) -> None:
    """Show what an UPDATE file that lorafw built would do. Nothing is executed."""
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
@click.option("--file", "update", type=FILE, help="The update file: to sign it, or to check a given signature.")
@click.option("--key", type=FILE, help="Private key in PEM: signs the file.")
@click.option("--signature", help="A signature that was given to you, in base64 (with --sig-key or --sig-key-crc).")
@click.option("--sig-key", type=FILE, help="Public key of the given signature; with --file it is checked.")
@click.option("--sig-key-crc", type=click.IntRange(1, 2**32 - 1), help="CRC of the given signature's key.")
@click.option("--data-source", default=example.DATA_SOURCE, show_default=True, help="UpdateDataSource.")
@click.option("--role", default=example.ROLE_ARN, show_default=True, help="UpdateDataRole.")
@click.option("--station", default=STATION, show_default=True, help="CurrentVersion.Station.")
@click.option("--package", default="1.0.0", show_default=True, help="CurrentVersion.PackageVersion.")
@click.option("--model", default=MODEL, show_default=True, help="CurrentVersion.Model.")
@click.option(
    "--update-version",
    metavar="PACKAGE",
    help="UpdateVersion.PackageVersion: only this one completes the task, not any other new version.",
)
@click.option("--name", default=example.DEFINITION_NAME, show_default=True)
@click.option("--no-auto", is_flag=True, help="AutoCreateTasks false: tasks are created by hand.")
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
    """Print the documented input.json, ready for --cli-input-json.

    \b
    lorafw firmware task-definition --file fwstation --key private.pem > input.json
    aws iotwireless create-wireless-gateway-task-definition --cli-input-json file://input.json
    """
    if key is not None and signature is None and update is not None:
        signed = sign_bytes(KeyPair.load(key), read_update(update))
    elif signature is not None and key is None:
        signed = _given(update, signature, sig_key, sig_key_crc)
    else:
        raise click.UsageError("give --file and --key to sign, or --signature with --sig-key or --sig-key-crc")
    members = example.input_json(
        signature=signed.signature,
        sig_key_crc=signed.key_crc,
        data_source=data_source,
        role=role,
        name=name,
        current_version=GatewayVersion(station=station, package=package, model=model),
        update_version=GatewayVersion(package=update_version) if update_version is not None else None,
        auto_create_tasks=not no_auto,
    )
    text = json.dumps(members, indent=4, ensure_ascii=False)
    if visible(text, keep_lines=True) != text:
        text = json.dumps(members, indent=4)  # JSON has escapes of its own
    echo(text)


def _given(update: Path | None, text: str, sig_key: Path | None, crc: int | None) -> UpdateSignature:
    """A signature without the private key: checked as far as there is something to check it with."""
    signature = decode_signature(text)
    if sig_key is not None:
        public = PublicKey.load(sig_key)
        if crc is not None and crc != public.crc:
            raise click.ClickException(f"--sig-key-crc is {crc}, but {sig_key} has the CRC {public.crc}")
        if update is not None:
            return verify_external_signature(read_update(update), signature, public)
        return UpdateSignature(signature, public.crc)
    if crc is None:
        raise click.UsageError("a given signature needs --sig-key or --sig-key-crc")
    return UpdateSignature(signature, crc)
