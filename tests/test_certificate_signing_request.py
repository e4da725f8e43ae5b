"""CreateCertificateFromCsr issues a certificate for the key of the request, as AWS does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from moto import mock_aws

import lorafw

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway on the roof")])


@pytest.fixture(scope="module")
def iot() -> Iterator[Any]:
    lorafw.register()
    with mock_aws():
        yield boto3.client("iot", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")


def request_of(key: Any, algorithm: Any = None) -> str:
    request = x509.CertificateSigningRequestBuilder().subject_name(NAME).sign(key, algorithm)
    return request.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(("kind", "is_active"), [("RSA", True), ("EC", False)])
def test_the_certificate_is_for_the_requested_key(iot: Any, kind: str, is_active: bool) -> None:
    key: Any = ec.generate_private_key(ec.SECP256R1())
    if kind == "RSA":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    answer = iot.create_certificate_from_csr(certificateSigningRequest=request_of(key, SHA256()), setAsActive=is_active)
    certificate = x509.load_pem_x509_certificate(answer["certificatePem"].encode())
    assert certificate.public_key() == key.public_key()
    assert certificate.subject == NAME
    described = iot.describe_certificate(certificateId=answer["certificateId"])["certificateDescription"]
    assert described["status"] == ("ACTIVE" if is_active else "INACTIVE")
    assert described["certificatePem"] == answer["certificatePem"]


@pytest.mark.parametrize(
    "csr",
    [
        "not a request",
        request_of(ed25519.Ed25519PrivateKey.generate()),
        request_of(ec.generate_private_key(ec.SECP256K1()), SHA256()),
        request_of(rsa.generate_private_key(public_exponent=65537, key_size=1024), SHA256()),
    ],
    ids=["text", "Ed25519", "secp256k1", "RSA 1024"],
)
def test_a_request_that_aws_refuses_is_refused(iot: Any, csr: str) -> None:
    before = iot.list_certificates()["certificates"]
    with pytest.raises(ClientError, match="InvalidRequestException"):
        iot.create_certificate_from_csr(certificateSigningRequest=csr)
    assert iot.list_certificates()["certificates"] == before
