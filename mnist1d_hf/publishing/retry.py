"""Which errors of the Hub are transient, how long to wait before the next try, and what to tell the user of the others.

The client retries some requests itself (listings, downloads, large uploads). This is for the rest: commits, tags,
repositories, collections.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import tenacity
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from mnist1d_hf.errors import HubError, UserError

T = TypeVar("T")

# The base class of whatever HTTP library this release of huggingface_hub uses (httpx, httpx2).
_HTTP_ERROR: type[BaseException] = HfHubHTTPError.__mro__[1]
_LONGEST_REQUEST = 600.0  # seconds; a server that asks for more is not waited for
_REMEDIES = {
    400: "the Hub does not accept this; correct it and try again",
    401: "the token is missing, wrong or expired; run `hf auth login` or set HF_TOKEN",
    403: "the token may not do this; use one with write permission for this namespace",
    404: "there is no such thing on the Hub, or the token may not see it; check the name",
    409: "someone else is writing there; try again when that is over",
    412: "someone else keeps writing there; try again when that is over",
    429: "the Hub wants fewer requests; try again later",
}


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """How often to call, and how long to wait before the next try: 1, 2, 4, ... seconds, or what the server asks for.

    Args:
        attempts: in all.
        longest_wait: seconds, if the server does not ask for more.
        sleep: waits so many seconds.
    """

    attempts: int = 6
    longest_wait: float = 30.0
    sleep: Callable[[float], None] = time.sleep

    def call(
        self,
        doing: str,
        function: Callable[[], T],
        report: Callable[[str], object],
        token: str | None = None,
        retry_if: Callable[[BaseException], bool] | None = None,
    ) -> T:
        """Call a function again while its errors are transient.

        Args:
            doing: what is done, for messages.
            function: may be called several times.
            report: takes a line before each wait.
            token: is hidden in all messages.
            retry_if: which errors to retry; `is_transient` by default.

        Raises:
            HubError: the Hub refuses, or cannot be reached after all tries.
        """
        exponential = tenacity.wait_exponential(max=self.longest_wait)

        def error_of(state: tenacity.RetryCallState) -> BaseException:
            error = state.outcome.exception() if state.outcome else None
            assert error is not None
            return error

        def tell(state: tenacity.RetryCallState) -> None:
            seconds = state.next_action.sleep if state.next_action else 0.0
            report(f"{doing}: {_cause(error_of(state), token)}; again in {seconds:g} s")

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(retry_if or is_transient),
            wait=lambda state: max(exponential(state), retry_after(error_of(state))),
            stop=lambda state: state.attempt_number >= self.attempts or retry_after(error_of(state)) > _LONGEST_REQUEST,
            before_sleep=tell,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(function)
        except Exception as error:
            if isinstance(error, UserError) or (told := _explain(error, doing, token)) is None:
                raise
            shows_token = token is not None and any(token in str(item) for item in _chain(error))
            raise told from None if shows_token else error


def find_token(policy: RetryPolicy = RetryPolicy()) -> str | None:
    """The token of huggingface_hub: exchanged for the identity of a CI job, from the environment, or from the login.

    Raises:
        HubError: HF_OIDC_RESOURCE asks for an exchange, and it failed.
    """
    try:
        return policy.call("keyless login", get_token, lambda _: None)
    except Exception as error:
        if type(error).__name__ != "OIDCError" and not isinstance(error, HubError):  # only newer releases have it
            raise
        what = str(error).removeprefix("keyless login: ")
        raise HubError(
            f"keyless login: {what}; the job needs `id-token: write`, and the repository on the Hub must name it as a "
            f"trusted publisher"
        ) from error


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: 429, 5xx, a connection that broke, an answer cut off or not JSON."""
    if isinstance(error, UserError):
        return False
    status = status_of(error)
    if status is not None:
        return status in (408, 425, 429) or status >= 500
    return any(_is_connection(item) or isinstance(item, json.JSONDecodeError) for item in _chain(error))


def is_stale(error: BaseException) -> bool:
    """Whether a commit was refused because someone else wrote meanwhile."""
    return not isinstance(error, UserError) and status_of(error) in (409, 412)


def is_unreachable(error: BaseException) -> bool:
    """Whether the Hub said nothing about the matter: no network, by choice or not, or a Hub in trouble."""
    below = error.__cause__ if isinstance(error, UserError) else error
    return below is not None and (
        is_transient(below) or any(isinstance(item, OfflineModeIsEnabled) for item in _chain(below))
    )


def status_of(error: BaseException) -> int | None:
    """The status of the response behind an error; None where there was no response."""
    response = _response(error)
    return None if response is None else int(response.status_code)


def retry_after(error: BaseException) -> float:
    """The seconds that the server asks for (`Retry-After`, or the Hub's `RateLimit`), 0 without a number there."""
    response = _response(error)
    if response is None:
        return 0.0
    asked = re.fullmatch(r"\s*(\d+)\s*", response.headers.get("Retry-After", ""))
    limit = re.search(r"\bt=(\d+)", response.headers.get("RateLimit", "")) if response.status_code == 429 else None
    return max(float(found[1]) if found else 0.0 for found in (asked, limit))


def _explain(error: Exception, doing: str, token: str | None) -> HubError | None:
    """The error as one line for the user; None where it is not about the Hub, but a bug."""
    status, text = status_of(error), _cause(error, token)
    if isinstance(error, ValueError) and "Invalid metadata" in str(error):
        text, remedy = _clean(str(error), token), "the Hub does not accept the card; correct its YAML"
    elif status is not None:
        remedy = _REMEDIES.get(status, "the Hub is in trouble; try again later" if status >= 500 else "try again later")
    elif any(isinstance(item, OfflineModeIsEnabled) for item in _chain(error)):
        remedy = "unset HF_HUB_OFFLINE and try again"
    elif is_transient(error):
        remedy = "the Hub cannot be reached; look at the network and try again"
    else:
        return None
    owner = _owner(token) if status == 403 and token else ""
    return HubError(f"{doing}: {text}; {remedy}{owner}")


def _owner(token: str) -> str:
    """Whom the token belongs to, if the Hub says so: it is a hint only, and tokens of CI jobs may not ask."""
    try:
        found = HfApi(token=token).whoami()
        names = ", ".join([found["name"], *(org["name"] for org in found.get("orgs", []))])
        return f" (this one is of {found['name']}, role {found['auth']['accessToken']['role']}, namespaces {names})"
    except Exception:
        return ""


def _cause(error: BaseException, token: str | None) -> str:
    """What happened, on one line and without the token."""
    status = status_of(error)
    if status is None:
        last = next((item for item in _chain(error) if _is_connection(item)), error)
        return _clean(f"{type(last).__name__}: {last}" if str(last) else type(last).__name__, token)
    message = getattr(error, "server_message", None) or _response(error).headers.get("X-Error-Message", "")
    return _clean(f"answer {status}" + (f" ({message})" if message else ""), token)


def _clean(text: str, token: str | None) -> str:
    text = " ".join(text.split())
    return text.replace(token, "[token]") if token else text


def _is_connection(error: BaseException) -> bool:
    if isinstance(error, OfflineModeIsEnabled):
        return False
    xet = type(error).__module__.partition(".")[0] == "hf_xet" and "Authentication" not in type(error).__name__
    return xet or isinstance(error, (_HTTP_ERROR, ConnectionError, TimeoutError))


def _response(error: BaseException) -> Any:
    """The response of the server; the client hides it under other exceptions when an upload fails."""
    found = (getattr(item, "response", None) for item in _chain(error))
    return next((item for item in found if hasattr(item, "status_code")), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    item: BaseException | None = error
    while item is not None:
        yield item
        item = item.__cause__ or (None if item.__suppress_context__ else item.__context__)
