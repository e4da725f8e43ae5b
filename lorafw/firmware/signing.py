"""Sign update files, and verify signatures as a Basics Station does.

The rules of the station (source: recorded from Basics Station 2.0.6):

* The algorithm is ECDSA on the curve P-256 with SHA-512, over the bytes of the update alone.
  The signature is in DER and has at most 128 bytes.
* ``sig-N.key`` on the gateway holds the public key: 64 bytes, X then Y, big-endian, without prefix or newline.
* The key CRC is the CRC-32 of these 64 bytes, as zlib calculates it. AWS's SigKeyCrc is this number in decimal, and
  the station logs it in hexadecimal. The CRC does not select a key: the station tries all keys that it has.

A Signer is any object with ``sign(data)`` and ``public_key``, for example a key file, a hardware token or a remote
signing service.
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

_MAX_KEY_FILE_BYTES: Final = 64 << 10
"""Maximum size of a file with a key. The limit also ends the reading of a device that has no end."""

_HASH_OF_LENGTH: Final[dict[int, HashAlgorithm]] = {
    algorithm.digest_size: algorithm
    for algorithm in (SHA1(), SHA256(), SHA384(), SHA512())  # noqa: S303 -- only to say that a signer used it
}


class PublicKey:
    """A P-256 public key, the content of a ``sig-N.key``."""

    def __init__(self, sig_key: bytes) -> None:
        """Check and keep a public key.

        Args:
            sig_key: The content of a ``sig-N.key``: 64 bytes, X then Y.

        Raises:
            InvalidKey: The length is not 64 bytes, or they are not a point on P-256.
        """
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
        """Return the key in a PEM text that begins with ``-----BEGIN PUBLIC KEY-----``.

        ``openssl ec -pubout`` writes this format.

        Args:
            pem: The text.

        Raises:
            InvalidKey: The text is not PEM, or the key is not on P-256.
        """
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidKey(f"not a public key in PEM: {error}") from error
        return cls(_raw_point(_p256(key)))

    @classmethod
    def load(cls, path: Path) -> PublicKey:
        """Return the key in a file, which is either a ``sig-N.key`` or a PEM file.

        Args:
            path: The file.

        Raises:
            InvalidKey: The file does not hold a public key on P-256. The message names the file.
            OSError: The file cannot be read.
        """
        content = _read_key_file(path)
        try:
            if content.startswith(b"-----BEGIN"):
                return cls.from_pem(content)
            return cls(content)
        except InvalidKey as error:
            raise InvalidKey(f"{path}: {error}") from error

    @property
    def crc(self) -> int:
        """The CRC-32 of the key, which AWS calls SigKeyCrc."""
        return zlib.crc32(self.sig_key)

    @property
    def pem(self) -> bytes:
        """The key as SubjectPublicKeyInfo in PEM."""
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def verify(self, data: bytes, signature: bytes) -> None:
        """Verify a signature with SHA-512, as a station does.

        Args:
            data: The bytes that were signed.
            signature: The signature in DER.

        Raises:
            BadSignature: The signature does not verify with this key.
        """
        self._verify(signature, data, SHA512())

    def verify_digest(self, digest: bytes, signature: bytes) -> None:
        """Verify a signature without the data that was signed, from its digest alone.

        Args:
            digest: The digest of the data. Its length tells which hash made it: 64 bytes mean SHA-512.
            signature: The signature in DER.

        Raises:
            BadSignature: The signature does not verify with this key.
        """
        self._verify(signature, digest, Prehashed(_HASH_OF_LENGTH[len(digest)]))

    def _verify(self, signature: bytes, data: bytes, algorithm: HashAlgorithm | Prehashed) -> None:
        """Raise BadSignature if a signature of some data, or of their digest, does not verify with this key."""
        try:
            self._key.verify(signature, data, ec.ECDSA(algorithm))
        except InvalidSignature as error:
            raise BadSignature(f"the signature does not verify with key {self.crc:08X}", self.crc) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.sig_key == other.sig_key

    def __hash__(self) -> int:
        return hash(self.sig_key)

    def __repr__(self) -> str:
        return f"PublicKey(crc={self.crc:08X})"


class Signer(Protocol):
    """An object that can sign an update."""

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies the signatures."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data`` in DER."""
        ...


class KeyPair:
    """A private key on P-256 with its public key. It is a Signer."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, *, deterministic: bool = False) -> None:
        """Check and keep a private key.

        Args:
            private: The private key.
            deterministic: Whether to derive the nonce from key and data as RFC 6979 does, so that equal data gives
                an equal signature. Otherwise the nonce is random.

        Raises:
            InvalidKey: The key is not on P-256.
        """
        self._private = _p256_private(private)
        self._deterministic = deterministic
        self.public_key: Final = PublicKey(_raw_point(private.public_key()))

    @classmethod
    def generate(cls, *, deterministic: bool = False) -> KeyPair:
        """Return a new random key pair.

        Args:
            deterministic: Whether equal data gives an equal signature (RFC 6979).
        """
        return cls(ec.generate_private_key(ec.SECP256R1()), deterministic=deterministic)

    @classmethod
    def from_secret(cls, secret: int, *, deterministic: bool = True) -> KeyPair:
        """Return the key pair whose private key is a given number, for lessons and tests.

        Such a key is not secret.

        Args:
            secret: The private key, a number from 1 to the order of the curve less 1.
            deterministic: Whether equal data gives an equal signature (RFC 6979).

        Raises:
            InvalidKey: The number is below 1, or not below the order of the curve.
        """
        try:
            return cls(ec.derive_private_key(secret, ec.SECP256R1()), deterministic=deterministic)
        except ValueError as error:
            raise InvalidKey("a private key of P-256 is a number from 1 to the order of the curve less 1") from error

    @classmethod
    def from_pem(cls, pem: bytes, *, password: bytes | None = None, deterministic: bool = False) -> KeyPair:
        """Return the private key in a PEM text.

        Args:
            pem: The text.
            password: The password of an encrypted key; None if the key is not encrypted.
            deterministic: Whether equal data gives an equal signature (RFC 6979).

        Raises:
            InvalidKey: The text is not PEM, the password is wrong, or the key is not on P-256.
        """
        try:
            key = serialization.load_pem_private_key(pem, password)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            problem = f"not a private key in PEM that can be read: {error}"
            # One wrong password in about 256 decrypts to bytes that OpenSSL only refuses as a key.
            if password and isinstance(error, ValueError):
                problem += "; is the password right?"
            raise InvalidKey(problem) from error
        return cls(_p256_private(key), deterministic=deterministic)

    @classmethod
    def load(cls, path: Path, *, password: bytes | None = None, deterministic: bool = False) -> KeyPair:
        """Return the private key in a PEM file.

        Args:
            path: The file.
            password: The password of an encrypted key; None if the key is not encrypted.
            deterministic: Whether equal data gives an equal signature (RFC 6979).

        Raises:
            InvalidKey: The file does not hold such a key. The message names the file.
            OSError: The file cannot be read.
        """
        content = _read_key_file(path)
        try:
            return cls.from_pem(content, password=password, deterministic=deterministic)
        except InvalidKey as error:
            raise InvalidKey(f"{path}: {error}") from error

    @property
    def pem(self) -> bytes:
        """The private key as PKCS #8 in PEM. It is not encrypted, so it must be kept secret."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def save(self, path: Path) -> None:
        """Write the private key to a new PEM file that only the owner can read.

        If writing fails, no part of the file remains.

        Args:
            path: The file to create.

        Raises:
            FileExistsError: The file exists. It is not overwritten, since a key may be lost.
            OSError: The file cannot be written.
        """
        write_atomic(path, self.pem, mode=PRIVATE_MODE, overwrite=False)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data`` in DER."""
        algorithm = ec.ECDSA(SHA512(), deterministic_signing=self._deterministic)
        return self._private.sign(data, algorithm)


@dataclass(frozen=True, slots=True)
class UpdateSignature:
    """The two members of a task definition that describe a signature."""

    signature: bytes
    """The signature in DER."""
    key_crc: int
    """The CRC of the key that verifies the signature. AWS calls it SigKeyCrc."""

    @property
    def base64(self) -> str:
        """The signature in base64 on one line, which is the value of UpdateSignature."""
        return base64.b64encode(self.signature).decode()


def sign_update(signer: Signer, data: bytes) -> UpdateSignature:
    """Sign an update file and return the signature.

    The signature is verified before it is returned. So a broken signer is found here and not by a gateway.

    Args:
        signer: The object that signs.
        data: The content of the update file.

    Raises:
        SignatureError: ``data`` is empty, or the signature has a length that a station refuses.
        BadSignature: The signer's own public key does not verify the signature.
    """
    if not data:
        raise SignatureError("there is nothing to sign: the update file is empty")
    return verify_external_signature(data, signer.sign(data), signer.public_key)


def verify_external_signature(data: bytes, signature: bytes, key: PublicKey) -> UpdateSignature:
    """Verify a signature that somebody else made, for example a manufacturer, and return it.

    Args:
        data: The content of the update file.
        signature: The signature in DER.
        key: The public key of the signer.

    Raises:
        SignatureError: The signature has a length that a station refuses.
        BadSignature: The signature does not verify with ``key``.
    """
    _check_length(signature)
    key.verify(data, signature)
    return UpdateSignature(signature, key.crc)


def find_key(data: bytes, signature: bytes, keys: Sequence[PublicKey], offered_crc: int | None = None) -> int:
    """Return the index of the first key that verifies a signature.

    Args:
        data: The bytes that were signed.
        signature: The signature in DER.
        keys: The keys to try, in this order.
        offered_crc: The key CRC that came with the update. It is only shown in the error.

    Raises:
        NoMatchingKey: None of the keys verifies the signature.
    """
    for index, key in enumerate(keys):
        try:
            key.verify(data, signature)
        except BadSignature:
            continue
        return index
    raise NoMatchingKey(offered_crc, [key.crc for key in keys])


def decode_signature(text: str) -> bytes:
    """Return the signature in a base64 text, which may be wrapped into lines.

    Args:
        text: The text.

    Raises:
        SignatureError: The text is not base64, or a station refuses a signature of this length.
    """
    try:
        signature = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError(
            f"the signature is not base64 ({error}); give the output of 'base64' over the DER signature"
        ) from error
    _check_length(signature)
    return signature


def _read_key_file(path: Path) -> bytes:
    """Return the content of a file with a key. Raises InvalidKey if the file is too long for a key."""
    with path.open("rb") as file:
        content = file.read(_MAX_KEY_FILE_BYTES + 1)
    if len(content) > _MAX_KEY_FILE_BYTES:
        raise InvalidKey(f"{path} has more than {_MAX_KEY_FILE_BYTES} bytes: is it the right file?")
    return content


def _check_length(signature: bytes) -> None:
    """Refuse a signature that is too short or too long for a station."""
    if not MIN_SIGNATURE <= len(signature) <= MAX_SIGNATURE:
        raise SignatureError(
            f"the signature has {len(signature)} bytes; a station takes {MIN_SIGNATURE} to {MAX_SIGNATURE}, "
            "and a P-256 signature in DER has 70 to 72"
        )


def _p256(key: object) -> ec.EllipticCurvePublicKey:
    """Return the key if it is a public key on P-256, or raise InvalidKey."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise InvalidKey(f"not an ECDSA key on P-256 but {_kind(key)}")


def _p256_private(key: object) -> ec.EllipticCurvePrivateKey:
    """Return the key if it is a private key on P-256, or raise InvalidKey."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise InvalidKey(f"not an ECDSA key on P-256 but {_kind(key)}; make one with 'lorafw firmware keygen'")


def _kind(key: object) -> str:
    """Return the kind of a key for an error message: its curve, or the name of its type."""
    curve = getattr(key, "curve", None)
    if curve is not None:
        return f"one on {curve.name}"
    return type(key).__name__.lstrip("_")


def _raw_point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return X and Y of a public key, 32 bytes each, without the prefix 04 that X9.62 has."""
    point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return point[1:]
