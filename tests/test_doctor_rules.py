"""Each rule of the doctor finds its small example, and finds nothing in the repaired one."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from lorafw import example
from lorafw.doctor import Severity, Subject, all_rules, diagnose
from lorafw.doctor.findings import select_rules
from lorafw.doctor.subject import (
    AccountFacts,
    DefinitionDocument,
    EnvironmentFacts,
    HomeFacts,
    OtherDefinition,
    SampledGateway,
    UpdateFile,
)
from lorafw.errors import InvalidValue
from lorafw.firmware.image import build_image
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.sources.access import BucketFacts, KeyFacts, RoleFacts
from lorafw.sources.iam.documents import NamedPolicy
from lorafw.sources.iam.requests import IamRole
from lorafw.sources.object_store import StoredObject
from lorafw.version import GatewayVersion

PAIR = KeyPair.from_secret(4711)
OTHER_PAIR = KeyPair.from_secret(4712)
CURRENT = GatewayVersion("2.0.5(rpi/std) 2021-03-09 03:45:09", "1.0.0", "rpi")
TARGET = replace(CURRENT, package="1.0.1")
CONTENT = build_image(package_version="1.0.1")
LAB = "http://127.0.0.1:5000"
KMS_ARN = f"arn:aws:kms:us-east-1:{example.ACCOUNT}:key/1"
SAFE_TRUST = json.loads(example.TRUST_POLICY)
SAFE_TRUST["Statement"][0]["Condition"] = {"StringEquals": {"aws:SourceAccount": example.ACCOUNT}}


def members(**changes: Any) -> dict[str, Any]:
    """Return the parameters of a healthy definition with members of LoRaWAN changed. None removes a member."""
    content = example.input_json(
        signature=sign_update(PAIR, CONTENT).signature,
        sig_key_crc=PAIR.public_key.crc,
        current_version=CURRENT,
        update_version=TARGET,
    )
    lorawan = content["Update"]["LoRaWAN"]
    for name, value in changes.items():
        lorawan[name] = value
        if value is None:
            del lorawan[name]
    return content


def definition(**changes: Any) -> DefinitionDocument:
    return DefinitionDocument(members(**changes))


def definition_with_update(**changes: Any) -> DefinitionDocument:
    """Return a healthy definition with members of Update changed. None removes a member."""
    content = members()
    for name, value in changes.items():
        content["Update"][name] = value
        if value is None:
            del content["Update"][name]
    return DefinitionDocument(content)


def sign_with(algorithm: hashes.HashAlgorithm) -> bytes:
    private_key = serialization.load_pem_private_key(PAIR.pem, None)
    assert isinstance(private_key, ec.EllipticCurvePrivateKey)
    return private_key.sign(CONTENT, ec.ECDSA(algorithm))


def base64_of(signature: bytes) -> str:
    return base64.b64encode(signature).decode()


def raw_signature() -> bytes:
    r, s = decode_dss_signature(sign_with(hashes.SHA512()))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def allow(action: str, resource: str = "*") -> NamedPolicy:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return NamedPolicy("read", {"Version": "2012-10-17", "Statement": [statement]})


ROLE = RoleFacts(
    IamRole(example.ROLE_ARN, example.ACCOUNT),
    "aws",
    NamedPolicy("trust policy", SAFE_TRUST),
    policies=(NamedPolicy("read", example.permission_policy()), allow("kms:Decrypt")),
)
BUCKET = BucketFacts(example.BUCKET, example.ACCOUNT, "us-east-1")
STORED = StoredObject("e", len(CONTENT), lambda: CONTENT, version_id="1")
GATEWAY = SampledGateway("g1", CURRENT, silent_s=60.0)
KEY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": example.ROLE_ARN}, "Action": "kms:Decrypt", "Resource": "*"}
    ],
}
KMS_KEY = KeyFacts(KMS_ARN, example.ACCOUNT, policy=NamedPolicy("policy of key 1", KEY_POLICY))
ACCOUNT = AccountFacts(
    account=example.ACCOUNT,
    region="us-east-1",
    now_ms=1_700_000_000_000,
    role=ROLE,
    bucket=BUCKET,
    stored=replace(STORED, encryption="aws:kms", kms_key_id=KMS_ARN),
    kms_key=KMS_KEY,
    gateway_count=1,
    sample=(GATEWAY,),
    definitions=(OtherDefinition("d0", True, replace(CURRENT, package="0.9.0")),),
)
HOME = HomeFacts(
    path=Path("home"),
    poll_interval_s=86_400.0,
    cups_uri="https://localhost:8443",
    package="1.0.0",
    sig_keys=(PAIR.public_key.sig_key,),
    file_modes={"cups.key": 0o600},
)
ENVIRONMENT = EnvironmentFacts(variables={"AWS_ENDPOINT_URL": LAB}, cli_version=(1, 40, 0), lab_url=LAB)
HEALTHY = Subject(
    definition=definition(),
    update_file=UpdateFile("fwstation", len(CONTENT), CONTENT),
    public_keys=(PAIR.public_key,),
    account=ACCOUNT,
    home=HOME,
    environment=ENVIRONMENT,
    install_s=300.0,
)
WAVES = replace(HEALTHY, definition=DefinitionDocument({**members(), "AutoCreateTasks": False}), has_waves=True)


def with_account(**changes: Any) -> Subject:
    return replace(HEALTHY, account=replace(ACCOUNT, **changes))


def with_home(**changes: Any) -> Subject:
    return replace(HEALTHY, home=replace(HOME, **changes))


def with_variables(**variables: str) -> Subject:
    return replace(HEALTHY, environment=replace(ENVIRONMENT, variables={**ENVIRONMENT.variables, **variables}))


def with_definition(changed: DefinitionDocument) -> Subject:
    return replace(HEALTHY, definition=changed)


def with_file(content: bytes | None, size: int | None = None) -> Subject:
    length = len(content or b"") if size is None else size
    return replace(HEALTHY, update_file=UpdateFile("fwstation", length, content))


def version(package: str | None) -> dict[str, str]:
    return replace(CURRENT, package=package).to_aws()


RED = {
    "LW101": with_definition(definition(SigKeyCrc=-1)),
    "LW102": with_definition(definition_with_update(UpdateDataSource=None)),
    "LW103": with_definition(definition_with_update(UpdateDataSource="https://example.com/fwstation")),
    "LW104": with_definition(definition_with_update(UpdateDataRole=None)),
    "LW105": with_definition(definition(UpdateSignature=None)),
    "LW106": with_definition(definition(UpdateSignature=base64_of(raw_signature()))),
    "LW107": with_definition(definition(UpdateSignature=base64_of(b"no DER"))),
    "LW108": with_definition(definition(SigKeyCrc=None)),
    "LW109": with_definition(definition(CurrentVersion=version("x" * 33))),
    "LW110": with_definition(definition(CurrentVersion=version(None))),
    "LW111": with_definition(definition(CurrentVersion={**CURRENT.to_aws(), "Station": "2.0.5(rpi/std)"})),
    "LW112": with_definition(definition(CurrentVersion=version("1.0.0 "))),
    "LW113": with_definition(definition(UpdateVersion=CURRENT.to_aws())),
    "LW114": with_definition(definition(UpdateVersion=None)),
    "LW115": replace(WAVES, definition=definition()),
    "LW201": with_file(b""),
    "LW202": with_file(None, 2**31),
    "LW203": with_file(b"PK\x03\x04"),
    "LW204": with_definition(definition(UpdateSignature=base64_of(sign_with(hashes.SHA256())))),
    "LW205": replace(with_file(CONTENT + b"\n"), public_keys=()),
    "LW206": with_definition(definition(SigKeyCrc=7)),
    "LW207": replace(HEALTHY, public_keys=(OTHER_PAIR.public_key,)),
    "LW208": with_definition(definition(UpdateVersion=version("1.0.2"))),
    "LW209": with_definition(definition(CurrentVersion=version("1.0.1"))),
    "LW301": with_account(role=None, role_problem="role Reader does not exist (NoSuchEntity)"),
    "LW302": with_definition(definition_with_update(UpdateDataRole="arn:aws:iam::999999999999:role/Reader")),
    "LW303": with_account(
        role=replace(ROLE, trust=NamedPolicy("trust policy", {**SAFE_TRUST, "Statement": []})),
    ),
    "LW304": with_account(role=replace(ROLE, trust=NamedPolicy("trust policy", example.TRUST_POLICY))),
    "LW305": with_account(bucket=None, bucket_problem="bucket iotwirelessfwupdate does not exist (404)"),
    "LW306": with_account(stored=None, object_problem="the object does not exist (404)"),
    "LW307": with_account(stored=replace(STORED, size=2**31)),
    "LW308": with_account(bucket=replace(BUCKET, region="eu-west-1")),
    "LW309": with_account(role=replace(ROLE, policies=(allow("s3:PutObject"),))),
    "LW310": with_account(stored=None, needs_customer_key=True),
    "LW311": with_account(kms_key=replace(KMS_KEY, state="Disabled")),
    "LW312": with_account(stored=replace(STORED, version_id=None)),
    "LW313": with_account(region="us-east-2", has_lorawan=False, gateway_count=0, sample=()),
    "LW401": with_account(sample=(replace(GATEWAY, version=replace(CURRENT, model="linux", package="9")),)),
    "LW402": with_account(sample=(GATEWAY, replace(GATEWAY, id="g2", version=replace(CURRENT, model="RPI")))),
    "LW403": with_account(definitions=(OtherDefinition("d0", True, CURRENT),)),
    "LW404": replace(
        WAVES, account=replace(ACCOUNT, definitions=(OtherDefinition("d0", True, replace(CURRENT, model=None)),))
    ),
    "LW405": with_account(sample=(replace(GATEWAY, task_status="COMPLETED", task_definition_id="d0"),)),
    "LW406": with_account(sample=(GATEWAY, replace(GATEWAY, id="g2", version=replace(CURRENT, package=None)))),
    "LW407": with_account(sample=(replace(GATEWAY, silent_s=8 * 86_400.0),)),
    "LW408": with_account(sample=(GATEWAY, replace(GATEWAY, id="g2", version=None))),
    "LW409": with_account(gateway_count=0, sample=()),
    "LW501": with_home(conf_problem="station.conf is missing", poll_interval_s=None),
    "LW502": with_home(cups_uri=None),
    "LW503": with_home(cups_uri="localhost", uri_problem="expecting http://.. or https://.. but found 'localhost'"),
    "LW504": with_home(missing_credentials=("cups.trust",)),
    "LW505": with_home(sig_keys=()),
    "LW506": with_home(sig_keys=(PAIR.public_key.sig_key, b"\x04" + PAIR.public_key.sig_key)),
    "LW507": with_home(sig_keys=(OTHER_PAIR.public_key.sig_key,)),
    "LW508": with_home(package=None),
    "LW509": with_home(package="x" * 33),
    "LW510": with_home(package="0.9.0"),
    "LW511": with_home(poll_interval_s=60.0),
    "LW512": with_home(file_modes={"cups.key": 0o644}),
    "LW601": replace(HEALTHY, environment=replace(ENVIRONMENT, cli_version=(1, 28, 9))),
    "LW602": replace(HEALTHY, environment=replace(ENVIRONMENT, variables={})),
    "LW603": with_variables(AWS_ENDPOINT_URL_S3="https://s3.amazonaws.com"),
    "LW604": with_variables(AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true"),
    "LW605": with_variables(AWS_PROFILE="work"),
    "LW606": replace(HEALTHY, environment=replace(ENVIRONMENT, lab_url=None)),
}
"""For each rule a subject that violates it. All else is as in HEALTHY or in WAVES."""


def found(subject: Subject) -> list[str]:
    return [finding.rule.id for finding in diagnose(subject)]


def test_every_rule_has_an_example_and_there_are_at_least_thirty() -> None:
    assert [rule.id for rule in all_rules()] == sorted(RED)
    assert len(RED) >= 30


@pytest.mark.parametrize("rule_id", sorted(RED))
def test_a_rule_finds_its_example(rule_id: str) -> None:
    findings = diagnose(RED[rule_id], select_rules(only=[rule_id]))
    assert findings
    for finding in findings:
        assert finding.evidence.endswith(".")
        assert "\n" not in finding.evidence


@pytest.mark.parametrize("subject", [HEALTHY, WAVES, Subject()], ids=["healthy", "waves", "nothing"])
def test_no_rule_finds_anything_in_a_repaired_example(subject: Subject) -> None:
    assert found(subject) == []


def test_the_documented_example_gives_no_alarm() -> None:
    findings = diagnose(Subject(definition=DefinitionDocument(example.input_json())))
    assert {finding.rule.severity for finding in findings} <= {Severity.NOTE}


@pytest.mark.parametrize("content", [{}, {"Update": []}, {"Update": {"LoRaWAN": "x"}}, {"Update": {"LoRaWAN": {}}}])
def test_a_document_of_the_wrong_shape_gives_findings_and_no_exception(content: dict[str, Any]) -> None:
    assert {"LW101", "LW102"} & set(found(Subject(definition=DefinitionDocument(content))))


def test_rules_are_selected_by_the_beginning_of_their_ids() -> None:
    assert [rule.id for rule in select_rules(only=["LW10", "LW201"], ignore=["LW101"])] == [
        *(f"LW10{number}" for number in range(2, 10)),
        "LW201",
    ]
    with pytest.raises(InvalidValue, match="no rule has an id that begins with 'LW9'"):
        select_rules(ignore=["LW9"])


def test_titles_and_remedies_are_sentences() -> None:
    for rule in all_rules():
        assert rule.title.endswith((".", ")."))
        assert rule.remedy.endswith(".")
        assert not rule.source.endswith(".")
