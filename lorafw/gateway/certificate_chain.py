"""Load a private key into an ``ssl.SSLContext`` without leaving the key in a file.

Python's ``ssl`` can load a certificate and a key only from a named file. On Linux, lorafw uses a file in memory
(``memfd``), which disappears when its descriptor is closed, even if the process is killed. On other systems it uses a
file in the temporary folder with mode 0600, in which the key is encrypted with a password that only this process knows.
"""

from __future__ import annotations

import os
import secrets
import ssl
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)


def load_cert_chain(context: ssl.SSLContext, certificate_pem: bytes, key_pem: bytes) -> None:
    """Load a certificate chain and its private key.

    Args:
        context: The context into which they are loaded.
        certificate_pem: The client's certificate, followed by the certificates of its issuers, if any.
        key_pem: The private key, unencrypted.

    Raises:
        ssl.SSLError: The key does not belong to the certificate, or one of them cannot be read.
        ValueError: The key cannot be read.
    """
    content = key_pem + b"\n" + certificate_pem
    descriptor = _open_memory_file()
    if descriptor is None:
        _load_from_encrypted_file(context, certificate_pem, key_pem)
        return
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(content)
        context.load_cert_chain(_path_of(descriptor))


def _open_memory_file() -> int | None:
    """Return the descriptor of a new file in memory. Returns None if this system has none that OpenSSL can open."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        descriptor = os.memfd_create("lorafw-key", os.MFD_CLOEXEC)
    except OSError:
        return None
    if not _path_of(descriptor).exists():
        os.close(descriptor)
        return None
    return descriptor


def _path_of(descriptor: int) -> Path:
    """Return a path under which this process can open the file of a descriptor."""
    return Path(f"/proc/self/fd/{descriptor}")


def _load_from_encrypted_file(context: ssl.SSLContext, certificate_pem: bytes, key_pem: bytes) -> None:
    """Load the chain from a temporary file in which the key is encrypted. The file is deleted afterwards."""
    password = secrets.token_hex(32).encode()
    key = load_pem_private_key(key_pem, None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    descriptor, name = tempfile.mkstemp(prefix="lorafw-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(encrypted + b"\n" + certificate_pem)
        context.load_cert_chain(name, password=password)
    finally:
        Path(name).unlink()
