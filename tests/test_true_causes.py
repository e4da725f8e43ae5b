"""If lorafw can know why an update is refused, it says so: another hash, another encoding, a package without a name."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from fakes import FIRMWARE, OLD, STATION, World

from lorafw import example
from lorafw.cli import main
from lorafw.firmware.signing import KeyPair
from lorafw.testbed import Testbed

PAIR = KeyPair.from_secret(4711)
CONTENT = FIRMWARE.encode()
HASHES = {
    "SHA-512": hashes.SHA512(),
    "SHA-256": hashes.SHA256(),
    "SHA-384": hashes.SHA384(),
    "SHA-1": hashes.SHA1(),
}


def sign_with(hash_name: str, content: bytes = CONTENT) -> bytes:
    private = serialization.load_pem_private_key(PAIR.pem, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return private.sign(content, ec.ECDSA(HASHES[hash_name]))


def as_raw(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def explain_update(signature: bytes, crc: int = PAIR.public_key.crc) -> str:
    world = World()
    gateway = world.gateway()
    world.definition(signature=signature, sig_key_crc=crc)
    world.poll(gateway, keys=(PAIR.public_key.crc,))
    return world.explain(gateway)


@pytest.mark.parametrize("hash_name", ["SHA-256", "SHA-384", "SHA-1"])
def test_a_signature_over_another_hash_is_called_that(hash_name: str) -> None:
    text = explain_update(sign_with(hash_name))
    assert f"It was made with {hash_name}; a station verifies with SHA-512." in text
    assert "overwritten" not in text
    assert "does not belong" not in text


def test_the_other_hash_is_found_by_a_key_of_the_gateway_as_well() -> None:
    assert "It was made with SHA-256" in explain_update(sign_with("SHA-256"), crc=7)


def test_a_raw_signature_is_called_raw() -> None:
    text = explain_update(as_raw(sign_with("SHA-512")))
    assert "It is raw (r and s, 64 bytes); a station reads DER." in text
    assert "overwritten" not in text


def test_a_raw_signature_over_another_hash_has_both_faults() -> None:
    assert "made with SHA-256 and is raw" in explain_update(as_raw(sign_with("SHA-256")))


def test_a_signature_over_another_object_still_asks_whether_it_was_overwritten() -> None:
    assert "Was the object overwritten?" in explain_update(sign_with("SHA-512", b"another"))
    assert "Was the object overwritten?" in explain_update(sign_with("SHA-256", b"another"))


def test_a_signature_in_der_that_only_a_station_takes_belongs_to_its_object() -> None:
    r, s = decode_dss_signature(sign_with("SHA-512"))
    numbers = [b"\x02\x22\x00\x00" + number.to_bytes(32, "big") for number in (r, s)]
    lax = b"\x30\x48" + b"".join(numbers)
    text = explain_update(lax)
    assert "the gateway has this key" in text
    assert "belong" not in text


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (sign_with("SHA-256"), "It was made with SHA-256"),
        (as_raw(sign_with("SHA-512")), "It is raw"),
        (sign_with("SHA-512", b"another"), "no key verifies"),
    ],
    ids=["SHA-256", "raw", "another object"],
)
def test_firmware_verify_says_what_the_signer_did_wrong(tmp_path: Path, signature: bytes, words: str) -> None:
    update, key = tmp_path / "update", tmp_path / "sig-0.key"
    update.write_bytes(CONTENT)
    key.write_bytes(PAIR.public_key.sig_key)
    text = base64.b64encode(signature).decode()
    result = CliRunner().invoke(main, ["firmware", "verify", str(update), "--signature", text, "--sig-key", str(key)])
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("signature", "words"),
    [(as_raw(sign_with("SHA-512")), "raw"), (b"no DER at all", "not in DER")],
    ids=["raw", "something else"],
)
def test_a_definition_is_refused_if_its_signature_is_not_der(signature: bytes, words: str) -> None:
    members = example.input_json()
    members["Update"]["LoRaWAN"]["UpdateSignature"] = base64.b64encode(signature).decode()
    with Testbed() as bed:
        iot = bed.client("iotwireless")
        with pytest.raises(iot.exceptions.ValidationException, match=words):
            iot.create_wireless_gateway_task_definition(**members)


@pytest.mark.parametrize(
    ("package", "words"),
    [("", "is empty"), ("x" * 33, "has 33 characters")],
    ids=["empty", "too long"],
)
def test_a_package_that_no_definition_can_name_is_called_that(package: str, words: str) -> None:
    world = World()
    gateway = world.gateway()
    world.definition()
    world.poll(gateway, replace(OLD, package=package))
    assert f"Its PackageVersion {words}, and a definition's has 1 to 32 (documented)" in world.explain(gateway)


def test_the_longest_package_of_a_definition_is_no_fault() -> None:
    world = World()
    gateway = world.gateway()
    world.poll(gateway, replace(OLD, package="x" * 32))
    assert "no definition can name it" not in world.explain(gateway)


@pytest.mark.parametrize(
    ("wanted", "presented", "words"),
    [
        (STATION, "2.0.4(linux/std)", "the gateway presents none"),
        ("2.0.4(linux/std)", STATION, "the definition gives none"),
    ],
)
def test_explain_names_the_side_whose_build_time_is_missing(wanted: str, presented: str, words: str) -> None:
    world = World()
    gateway = world.gateway()
    world.definition(replace(OLD, station=wanted))
    world.poll(gateway, replace(OLD, station=presented))
    assert f"(only the build time differs: {words})" in world.explain(gateway)


def test_explain_says_that_a_gateway_without_a_key_refuses_a_signed_update() -> None:
    world = World()
    gateway = world.gateway()
    world.definition(signature=sign_with("SHA-512"), sig_key_crc=PAIR.public_key.crc)
    world.poll(gateway, keys=())
    assert "A station without a key refuses a signed update (observed)" in world.explain(gateway)


def test_a_wrong_sig_key_crc_is_harmless_if_another_key_of_the_gateway_verifies() -> None:
    assert "One of these keys verifies the signature, so a station runs the update" in explain_update(
        sign_with("SHA-512"), crc=7
    )
