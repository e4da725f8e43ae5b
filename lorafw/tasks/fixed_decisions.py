"""The decisions about AWS's behaviour that a caller cannot change. ``tasks.policy`` has the others."""

from __future__ import annotations

from typing import Final

from lorafw.tasks.decision import BehaviourDecision, Evidence


def _fixed(name: str, question: str, value: str, tag: Evidence, reason: str) -> BehaviourDecision:
    """Return a decision that cannot be changed."""
    return BehaviourDecision(name, question, value, tag, reason)


FIXED: Final = (
    _fixed(
        "request_rate",
        "How many calls of one operation are admitted in a second, if a testbed throttles calls?",
        "10 in each account and Region",
        Evidence.DOCUMENTED,
        "AWS: the quota of each gateway operation is 10 transactions per second, and can be raised",
    ),
    _fixed(
        "request_burst",
        "How many calls are admitted at once after a pause, if a testbed throttles calls?",
        "as many as in a second",
        Evidence.ASSUMED,
        "AWS names a rate and no burst",
    ),
    _fixed(
        "first_offer",
        "When does a task become IN_PROGRESS?",
        "when the reply with the update begins",
        Evidence.ASSUMED,
        "AWS: IN_PROGRESS is the first status that one sees",
    ),
    _fixed(
        "failed_attempt",
        "What is a failed attempt?",
        "a later request that still presents the offered version",
        Evidence.ASSUMED,
        "IN_PROGRESS, FIRST_RETRY, SECOND_RETRY are AWS's; FAILED is judged at the fourth request",
    ),
    _fixed(
        "concurrent_requests",
        "Two requests of one gateway at once?",
        "one is offered, the other gets nothing",
        Evidence.ASSUMED,
        "the same update sent twice at once could only harm",
    ),
    _fixed(
        "unreadable_source",
        "What if object or role cannot be read?",
        "nothing is sent, nothing is used up",
        Evidence.ASSUMED,
        "the fault is not the gateway's; explain gives the reason",
    ),
    _fixed(
        "deleted_definition",
        "What of the tasks of a deleted definition?",
        "they go on",
        Evidence.DOCUMENTED,
        "AWS: does not affect tasks that are currently in progress",
    ),
    _fixed(
        "deleted_task",
        "What after a task is deleted?",
        "a matching automatic definition makes it anew",
        Evidence.ASSUMED,
        "at the next request",
    ),
    _fixed(
        "gateway_lookup",
        "Which account does a CUPS request speak to?",
        "the one that has the EUI",
        Evidence.DOCUMENTED,
        "AWS: an EUI is unique over accounts and Regions",
    ),
    _fixed(
        "firmware_information",
        "What is CurrentVersion?",
        "the fields presented at the last request",
        Evidence.ASSUMED,
        "one not presented is left out; before the first request there is none",
    ),
    _fixed(
        "gateway_eui_form",
        "How is GatewayEui written in answers?",
        "16 lower-case hex digits",
        Evidence.DOCUMENTED,
        "the documented sample output",
    ),
    _fixed(
        "client_request_token",
        "What does ClientRequestToken do?",
        "same parameters: the first answer again",
        Evidence.DOCUMENTED,
        "other parameters: ConflictException",
    ),
    _fixed(
        "client_request_token_memory",
        "How long is a ClientRequestToken remembered, and what after its resource was deleted?",
        "ten minutes on the service's clock; the first answer again, and nothing is made",
        Evidence.ASSUMED,
        "AWS speaks of ten minutes, and not of deletions; a late try of a call must not make what was deleted",
    ),
    _fixed(
        "log_level_default",
        "Which log level applies until one is set?",
        "ERROR",
        Evidence.DOCUMENTED,
        "AWS: by default, all resources have the log level ERROR; its text about DefaultLogLevel says INFO",
    ),
    _fixed(
        "log_level_precedence",
        "Which log level applies if several are set?",
        "the gateway's own, else that of the event, else that of gateways, else the default",
        Evidence.ASSUMED,
        "AWS: each of them overrides the default; it does not say whether a gateway's own one overrides an event's",
    ),
    _fixed(
        "log_options_update",
        "What does UpdateLogLevelsByResourceTypes do to options that it does not give?",
        "they stay; a list replaces the one before, and an empty list removes it",
        Evidence.ASSUMED,
        "AWS: an empty list removes the options; a type or event that a list names twice is refused",
    ),
    _fixed(
        "log_level_overrides",
        "How many gateways can have a log level of their own?",
        "200 of an account in a Region; one more is refused with ValidationException",
        Evidence.DOCUMENTED,
        "AWS: 200 per account; it does not name the error, and the model has no other that fits",
    ),
    _fixed(
        "log_stream",
        "Which log stream of /aws/iotwireless has the CUPS requests of a gateway?",
        "WirelessGateway-CUPS_Request- and the SHA-256 of the gateway's id",
        Evidence.ASSUMED,
        "AWS documents the log group, and WirelessDevice-Downlink_Data- with 64 hex digits for a device",
    ),
    _fixed(
        "log_message",
        "What does the message about a CUPS response say?",
        "Sending CUPS response of total length 14 to GatewayEui: feffff00000000e2",
        Evidence.ASSUMED,
        "AWS: these words, and behind them 'with' and the credentials in the response; lorafw's have none",
    ),
    _fixed(
        "log_of_missing_crc",
        "What of a CUPS request without cupsCredCrc?",
        "its line is AWS's documented error and no other; the request is answered like any other",
        Evidence.ASSUMED,
        "AWS documents the line, and not the response",
    ),
    _fixed(
        "event_topics_default",
        "Which event topics are enabled at first?",
        "none, and all of them are returned as Disabled",
        Evidence.ASSUMED,
        "AWS: notifications have to be enabled; it does not say whether a topic that was never set is returned",
    ),
    _fixed(
        "event_topics_of_gateway",
        "Has a gateway one event configuration for each of its identifiers?",
        "one for both; it is listed by its WirelessGatewayId, and has ConnectionStatus only",
        Evidence.ASSUMED,
        "AWS: connection status events are those of gateways; other events are refused",
    ),
    _fixed(
        "stack_update_of_eui",
        "What if a stack update changes the GatewayEui of a gateway?",
        "it is refused, and nothing changes",
        Evidence.ASSUMED,
        "AWS documents 'no interruption', but the EUI identifies the gateway and the API cannot change it",
    ),
    _fixed(
        "stack_properties",
        "Which properties of a resource in a stack have no effect?",
        "LastUplinkReceivedAt, ThingName, TaskDefinitionType, LoRaWANUpdateGatewayTaskEntry",
        Evidence.ASSUMED,
        "AWS's schema has them, and the operations that create such resources do not",
    ),
    _fixed(
        "session_name",
        "How does the service name the session in which it reads the update?",
        "lorafw-update",
        Evidence.ASSUMED,
        "a policy can name the session in Principal, and see its name in aws:userid",
    ),
    _fixed(
        "source_arn",
        "Which aws:SourceArn does the service send when it assumes UpdateDataRole?",
        "arn:aws:iotwireless:REGION:ACCOUNT:WirelessGatewayTaskDefinition/*",
        Evidence.ASSUMED,
        "AWS: a service sends the ARN of the resource for which it acts; which one is not said of this service",
    ),
    _fixed(
        "source_account",
        "Which aws:SourceAccount does the service send when it assumes UpdateDataRole?",
        "the account of the gateway",
        Evidence.DOCUMENTED,
        "AWS: the account of the resource for which the service acts; absent once the role's session reads S3",
    ),
    _fixed(
        "unjudged_condition",
        "What of a condition on a key of which nothing is known, such as aws:PrincipalOrgID or aws:SourceVpce?",
        "an Allow does not allow, a Deny denies",
        Evidence.ASSUMED,
        "lorafw knows no organisation and no VPC; explain names the key",
    ),
    _fixed(
        "source_ip",
        "What is aws:SourceIp when the service reads the object?",
        "a public address of AWS that nobody knows",
        Evidence.ASSUMED,
        "no range of one's own contains it; 0.0.0.0/0 together with ::/0 does",
    ),
    _fixed(
        "customer_key_encryption",
        "What of an object under SSE-C, a key that only its owner has?",
        "the upload is refused with AccessDenied",
        Evidence.DOCUMENTED,
        "AWS: blocked by default since April 2026; nobody could read the object without the key, the service neither",
    ),
    _fixed(
        "missing_object",
        "What if the object is missing and the role may not s3:ListBucket?",
        "explain says that it is missing",
        Evidence.ASSUMED,
        "AWS: S3 then answers AccessDenied instead of NoSuchKey",
    ),
    _fixed(
        "reply_extras",
        "TC URI, CUPS URI and credentials in the reply?",
        "empty",
        Evidence.ASSUMED,
        "not served yet",
    ),
)
