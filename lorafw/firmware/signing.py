"""Signatures of update files, as Basics Station checks them.

The law (source: recorded from Basics Station 2.0.6):

* ECDSA over the curve P-256, hash SHA-512, over the bytes of the update and nothing else; DER, at most 128 bytes.
* ``sig-N.key`` on the gateway is the public point: 64 bytes, X then Y, big-endian, no prefix, no newline.
* The key CRC is the CRC-32 (zlib's) of these 64 bytes. AWS's SigKeyCrc is this number in decimal; the station's
  log prints it in hex. It is a label only: the station tries all its keys.

A Signer is anything with ``sign(data)`` and ``public_key``: a file, a token, a remote signing service.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm

from lorafw.atomic import PRIVATE_MODE, write_atomic
from lorafw.errors import BadSignature, InvalidKey, NoMatchingKey, SignatureError

SIG_KEY_BYTES: Final = 64
MAX_SIGNATURE: Final = 128
MIN_SIGNATURE: Final = 4

_HASH_OF_LENGTH: Final[dict[int, HashAlgorithm]] = {
    algorithm.digest_size: algorithm
    for algorithm in (SHA1(), SHA256(), SHA384(), SHA512())  # noqa: S303 -- only to say that a signer used it
}


class PublicKey:
    """A P-256 public key, the content of a ``sig-N.key``."""

    def __init__(self, sig_key: bytes) -> None:
        """``sig_key``: 64 bytes, X then Y. Raises InvalidKey where that is no point of P-256."""
        if len(sig_key) != SIG_KEY_BYTES:
            raise InvalidKey(
                f"a sig-N.key has {SIG_KEY_BYTES} bytes (X then Y, no 04 prefix, no newline); this has {len(sig_key)}"
            )
        try:
            self._key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + sig_key)
        except ValueError as error:
            raise InvalidKey("these 64 bytes are not a point on the curve P-256") from error
        self.sig_key: Final = bytes(sig_key)

    @classmethod
    def from_pem(cls, pem: bytes) -> PublicKey:
        """Read ``-----BEGIN PUBLIC KEY-----``, as ``openssl ec -pubout`` writes it."""
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidKey(f"not a public key in PEM: {error}") from error
        return cls(_raw_point(_p256(key)))

    @classmethod
    def load(cls, path: Path) -> PublicKey:
        """Read a ``sig-N.key`` or a PEM file."""
        content = path.read_bytes()
        try:
            return cls.from_pem(content) if content.startswith(b"-----BEGIN") else cls(content)
        except InvalidKey as error:
            raise InvalidKey(f"{path}: {error}") from error

    @property
    def crc(self) -> int:
        """AWS's SigKeyCrc."""
        return zlib.crc32(self.sig_key)

    @property
    def pem(self) -> bytes:
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def verify(self, data: bytes, signature: bytes) -> None:
        """Return, or raise BadSignature."""
        try:
            self._key.verify(signature, data, ec.ECDSA(SHA512()))
        except InvalidSignature as error:
            raise BadSignature(f"the signature does not verify with key {self.crc:08X}", self.crc) from error

    def verify_digest(self, digest: bytes, signature: bytes) -> None:
        """As ``verify``, for data of which only the digest is at hand. Its length tells the hash: 64 bytes, SHA-512."""
        try:
            self._key.verify(signature, digest, ec.ECDSA(Prehashed(_HASH_OF_LENGTH[len(digest)])))
        except InvalidSignature as error:
            raise BadSignature(f"the signature does not verify with key {self.crc:08X}", self.crc) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.sig_key == other.sig_key

    def __hash__(self) -> int:
        return hash(self.sig_key)

    def __repr__(self) -> str:
        return f"PublicKey(crc={self.crc:08X})"


class Signer(Protocol):
    """Whoever can sign an update."""

    @property
    def public_key(self) -> PublicKey: ...

    def sign(self, data: bytes) -> bytes:
        """The DER signature of ``data``."""
        ...


class KeyPair:
    """A private key kept in a PEM file; itself a Signer."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, *, deterministic: bool = False) -> None:
        """``deterministic``: choose the nonce as RFC 6979 does, so that equal input gives an equal signature."""
        self._private = _p256_private(private)
        self._deterministic = deterministic
        self.public_key: Final = PublicKey(_raw_point(private.public_key()))

    @classmethod
    def generate(cls, *, deterministic: bool = False) -> KeyPair:
        return cls(ec.generate_private_key(ec.SECP256R1()), deterministic=deterministic)

    @classmethod
    def from_secret(cls, secret: int, *, deterministic: bool = True) -> KeyPair:
        """A key for lessons and tests, made from a number that everyone may know."""
        try:
            return cls(ec.derive_private_key(secret, ec.SECP256R1()), deterministic=deterministic)
        except ValueError as error:
            raise InvalidKey("a private key of P-256 is a number from 1 to the order of the curve less 1") from error

    @classmethod
    def from_pem(cls, pem: bytes, *, password: bytes | None = None, deterministic: bool = False) -> KeyPair:
        try:
            key = serialization.load_pem_private_key(pem, password)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidKey(f"not a private key in PEM that can be read: {error}") from error
        return cls(_p256_private(key), deterministic=deterministic)

    @classmethod
    def load(cls, path: Path, *, password: bytes | None = None, deterministic: bool = False) -> KeyPair:
        try:
            return cls.from_pem(path.read_bytes(), password=password, deterministic=deterministic)
        except InvalidKey as error:
            raise InvalidKey(f"{path}: {error}") from error

    @property
    def pem(self) -> bytes:
        """PKCS#8, not encrypted. Keep it as the secret that it is."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def save(self, path: Path) -> None:
        """Write the PEM file as a whole or not at all. Only the owner can read it.

        Raises:
            FileExistsError: The file exists. It is not overwritten, since a key may be lost.
            OSError: The file cannot be written.
        """
        write_atomic(path, self.pem, mode=PRIVATE_MODE, overwrite=False)

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data, ec.ECDSA(SHA512(), deterministic_signing=self._deterministic))


@dataclass(frozen=True, slots=True)
class UpdateSignature:
    """What a task definition says of a signature: UpdateSignature and SigKeyCrc."""

    signature: bytes
    key_crc: int

    @property
    def base64(self) -> str:
        """AWS's UpdateSignature: one line."""
        return base64.b64encode(self.signature).decode()


def sign_update(signer: Signer, data: bytes) -> UpdateSignature:
    """Sign the bytes of an update file and check the result, so that a broken signer is found here."""
    if not data:
        raise SignatureError("there is nothing to sign: the update file is empty")
    return verify_external_signature(data, signer.sign(data), signer.public_key)


def verify_external_signature(data: bytes, signature: bytes, key: PublicKey) -> UpdateSignature:
    """Take a signature that came from elsewhere, a manufacturer for example, once ``key`` verifies it."""
    _check_length(signature)
    key.verify(data, signature)
    return UpdateSignature(signature, key.crc)


def find_key(data: bytes, signature: bytes, keys: Sequence[PublicKey], offered_crc: int | None = None) -> int:
    """The index of the first key that verifies; all are tried. Raises NoMatchingKey."""
    for index, key in enumerate(keys):
        try:
            key.verify(data, signature)
        except BadSignature:
            continue
        return index
    raise NoMatchingKey(offered_crc, [key.crc for key in keys])


def decode_signature(text: str) -> bytes:
    """Read base64, also one that is wrapped into lines. Raises SignatureError."""
    try:
        signature = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError(
            f"the signature is not base64 ({error}); give the output of 'base64' over the DER signature"
        ) from error
    _check_length(signature)
    return signature


def _check_length(signature: bytes) -> None:
    if not MIN_SIGNATURE <= len(signature) <= MAX_SIGNATURE:
        raise SignatureError(
            f"the signature has {len(signature)} bytes; a station takes {MIN_SIGNATURE} to {MAX_SIGNATURE}, "
            "and a P-256 signature in DER has 70 to 72"
        )


def _p256(key: object) -> ec.EllipticCurvePublicKey:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise InvalidKey(f"not an ECDSA key on P-256 but {_kind(key)}")


def _p256_private(key: object) -> ec.EllipticCurvePrivateKey:
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise InvalidKey(f"not an ECDSA key on P-256 but {_kind(key)}; make one with 'lorafw firmware keygen'")


def _kind(key: object) -> str:
    curve = getattr(key, "curve", None)
    return f"one on {curve.name}" if curve is not None else type(key).__name__.lstrip("_")


def _raw_point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)[1:]
