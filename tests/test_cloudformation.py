"""CloudFormation stacks with gateways and task definitions, through boto3. Each template is checked with cfn-lint."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cfnlint.api
import pytest
import yaml
from botocore.exceptions import ClientError
from cfnlint.core import get_rules
from cfnlint.rules import RulesCollection
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel

import lorafw
from lorafw import example
from lorafw.errors import MissingExtra
from lorafw.iotwireless import cloudformation
from lorafw.iotwireless.cloudformation.properties import DEFINITION_SCHEMA, GATEWAY_SCHEMA, ResourceSchema
from lorafw.localaws.cloud import Cloud
from lorafw.persistence.kept_state import KeptState
from lorafw.tasks.policy import Policy
from lorafw.testbed import Testbed

TEMPLATE = """
Parameters:
  Package:
    Type: String
    Default: "1.0.0"
Resources:
  Roof:
    Type: AWS::IoTWireless::WirelessGateway
    Properties:
      Name: roof
      Description: on the roof
      LoRaWAN:
        GatewayEui: 58a0cbfffe800001
        RfRegion: EU868
      Tags:
        - {Key: site, Value: north}
  Update:
    Type: AWS::IoTWireless::TaskDefinition
    Properties:
      AutoCreateTasks: false
      Name: to-1.0.1
      Update:
        UpdateDataSource: s3://iotwirelessfwupdate/fwstation
        UpdateDataRole: arn:aws:iam::123456789012:role/IoTWirelessFwUpdateRole
        LoRaWAN:
          SigKeyCrc: 3434210794
          CurrentVersion: {PackageVersion: !Ref Package, Model: rpi, Station: "2.0.5"}
Outputs:
  RoofRef: {Value: !Ref Roof}
  RoofId: {Value: !GetAtt Roof.Id}
  RoofArn: {Value: !GetAtt Roof.Arn}
  UpdateRef: {Value: !Ref Update}
  UpdateId: {Value: !GetAtt Update.Id}
  UpdateArn: {Value: !GetAtt Update.Arn}
"""
EUI = "58a0cbfffe800001"


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed(gateways=0) as opened:
        yield opened


@pytest.fixture
def stacks(bed: Testbed) -> Any:
    return bed.client("cloudformation")


def template(**changes: dict[str, Any]) -> str:
    """The template as JSON, with changed properties of resources. A property of None is left out."""
    content = yaml.load(TEMPLATE, Loader=yaml.BaseLoader)
    content["Outputs"] = {}
    version = content["Resources"]["Update"]["Properties"]["Update"]["LoRaWAN"]["CurrentVersion"]
    version["PackageVersion"] = {"Ref": "Package"}
    for resource, properties in changes.items():
        merged = {**content["Resources"][resource]["Properties"], **properties}
        content["Resources"][resource]["Properties"] = {k: v for k, v in merged.items() if v is not None}
    return json.dumps(content)


def lint(text: str) -> list[str]:
    return [str(match) for match in cfnlint.api.lint(text, rules(), ["us-east-1"])]


@cache
def rules() -> RulesCollection:
    """All rules of cfn-lint. Loading them takes longer than checking a template."""
    return get_rules([], [], [])


def create(stacks: Any, text: str = TEMPLATE, **options: Any) -> dict[str, str]:
    """Create a stack, which must complete, and return its outputs."""
    assert lint(text) == []
    stacks.create_stack(StackName="fleet", TemplateBody=text, **options)
    (stack,) = stacks.describe_stacks(StackName="fleet")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}


def ids(stacks: Any) -> dict[str, str]:
    """The physical ids of the resources by their logical ones."""
    found = stacks.describe_stack_resources(StackName="fleet")["StackResources"]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}


def gateway(bed: Testbed) -> dict[str, Any]:
    answer = bed.client("iotwireless").get_wireless_gateway(Identifier=EUI, IdentifierType="GatewayEui")
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def tags(bed: Testbed, arn: str) -> dict[str, str]:
    listed = bed.client("iotwireless").list_tags_for_resource(ResourceArn=arn)["Tags"]
    return {tag["Key"]: tag["Value"] for tag in listed}


def refuse(call: Any, match: str, text: str) -> None:
    with pytest.raises(ClientError, match=match) as caught:
        call(StackName="fleet", TemplateBody=text)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_cfn_lint_finds_what_is_wrong_with_a_template() -> None:
    """So that a template without a finding has been checked."""
    assert lint(template()) == []
    (finding,) = lint(template(Roof={"Colour": "red"}))
    assert "Colour" in finding
    assert lint(template(Update={"AutoCreateTasks": None}))


def schema_tree(schema: dict[str, Any], node: dict[str, Any]) -> Any:
    """The properties of an object in a schema of CloudFormation that a template can set, as a tree."""
    if "$ref" in node:
        node = schema["definitions"][node["$ref"].rsplit("/", 1)[-1]]
    if "properties" not in node:
        return None
    read_only = {name.rsplit("/", 1)[-1] for name in node.get("readOnlyProperties", ())}
    return {name: schema_tree(schema, item) for name, item in node["properties"].items() if name not in read_only}


@pytest.mark.parametrize("ours", [GATEWAY_SCHEMA, DEFINITION_SCHEMA], ids=lambda schema: schema.type_name)
def test_the_properties_are_those_of_cloudformations_own_schema(ours: ResourceSchema) -> None:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", ours.type_name).schema
    assert ours.properties == schema_tree(schema, schema)
    required = {name for name in ours.required if "." not in name}
    assert required == set(schema["required"])
    inner = {name.split(".")[1] for name in ours.required if "." in name}
    assert inner == set(schema["definitions"].get("LoRaWANGateway", {"required": ()})["required"])
    assert set(schema["readOnlyProperties"]) == {"/properties/Id", "/properties/Arn"}
    assert "createOnlyProperties" not in schema  # no update is a replacement


def test_a_stack_creates_what_its_template_says_and_ref_and_getatt_return_ids_and_arns(
    bed: Testbed, stacks: Any
) -> None:
    outputs = create(stacks)
    iot = bed.client("iotwireless")
    expected = {
        "Name": "roof",
        "Description": "on the roof",
        "Id": outputs["RoofRef"],
        "LoRaWAN": {"GatewayEui": EUI, "RfRegion": "EU868"},
        "Arn": outputs["RoofArn"],
    }
    assert gateway(bed) == expected
    definition = iot.get_wireless_gateway_task_definition(Id=outputs["UpdateRef"])
    assert (definition["AutoCreateTasks"], definition["Name"]) == (False, "to-1.0.1")
    update = yaml.load(TEMPLATE, Loader=yaml.BaseLoader)["Resources"]["Update"]["Properties"]["Update"]
    update["LoRaWAN"]["SigKeyCrc"] = 3434210794
    update["LoRaWAN"]["CurrentVersion"]["PackageVersion"] = "1.0.0"
    assert definition["Update"] == update
    assert outputs["UpdateArn"] == definition["Arn"]
    assert (outputs["RoofId"], outputs["UpdateId"]) == (outputs["RoofRef"], outputs["UpdateRef"])
    assert tags(bed, outputs["RoofArn"]) == {"site": "north"}
    assert ids(stacks) == {"Roof": outputs["RoofRef"], "Update": outputs["UpdateRef"]}


def test_a_gateway_of_a_stack_polls_and_gets_the_update_of_its_definition() -> None:
    with Testbed(gateways=1) as bed:
        bed.define_update("1.0.1", auto_create_tasks=False)
        (existing,) = bed.client("iotwireless").list_wireless_gateway_task_definitions()["TaskDefinitions"]
        source = bed.client("iotwireless").get_wireless_gateway_task_definition(Id=existing["Id"])
        bed.client("iotwireless").delete_wireless_gateway_task_definition(Id=existing["Id"])
        properties = {"AutoCreateTasks": True, "Update": source["Update"]}
        resource = {"Type": "AWS::IoTWireless::TaskDefinition", "Properties": properties}
        create(bed.client("cloudformation"), json.dumps({"Resources": {"Update": resource}}))
        bed.advance(20)
        assert bed.status() == "COMPLETED"


def test_texts_numbers_and_booleans_are_converted_as_cloudformation_does(bed: Testbed, stacks: Any) -> None:
    create(stacks, template(Update={"AutoCreateTasks": "true"}))
    (listed,) = bed.client("iotwireless").list_wireless_gateway_task_definitions()["TaskDefinitions"]
    definition = bed.client("iotwireless").get_wireless_gateway_task_definition(Id=listed["Id"])
    assert definition["AutoCreateTasks"] is True
    assert definition["Update"]["LoRaWAN"]["SigKeyCrc"] == 3434210794


def test_an_update_changes_a_gateway_in_place(bed: Testbed, stacks: Any) -> None:
    create(stacks, template())
    before = gateway(bed)
    thing = bed.client("iot").create_thing(thingName="roof-thing")["thingArn"]
    new_tags = [{"Key": "owner", "Value": "net"}]
    changed = template(Roof={"Name": "mast", "Description": None, "ThingArn": thing, "Tags": new_tags})
    assert lint(changed) == []
    stacks.update_stack(StackName="fleet", TemplateBody=changed)
    after = gateway(bed)
    assert after == {
        **{name: value for name, value in before.items() if name != "Description"},
        "Name": "mast",
        "ThingName": "roof-thing",
        "ThingArn": thing,
    }
    assert tags(bed, after["Arn"]) == {"owner": "net"}
    stacks.update_stack(StackName="fleet", TemplateBody=template())
    assert gateway(bed) == before
    assert tags(bed, after["Arn"]) == {"site": "north"}
    assert stacks.describe_stacks(StackName="fleet")["Stacks"][0]["StackStatus"] == "UPDATE_COMPLETE"


def test_an_update_changes_the_tags_of_a_definition(bed: Testbed, stacks: Any) -> None:
    create(stacks, template())
    before = bed.client("iotwireless").get_wireless_gateway_task_definition(Id=ids(stacks)["Update"])
    stacks.update_stack(StackName="fleet", TemplateBody=template(Update={"Tags": [{"Key": "a", "Value": "b"}]}))
    assert tags(bed, before["Arn"]) == {"a": "b"}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"Update": {"Name": "x"}}, "cannot change a task definition; give the resource another logical name"),
        ({"Roof": {"LoRaWAN": {"GatewayEui": EUI, "RfRegion": "US915"}}}, "RfRegion of a gateway cannot change; give"),
    ],
    ids=["a definition", "an RfRegion"],
)
def test_a_policy_refuses_what_the_api_cannot_change_and_changes_nothing(changes: Any, match: str) -> None:
    with Testbed(gateways=0, policy=Policy(stack_update="refused")) as bed:
        stacks, iot = bed.client("cloudformation"), bed.client("iotwireless")
        create(stacks, template())
        definition_id, roof = ids(stacks)["Update"], gateway(bed)
        before = iot.get_wireless_gateway_task_definition(Id=definition_id)
        refuse(stacks.update_stack, match, template(**changes))
        after = iot.get_wireless_gateway_task_definition(Id=definition_id)
        assert {**after, "ResponseMetadata": 0} == {**before, "ResponseMetadata": 0}
        assert gateway(bed) == roof


def test_another_logical_name_replaces_a_definition(bed: Testbed, stacks: Any) -> None:
    create(stacks, template())
    old = ids(stacks)["Update"]
    content = json.loads(template(Update={"Name": "to-1.0.2"}))
    content["Resources"]["Update2"] = content["Resources"].pop("Update")
    stacks.update_stack(StackName="fleet", TemplateBody=json.dumps(content))
    (listed,) = bed.client("iotwireless").list_wireless_gateway_task_definitions()["TaskDefinitions"]
    assert listed["Id"] == ids(stacks)["Update2"] != old


def test_an_update_of_the_eui_of_a_gateway_is_refused_and_changes_nothing(bed: Testbed, stacks: Any) -> None:
    create(stacks, template())
    before = gateway(bed)
    changed = template(Roof={"LoRaWAN": {"GatewayEui": "58a0cbfffe800002", "RfRegion": "EU868"}, "Name": "x"})
    refuse(stacks.update_stack, "GatewayEui of a gateway cannot change; give the resource", changed)
    assert gateway(bed) == before


def test_an_update_changes_a_definition_and_an_rf_region_in_place() -> None:
    with Testbed(gateways=1) as bed:
        stacks, iot = bed.client("cloudformation"), bed.client("iotwireless")
        create(stacks, template())
        definition_id = ids(stacks)["Update"]
        roof = gateway(bed)
        current = example.CURRENT_VERSION.to_aws()
        lorawan = {"SigKeyCrc": 7, "CurrentVersion": current}
        changed = template(
            Roof={"LoRaWAN": {"GatewayEui": EUI, "RfRegion": "US915"}},
            Update={"AutoCreateTasks": "true", "Name": None, "Update": {"LoRaWAN": lorawan}},
        )
        stacks.update_stack(StackName="fleet", TemplateBody=changed)
        assert gateway(bed) == {**roof, "LoRaWAN": {"GatewayEui": EUI, "RfRegion": "US915"}}
        assert ids(stacks) == {"Roof": roof["Id"], "Update": definition_id}
        definition = iot.get_wireless_gateway_task_definition(Id=definition_id)
        assert (definition["AutoCreateTasks"], definition["Update"]) == (True, {"LoRaWAN": lorawan})
        assert "Name" not in definition
        bed.poll()  # the gateway matches the definition as it is now
        assert iot.get_wireless_gateway_task(Id=bed.gateways[0].id)["WirelessGatewayTaskDefinitionId"] == definition_id


def test_an_eui_in_another_form_is_no_change(bed: Testbed, stacks: Any) -> None:
    create(stacks, template())
    lorawan = {"GatewayEui": "58-A0-CB-FF-FE-80-00-01", "RfRegion": "EU868"}
    stacks.update_stack(StackName="fleet", TemplateBody=template(Roof={"LoRaWAN": lorawan, "Name": "mast"}))
    assert gateway(bed)["Name"] == "mast"


def test_a_deleted_stack_deletes_its_resources_also_if_one_was_deleted_before(bed: Testbed, stacks: Any) -> None:
    create(stacks, template())
    iot = bed.client("iotwireless")
    iot.delete_wireless_gateway(Id=gateway(bed)["Id"])
    stacks.delete_stack(StackName="fleet")
    assert iot.list_wireless_gateways()["WirelessGatewayList"] == []
    assert iot.list_wireless_gateway_task_definitions()["TaskDefinitions"] == []


BAD = [
    ({"Roof": {"LoRaWAN": None}}, "Roof: LoRaWAN: the property is missing"),
    ({"Roof": {"LoRaWAN": {"GatewayEui": EUI}}}, "Roof: LoRaWAN.RfRegion: the property is missing"),
    ({"Roof": {"LoRaWAN": {"GatewayEui": "x", "RfRegion": "EU868"}}}, "Value 'x' at 'LoRaWAN.GatewayEui' failed"),
    ({"Roof": {"Colour": "red"}}, "Colour: there is no such property; there are Description, "),
    ({"Roof": {"LoRaWAN": "EU868"}}, "LoRaWAN: 'EU868' is not an object"),
    ({"Roof": {"Tags": [{"Key": str(number), "Value": "x"} for number in range(51)]}}, "51 tags; a resource has at"),
    ({"Roof": {"ThingArn": "arn:aws:iot:us-east-1:123456789012:thing/none"}}, "(?i)thing/none"),
    ({"Update": {"AutoCreateTasks": None}}, "Update: AutoCreateTasks: the property is missing"),
    ({"Update": {"Update": {"LoRaWAN": {"SigKeyCrc": 2**32}}}}, "less than or equal to 4294967295"),
    ({"Update": {"Update": {"LoRaWAN": {"UpdateSignature": "????"}}}}, "UpdateSignature"),
]


@pytest.mark.parametrize(("changes", "match"), BAD, ids=[match for _, match in BAD])
def test_a_bad_property_is_named_and_its_resource_is_not_created(
    bed: Testbed, stacks: Any, changes: dict[str, Any], match: str
) -> None:
    refuse(stacks.create_stack, match, template(**changes))
    (failed,) = changes
    iot = bed.client("iotwireless")
    if failed == "Roof":
        assert iot.list_wireless_gateways()["WirelessGatewayList"] == []
    assert iot.list_wireless_gateway_task_definitions()["TaskDefinitions"] == []


def test_a_stack_that_failed_can_be_deleted_with_all_that_it_has_created(bed: Testbed, stacks: Any) -> None:
    refuse(stacks.create_stack, "AWS::IoTWireless::TaskDefinition Update: ", template(Update={"Name": ""}))
    iot = bed.client("iotwireless")
    assert gateway(bed)["Name"] == "roof"  # moto rolls nothing back
    stacks.delete_stack(StackName="fleet")
    assert iot.list_wireless_gateways()["WirelessGatewayList"] == []
    create(stacks, template())


def test_the_tags_of_a_stack_are_those_of_its_resources_too(bed: Testbed, stacks: Any) -> None:
    stack_tags = [{"Key": "site", "Value": "of the stack"}, {"Key": "cost", "Value": "7"}]
    create(stacks, template(), Tags=stack_tags)
    assert tags(bed, gateway(bed)["Arn"]) == {"site": "north", "cost": "7"}
    stacks.update_stack(StackName="fleet", TemplateBody=template(Roof={"Tags": None}))
    assert tags(bed, gateway(bed)["Arn"]) == {"site": "of the stack", "cost": "7"}


def test_a_region_without_iot_wireless_is_named(bed: Testbed) -> None:
    refuse(bed.client("cloudformation", "us-east-2").create_stack, "'us-east-2' has no AWS IoT Wireless", template())


def test_a_client_without_what_moto_needs_names_the_extra(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openapi_spec_validator", None)
    with pytest.raises(MissingExtra, match=re.escape("pip install 'lorafw[cloudformation]'")) as caught:
        bed.client("cloudformation")
    assert caught.value.extra == "cloudformation"


def test_other_resource_types_of_iotwireless_are_refused(stacks: Any) -> None:
    resource = {"Type": "AWS::IoTWireless::ServiceProfile", "Properties": {}}
    text = json.dumps({"Resources": {"Profile": resource}})
    refuse(stacks.create_stack, "AWS::IoTWireless::ServiceProfile: lorafw does not build it", text)


def test_cloudformation_that_was_used_before_lorafw_forgets_the_types_that_it_knew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caches = (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map)
    for cached in caches:
        cached()
    monkeypatch.setattr(cloudformation, "_refusing", [])  # as in a process that registers for the first time
    cloudformation.register_resource_types()
    assert [cached.cache_info().currsize for cached in caches] == [0, 0, 0]


def test_registering_again_adds_no_resource_type() -> None:
    before = CloudFormationModel.__subclasses__()
    cloudformation.register_resource_types()
    lorafw.register()
    assert CloudFormationModel.__subclasses__() == before


def aws(arguments: list[str], variables: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the AWS CLI."""
    command = [str(Path(sys.executable).with_name("aws")), "cloudformation", *arguments]
    environment = {**variables, "HOME": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_aws_cli_deploys_a_stack_to_a_server_and_is_told_why_another_fails(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(TEMPLATE)
    (tmp_path / "twice.json").write_text(template(Update={"Name": "other"}))
    deploy = ["deploy", "--stack-name"]
    with Cloud() as cloud:
        variables = cloud.environment()
        done = aws([*deploy, "fleet", "--template-file", "fleet.yaml"], variables, tmp_path)
        assert done.returncode == 0, done.stderr
        (roof,) = cloud.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"]
        stacks = cloud.client("cloudformation")
        assert stacks.describe_stacks(StackName="fleet")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
        assert ids(stacks)["Roof"] == roof["Id"]
        failed = aws([*deploy, "twice", "--template-file", "twice.json"], variables, tmp_path)
        assert failed.returncode != 0
        assert "AWS::IoTWireless::WirelessGateway Roof: GatewayEui 58a0cbfffe800001 is registered" in failed.stderr
        stacks.delete_stack(StackName="fleet")
        assert cloud.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"] == []


def test_what_a_stack_has_created_is_kept_in_a_state_folder(tmp_path: Path) -> None:
    with Cloud(kept_state=KeptState(tmp_path / "state")) as cloud:
        cloud.client("cloudformation").create_stack(StackName="fleet", TemplateBody=TEMPLATE)
        before = cloud.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"]
    with Cloud(kept_state=KeptState(tmp_path / "state")) as cloud:
        iot = cloud.client("iotwireless")
        assert iot.list_wireless_gateways()["WirelessGatewayList"] == before
        assert iot.list_tags_for_resource(ResourceArn=before[0]["Arn"])["Tags"] == [{"Key": "site", "Value": "north"}]
        assert len(iot.list_wireless_gateway_task_definitions()["TaskDefinitions"]) == 1
