"""Which kept requests seem to have no effect any more, because later requests replaced or deleted what they made.

These are only candidates. Before the journal forgets them, it lets moto answer the other requests and compares the
state (``lorafw.persistence.compaction``). So a rule here that is wrong costs time and loses nothing.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode

from lorafw.persistence.requests import Environ

_CREDENTIAL: Final = re.compile(r"Credential=([^/,]+)/[^/,]+/([^/,]+)/")
"""The access key and the Region in an Authorization header (Signature Version 4)."""
_OWN_HOST: Final = re.compile(r"(localhost|[0-9.]+|\[[0-9a-fA-F:]+\])(:\d+)?")
"""A Host header without the name of a bucket."""

_COPIED: Final = "?copied"
"""Stands for the objects of a bucket that were copied from there. If it is pinned, the deletion of the bucket and
everything before it is kept."""

_IAM_OWNERS: Final = {"RoleName": "Role", "UserName": "User", "GroupName": "Group"}
"""Kinds of what IAM deletes by name, by the parameter that has the name."""
_IAM_DOCUMENTS: Final = ("PolicyDocument", "Description")
"""Parameters of an IAM request whose value a later request replaces."""
_IAM_REPLACING: Final = ("PutRolePolicy", "PutUserPolicy", "PutGroupPolicy", "UpdateAssumeRolePolicy")

_IOT_CERTIFICATE_ARN: Final = re.compile(r":cert/([0-9a-f]+)")
_IOT_REGISTER: Final = "/certificate/register"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a request does to resources. A resource has a name such as ``s3/bucket/key``."""

    about: tuple[str, ...] = ()
    """The resources that the request names. A request about a part names the whole too."""
    creates: str | None = None
    """The resource that the request creates."""
    replaces: str | None = None
    """The resource that the request creates, or gives a new content if it exists."""
    deletes: str | None = None
    """The resource that the request deletes, with all its parts."""
    pins: tuple[str, ...] = ()
    """Resources about which every request must be kept, because another resource was made from them, or because more
    than one request together made them."""


NO_EFFECT: Final = Effect()


class SupersededRequests:
    """Finds the requests that seem to have no effect any more. ``add`` gets all requests, oldest first."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        """The numbers of the requests that were found."""
        self._history: dict[str, list[int]] = {}
        """For each resource that exists, the numbers of all requests about it, from the one that created it."""
        self._related: defaultdict[str, set[str]] = defaultdict(set)
        """For each resource, those that a request has named together with it, such as the objects of a bucket."""
        self._pinned: set[str] = set()
        """Resources about which every request must be kept."""

    def add(self, number: int, effect: Effect) -> None:
        """Add the next request.

        Args:
            number: The number of the request in the journal.
            effect: What the request did.
        """
        self._pinned.update(effect.pins)
        is_pinned = not self._pinned.isdisjoint(effect.about)
        # 1. A resource that is created or replaced gets a new history.
        if effect.creates is not None:
            self._history.setdefault(effect.creates, [])
        if effect.replaces is not None and not is_pinned:
            replaced = self._history.get(effect.replaces, [])
            self.numbers.update(replaced)
            self._history[effect.replaces] = []
        # 2. The request belongs to the history of each resource that it is about.
        for resource in effect.about:
            self._related[resource].update(effect.about)
            if resource in self._history:
                self._history[resource].append(number)
        # 3. Nobody needs the history of a resource that is deleted.
        if effect.deletes is not None and not is_pinned:
            self._delete(effect.deletes)

    def _delete(self, resource: str) -> None:
        """Forget a resource and its parts.

        Does nothing if no request has created the resource. It may have existed from the beginning.
        """
        if resource not in self._history:
            return
        self.numbers.update(self._history.pop(resource))
        for related in self._related.pop(resource):
            if related.startswith(f"{resource}/"):
                self._history.pop(related, None)
                self._related.pop(related, None)
                self._pinned.discard(related)


def effect_of(service: str, environ: Environ, body: bytes, answer_body: bytes) -> Effect:
    """Return what a request did, as far as the rules of this module know it.

    Args:
        service: Name of the service.
        environ: The kept environment of the request.
        body: The body of the request.
        answer_body: The body of moto's answer.
    """
    if service == "s3":
        return _s3_effect(environ)
    if service in ("iam", "sts"):
        return _iam_effect(environ, body)
    if service == "iot":
        return _iot_effect(environ, body, answer_body)
    return NO_EFFECT


def _s3_effect(environ: Environ) -> Effect:
    """Return the effect of a request to S3."""
    host_name = environ.get("HTTP_HOST", "")
    if not _OWN_HOST.fullmatch(host_name):
        # The name of the bucket is the first label of the host.
        return Effect(pins=(f"s3/{host_name.partition('.')[0]}",))
    name, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
    bucket = f"s3/{name}"
    query = sorted(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    if key:
        return _object_effect(environ, bucket, key, query)
    return _bucket_effect(environ["REQUEST_METHOD"], bucket, query)


def _bucket_effect(method: str, bucket: str, query: list[tuple[str, str]]) -> Effect:
    """Return the effect of a request about a bucket.

    Args:
        method: The HTTP method.
        bucket: The resource.
        query: The parameters in the URL. They name the setting that is changed.
    """
    objects = f"{bucket}/"
    names = {name for name, _ in query}
    if method == "POST" or names & {"versioning", "object-lock"}:
        # Several objects are changed at once, or old versions stay.
        return Effect((bucket,), pins=(objects,))
    if names:
        setting = f"{bucket}/?{urlencode(query)}"
        return Effect((bucket, setting), replaces=setting)
    if method == "PUT":
        return Effect((bucket,), creates=bucket)
    if method == "DELETE":
        return Effect((bucket, f"{bucket}/{_COPIED}"), deletes=bucket)
    return Effect((bucket,))


def _object_effect(environ: Environ, bucket: str, key: str, query: list[tuple[str, str]]) -> Effect:
    """Return the effect of a request about an object.

    Args:
        environ: The kept environment of the request.
        bucket: The resource that is the bucket.
        key: The key of the object.
        query: The parameters in the URL. They name the property that is changed.
    """
    stored = f"{bucket}/{key}"
    about = (bucket, f"{bucket}/", stored)
    method = environ["REQUEST_METHOD"]
    names = {name for name, _ in query} - {"x-id"}
    if method == "POST" or "uploadId" in names or "HTTP_IF_MATCH" in environ:
        return Effect(about, pins=(stored,))
    source = environ.get("HTTP_X_AMZ_COPY_SOURCE")
    if source is not None:
        source_path = unquote(source).lstrip("/").partition("?versionId=")[0]
        source_bucket = source_path.partition("/")[0]
        return Effect(about, pins=(stored, f"s3/{source_path}", f"s3/{source_bucket}/{_COPIED}"))
    if names:
        part = f"{stored}/?{urlencode(query)}"
        return Effect((*about, part), replaces=part)
    if method == "PUT":
        return Effect(about, replaces=stored)
    if method == "DELETE":
        return Effect(about, deletes=stored)
    return Effect(about)


def _iam_effect(environ: Environ, body: bytes) -> Effect:
    """Return the effect of a request to IAM or STS, which names the operation in the parameter Action."""
    values = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    parameters = {name: texts[0] for name, texts in values.items()}
    place = f"iam/{_caller(environ)[0]}"
    if "RoleArn" in parameters:
        # The session has the id of the role.
        role = parameters["RoleArn"].rpartition("/")[2]
        return Effect(pins=(f"{place}/Role/{role}",))
    owners = {name: f"{place}/{kind}/{parameters[name]}" for name, kind in _IAM_OWNERS.items() if name in parameters}
    return _iam_operation_effect(parameters, owners)


def _iam_operation_effect(parameters: Mapping[str, str], owners: Mapping[str, str]) -> Effect:
    """Return the effect of an operation of IAM.

    Args:
        parameters: The parameters of the request.
        owners: The role, the user and the group that the request names, by parameter.
    """
    operation = parameters.get("Action", "")
    about = tuple(owners.values())
    if operation in _IAM_REPLACING and len(about) == 1:
        identity = {name: text for name, text in parameters.items() if name not in _IAM_DOCUMENTS}
        policy = f"{about[0]}/{urlencode(sorted(identity.items()))}"
        return Effect((*about, policy), replaces=policy)
    for parameter, kind in _IAM_OWNERS.items():
        if operation == f"Create{kind}":
            return Effect(about, creates=owners.get(parameter))
        if operation == f"Delete{kind}":
            return Effect(about, deletes=owners.get(parameter))
    return Effect(about)


def _iot_effect(environ: Environ, body: bytes, answer_body: bytes) -> Effect:
    """Return the effect of a request to IoT about a thing or a certificate."""
    access_key, region = _caller(environ)
    place = f"iot/{access_key}/{region}"
    method, path = environ["REQUEST_METHOD"], unquote(environ["PATH_INFO"])
    if path.startswith(_IOT_REGISTER):
        certificate = f"{place}/certificates/{json.loads(answer_body)['certificateId']}"
        return Effect((certificate,), creates=certificate)
    principal = environ.get("HTTP_X_AMZN_PRINCIPAL", "")
    arns = " ".join((path, principal, body.decode("utf-8", "replace")))
    certificates = tuple(f"{place}/certificates/{found}" for found in _IOT_CERTIFICATE_ARN.findall(arns))
    kind, _, rest = path.lstrip("/").partition("/")
    name, _, detail = rest.partition("/")
    if kind not in ("things", "certificates"):
        return Effect(certificates)
    resource = f"{place}/{kind}/{name}"
    about = (resource, *certificates)
    if method == "DELETE" and not detail:
        return Effect(about, deletes=resource)
    if method == "POST" and kind == "things" and not detail:
        return Effect(about, creates=resource)
    return Effect(about)


def _caller(environ: Environ) -> tuple[str, str]:
    """Return the access key and the Region of a request. Both are empty if it is not signed."""
    found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    if found is None:
        return "", ""
    return found[1], found[2]
