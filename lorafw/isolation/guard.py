"""Check every request that botocore sends while a guard is on.

All of botocore's HTTP goes through one method, ``URLLib3Session.send``: that of clients, whenever they were made, and
that of credential providers, which have sessions of their own. It is replaced while the guard is on. Requests of
aiobotocore, which has another HTTP client, are refused before they are sent, unless they are for a host that may be
reached.

While a testbed is open, moto answers a request for AWS, without the hook that moto puts into clients: clients that are
older than moto do not have it. While only a guard is on, nobody answers such a request, and it raises an error.

Credentials are not looked up. Those that a program names in code stay; all others are dummy ones.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from lorafw.errors import LabError
from lorafw.isolation.accounts import account_of
from lorafw.isolation.answers import Intercept, answer
from lorafw.isolation.reach import Place, Reach, is_loopback, is_unambiguous
from lorafw.isolation.sessions import KEY_ID, SECRET
from lorafw.isolation.settings import replaced

_operation: ContextVar[str | None] = ContextVar("operation", default=None)
"""The operation of the request that is being sent, such as "s3 ListBuckets"."""

UNGUARDED: Final = "unguarded"
"""Attribute of a replacement that holds what it replaces. A guard inside another one does not ask the outer guard."""


@dataclass(frozen=True, slots=True)
class GuardRules:
    """What a guard lets through, and what its messages say. The defaults are those of a testbed."""

    reach: Reach
    """The destinations that requests may have."""
    intercept: Intercept | None = None
    """Called for each request that moto can answer. None means that moto answers all of them."""
    has_testbed: bool = True
    """Whether a testbed answers the requests for AWS. If not, they are refused."""
    occasion: str = "a Testbed is open"
    """When the guard is on, as a clause for messages."""
    remedy: str = "allow its host with Testbed(allow_hosts=[...]) if that is meant"
    """What a user can do about a refused request."""

    def accepts_endpoint(self, url: str) -> bool:
        """Return True if new clients use this address when a variable or a file names it for AWS."""
        if self.has_testbed:
            return self.reach.allows(url)
        return self.reach.place_of(url) is Place.NETWORK


Method = Callable[..., Any]
"""A method of a class of botocore."""
MakeReplacement = Callable[[Method, GuardRules], Method]
"""Returns the replacement of a method."""


_active: Final[list[GuardRules]] = []
"""The rules of the guards that are on. A guard leaves this list before it restores the methods."""


@contextlib.contextmanager
def guarding(rules: GuardRules) -> Iterator[None]:
    """Let botocore send requests only to what the rules allow, until the end of the block.

    Changes classes of botocore and boto3, and changes them back. Inside the block of another guard, only the rules of
    the inner one count.

    Args:
        rules: What may be reached.

    Raises:
        LabError: The installed botocore has another shape, so that requests could not be kept in.
    """
    with contextlib.ExitStack() as stack:
        for owner, name, make_replacement in _guarded_methods():
            current = getattr(owner, name, None)
            # Inside of another guard, the current method is a replacement that knows the original one.
            original: Any = getattr(current, UNGUARDED, current)
            stack.enter_context(replaced(owner, name, make_replacement(original, rules)))
        if rules.has_testbed:
            _put_motos_hook_aside(stack)
        _keep_transfers_in_python(stack)
        _active.append(rules)
        stack.callback(_active.remove, rules)
        yield


def send_through_guards_only(client: Any, refuse: Callable[[], Exception]) -> None:
    """Let a client send nothing while no guard is on, not even for a thread that was inside of a call when it ended.

    Args:
        client: The client. It is changed.
        refuse: Returns the error for a request that no guard checks.
    """
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415

    http_session = client._endpoint.http_session

    def send(request: Any) -> Any:
        current_send = URLLib3Session.send
        if not hasattr(current_send, UNGUARDED) and not _active:
            raise refuse()
        return current_send(http_session, request)

    http_session.send = send


def _guarded_methods() -> list[tuple[type, str, MakeReplacement]]:
    """Return the methods of botocore that are replaced: the class, the name, and what makes the replacement."""
    from botocore.configprovider import ConfiguredEndpointProvider  # noqa: PLC0415 -- botocore is slow to import
    from botocore.credentials import ProcessProvider  # noqa: PLC0415
    from botocore.endpoint import Endpoint  # noqa: PLC0415
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415
    from botocore.monitoring import SocketPublisher  # noqa: PLC0415
    from botocore.regions import EndpointRulesetResolver  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415
    from botocore.signers import RequestSigner  # noqa: PLC0415

    return [
        # Requests: each is checked before it is sent.
        (URLLib3Session, "send", _guarded_send),
        (Endpoint, "make_request", _named_request),
        (Endpoint, "prepare_request", _checked_request),
        (SocketPublisher, "publish", _dropped_event),
        # Credentials: none is looked up.
        (Session, "get_credentials", _dummy_credentials),
        (RequestSigner, "get_auth_instance", _dummy_signature),
        (ProcessProvider, "_retrieve_credentials_using", _refused_process),
        (EndpointRulesetResolver, "_resolve_param_as_builtin", _builtin_without_account),
        # Addresses of other servers in variables and files: they are not used.
        (ConfiguredEndpointProvider, "provide", _accepted_endpoint),
    ]


def _put_motos_hook_aside(stack: contextlib.ExitStack) -> None:
    """Make moto's own hook answer nothing. It would answer 404 for addresses that it does not know.

    Its switch ``enabled`` stays on: moto reads it to find out whether its own clients are answered in this process.
    """
    from moto.core.botocore_stubber import BotocoreStubber  # noqa: PLC0415

    stack.enter_context(replaced(BotocoreStubber, "__call__", _no_answer))


def _no_answer(*_: Any, **__: Any) -> None:
    """Answer nothing, as moto's hook does when it is disabled."""


# Each of these functions returns a replacement of a method of botocore. It is given the original method and the rules.


def _guarded_send(send: Method, rules: GuardRules) -> Method:
    """Return a ``URLLib3Session.send`` that sends only requests that may leave this process."""

    def guarded(self: Any, request: Any) -> Any:
        may_leave = rules.reach.place_of(request.url) is Place.NETWORK
        if not may_leave:
            return _answer_or_refuse(request, rules, _read_timeout_s(self))
        _check_proxy(self, request, rules)
        return send(self, request)

    setattr(guarded, UNGUARDED, send)
    return guarded


def _read_timeout_s(http_session: Any) -> float:
    """Return how long a session of botocore waits for a reply. It is 0 if it waits for ever."""
    timeout = http_session._timeout
    seconds = getattr(timeout, "read_timeout", timeout)
    return float(seconds or 0)


def _answer_or_refuse(request: Any, rules: GuardRules, read_timeout_s: float) -> Any:
    """Return the testbed's answer to a request. Raises LabError if there is no testbed, or if it has no answer."""
    if not rules.has_testbed:
        raise _refusal(request, "no testbed is open that could answer it", rules)
    answered = answer(request, rules.reach, read_timeout_s, rules.intercept)
    if answered is None:
        raise _refusal(request, _why_unanswered(), rules)
    return answered


def _why_unanswered() -> str:
    """Return the reason for which moto did not answer a request, for the error message."""
    from moto.core.config import default_user_config  # noqa: PLC0415

    if any(default_user_config.get("core", {}).get("passthrough", {}).values()):
        return "moto's passthrough does not lead out of a testbed, and no AWS of it answers at this address"
    return "no AWS of the testbed answers at this address"


def _check_proxy(http_session: Any, request: Any, rules: GuardRules) -> None:
    """Raise LabError if the request would go through a proxy on another machine."""
    proxy = http_session._proxy_config.proxy_url_for(request.url)
    if proxy is None or rules.reach.permits_proxy(proxy):
        return
    reason = f"it would go through the proxy {urlsplit(proxy).hostname}; set NO_PROXY for the host"
    raise _refusal(request, reason, rules)


def _refusal(request: Any, reason: str, rules: GuardRules) -> LabError:
    """Return the error for a request that was not sent. It names the operation, the host and the remedy."""
    operation = _operation.get() or f"{request.method} {urlsplit(request.url).path or '/'}"
    destination = _describe_destination(request.url)
    return LabError(
        f"{operation} would be sent to {destination}, while {rules.occasion}, and was kept back: {reason}; "
        f"{rules.remedy}"
    )


def _describe_destination(url: str) -> str:
    """Return the host of a URL for a message, and why it is not this machine."""
    host = urlsplit(url).hostname
    if not is_unambiguous(url):
        return f"{url!r}, in which two programs find different hosts"
    if is_loopback(host):
        return str(host)
    return f"{host}, which is not this machine"


def _named_request(make_request: Method, _: GuardRules) -> Method:
    """Return an ``Endpoint.make_request`` that notes the operation, for the message of a refusal."""

    def named(self: Any, operation_model: Any, request_dict: Any) -> Any:
        token = _operation.set(f"{operation_model.service_model.service_name} {operation_model.name}")
        try:
            return make_request(self, operation_model, request_dict)
        finally:
            _operation.reset(token)

    return named


def _checked_request(prepare_request: Method, rules: GuardRules) -> Method:
    """Return an ``Endpoint.prepare_request`` that refuses what another HTTP client would send to AWS.

    aiobotocore and aioboto3 have a client of their own, which the guard does not see.
    """
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415

    def checked(self: Any, request: Any) -> Any:
        prepared = prepare_request(self, request)
        has_guarded_client = isinstance(self.http_session, URLLib3Session)
        may_leave = rules.reach.place_of(prepared.url) is Place.NETWORK
        if not has_guarded_client and not may_leave:
            reason = (
                f"{type(self.http_session).__module__} does not send through botocore, so no testbed can answer in "
                "process; give its clients the address of bed.api_over_http() as endpoint_url"
            )
            raise _refusal(prepared, reason, rules)
        return prepared

    setattr(checked, UNGUARDED, prepare_request)
    return checked


def _dummy_credentials(_: Method, __: GuardRules) -> Method:
    """Return a ``Session.get_credentials`` that asks no provider. Keys that were named in code stay."""

    def get(self: Any) -> Any:
        return _static(self._credentials)

    return get


def _dummy_signature(get_auth_instance: Method, _: GuardRules) -> Method:
    """Return a ``RequestSigner.get_auth_instance`` that renews no credentials. Keys that were named in code stay."""

    def get(self: Any, *arguments: Any, request_credentials: Any = None, **options: Any) -> Any:
        static = _static(request_credentials or self._credentials)
        return get_auth_instance(self, *arguments, request_credentials=static, **options)

    return get


def _static(credentials: Any) -> Any:
    """Return these credentials if they are fixed values; otherwise return dummy ones.

    Credentials that can be refreshed are not fixed: botocore would ask a provider for new ones.
    """
    from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials  # noqa: PLC0415

    is_static = isinstance(credentials, Credentials | ReadOnlyCredentials)
    if is_static and not isinstance(credentials, RefreshableCredentials):
        return credentials
    return Credentials(_dummy_key_id(), SECRET)


def _dummy_key_id() -> str:
    """Return the access key of callers without fixed credentials.

    It is the one in the variables of the process if that belongs to an account of the testbed.
    """
    key_id = os.environ.get("AWS_ACCESS_KEY_ID", "")
    return KEY_ID if account_of(key_id) is None else key_id


def _refused_process(_: Method, rules: GuardRules) -> Method:
    """Return a ``ProcessProvider._retrieve_credentials_using`` that raises LabError and runs no command."""

    def refuse(self: Any, credential_process: str) -> Any:
        raise LabError(
            f"credential_process of the profile {self._profile_name!r} would run a command while {rules.occasion}, "
            "and was not run; lorafw takes any credentials, so name none"
        )

    return refuse


def _builtin_without_account(resolve: Method, _: GuardRules) -> Method:
    """Return an ``EndpointRulesetResolver._resolve_param_as_builtin`` that puts no account into an address.

    For the account, botocore would ask a credential provider: log in, or wait for a code at the terminal.
    """
    without_account = {"AWS::Auth::AccountId": None, "AWS::Auth::AccountIdEndpointMode": "disabled"}

    def find(self: Any, builtin_name: str, builtins: Any) -> Any:
        if builtin_name in without_account:
            return without_account[builtin_name]
        return resolve(self, builtin_name, builtins)

    setattr(find, UNGUARDED, resolve)
    return find


def _accepted_endpoint(provide: Method, rules: GuardRules) -> Method:
    """Return a ``ConfiguredEndpointProvider.provide`` that finds only addresses that the rules accept."""

    def find(self: Any) -> Any:
        endpoint_url = provide(self)
        if endpoint_url is None or not rules.accepts_endpoint(endpoint_url):
            return None
        return endpoint_url

    setattr(find, UNGUARDED, provide)
    return find


def _dropped_event(_: Method, __: GuardRules) -> Method:
    """Return a ``SocketPublisher.publish`` that reports no call to a monitor (AWS_CSM_HOST)."""

    def publish(self: Any, event: Any) -> None:
        """Report nothing."""

    return publish


def _keep_transfers_in_python(stack: contextlib.ExitStack) -> None:
    """Prevent boto3 from using awscrt for S3 transfers. awscrt has its own HTTP client, which the guard cannot see."""
    from boto3.s3 import transfer  # noqa: PLC0415

    stack.enter_context(replaced(transfer, "_should_use_crt", _never))


def _never(_: Any) -> bool:
    """Return False, as boto3's ``_should_use_crt`` does if awscrt is not to be used."""
    return False
