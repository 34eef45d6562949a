"""Which failures of the Hub pass by themselves, how long to wait for that, and what to tell a person of the others."""

from __future__ import annotations

import dataclasses
import email.utils
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from mnist1d_hf.errors import HubError

# The base class of whatever HTTP library this release of huggingface_hub uses (httpx, httpx2).
_HTTP_ERROR: type[BaseException] = HfHubHTTPError.__mro__[1]
_STALE = (409, 412)  # someone else wrote meanwhile
_LONGEST_REQUEST = 600.0  # seconds; a server that asks for more is not waited for


@dataclasses.dataclass(frozen=True)
class Patience:
    """How often a call is made, and how long to wait before the next time: 1, 2, 4, ... seconds.

    Args:
        attempts: in all.
        first_wait, longest_wait: seconds. A `Retry-After` of the server counts instead, where it is longer.
        sleep: what waits.

    >>> [Patience(longest_wait=3).seconds(attempt, OSError()) for attempt in (1, 2, 3)]
    [1.0, 2.0, 3]
    """

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 30.0
    sleep: Callable[[float], object] = time.sleep

    def seconds(self, attempt: int, error: BaseException) -> float:
        """Before the next attempt, after so many that failed."""
        return max(min(self.longest_wait, self.first_wait * 2 ** (attempt - 1)), asked_to_wait(error))

    def is_over(self, attempt: int, error: BaseException) -> bool:
        """Whether there is no point in another attempt."""
        return attempt >= self.attempts or asked_to_wait(error) > _LONGEST_REQUEST


def is_passing(error: BaseException) -> bool:
    """Whether the same call may succeed later: 429, 5xx, a connection that broke, an answer cut off or not JSON."""
    status = status_of(error)
    if status is not None:
        return status in (408, 425, 429) or status >= 500
    return any(_is_connection(item) or isinstance(item, json.JSONDecodeError) for item in _chain(error))


def is_out_of_reach(error: BaseException) -> bool:
    """Whether the Hub said nothing about the matter: no network, by choice or not, or a Hub in trouble."""
    return is_passing(error) or any(isinstance(item, OfflineModeIsEnabled) for item in _chain(error))


def is_stale(error: BaseException) -> bool:
    """Whether a commit was refused because the branch is no longer where it was."""
    return status_of(error) in _STALE


def _is_connection(error: BaseException) -> bool:
    if isinstance(error, OfflineModeIsEnabled):
        return False
    xet = type(error).__module__.partition(".")[0] == "hf_xet" and "Authentication" not in type(error).__name__
    return xet or isinstance(error, (_HTTP_ERROR, ConnectionError, TimeoutError))


def status_of(error: BaseException) -> int | None:
    """The status of the answer behind an error; None where there was no answer."""
    response = _response(error)
    return None if response is None else int(response.status_code)


def asked_to_wait(error: BaseException) -> float:
    """The seconds that the server asks for (`Retry-After`, or the Hub's `RateLimit`), 0 without.

    Dates and numbers are understood, nonsense is not.
    """
    response = _response(error)
    if response is None:
        return 0.0
    limit = re.search(r"\bt=(\d+)", response.headers.get("RateLimit", "")) if response.status_code == 429 else None
    return max(_after(response.headers.get("Retry-After", "")), float(limit[1]) if limit else 0.0)


def _after(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def _response(error: BaseException) -> Any:
    """The answer of the server; the client hides it under other exceptions when an upload fails."""
    found = (getattr(item, "response", None) for item in _chain(error))
    return next((item for item in found if hasattr(item, "status_code")), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    item: BaseException | None = error
    while item is not None:
        yield item
        item = item.__cause__ or (None if item.__suppress_context__ else item.__context__)


def cause(error: BaseException, token: str | None = None) -> str:
    """What happened, on one line and without the token."""
    status = status_of(error)
    if status is None:
        last = next((item for item in _chain(error) if _is_connection(item)), error)
        text = f"{type(last).__name__}: {last}" if str(last) else type(last).__name__
    else:
        message = getattr(error, "server_message", None) or _response(error).headers.get("X-Error-Message", "")
        text = f"answer {status}" + (f" ({message})" if message else "")
    return _clean(text, token)


def _clean(text: str, token: str | None) -> str:
    """On one line, without the token."""
    text = " ".join(text.split())
    return text.replace(token, "[token]") if token else text


_REMEDIES = {
    400: "the Hub does not accept this; correct it and try again",
    401: "the token is missing, wrong or expired; run `hf auth login` or set HF_TOKEN",
    403: "the token may not do this; use one with write permission for this namespace",
    404: "there is no such thing on the Hub, or the token may not see it; check the name",
    409: "someone else is writing there; try again when that is over",
    412: "someone else keeps writing there; try again when that is over",
    429: "the Hub wants fewer requests; try again later",
}


def explained(error: BaseException, doing: str, token: str | None = None) -> BaseException:
    """The error as one line for a person, where it is about the Hub; a bug stays what it is.

    It is chained to its cause, unless the server repeated the token in there.
    """
    status = status_of(error)
    text = cause(error, token)
    if isinstance(error, ValueError) and "Invalid metadata" in str(error):
        text, remedy = _clean(str(error), token), "the Hub does not accept the card; correct its YAML"
    elif isinstance(error, ValueError) and "LFS batch API" in str(error):
        text, remedy = _clean(str(error), token), "the Hub does not accept a file; look at its name and size"
    elif status is not None:
        remedy = _REMEDIES.get(status, "the Hub is in trouble; try again later" if status >= 500 else "try again later")
    elif isinstance(error, OfflineModeIsEnabled):
        remedy = "unset HF_HUB_OFFLINE and try again"
    elif is_passing(error):
        remedy = "the Hub cannot be reached; look at the network and try again"
    else:
        return error
    told = HubError(f"{doing}: {text}; {remedy}")
    told.__cause__ = None if token and any(token in str(item) for item in _chain(error)) else error
    return told
