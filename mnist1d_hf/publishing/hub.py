"""One repository on the Hub: calls that are tried again, and the one line that tells the user of an error.

The client retries some requests itself (listings, downloads, large uploads). This is for the rest: commits, tags,
repositories, collections.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import tenacity
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

from mnist1d_hf.errors import HubError, UserError
from mnist1d_hf.publishing.repositories import Repository

T = TypeVar("T")
Report = Callable[[str], object]

# The base class of whatever HTTP library this release of huggingface_hub uses (httpx, httpx2).
_HTTP_ERROR: type[BaseException] = HfHubHTTPError.__mro__[1]
_PREFIXES = {"dataset": "datasets/", "space": "spaces/"}  # of addresses; models have none
_LONGEST_REQUEST = 600.0  # seconds; a server that asks for more is not waited for
_REMEDIES = {
    400: "the Hub does not accept this; correct it and try again",
    401: "the token is missing, wrong or expired; run `hf auth login` or set HF_TOKEN",
    403: "the token may not do this; `hf auth whoami` says whose it is; use one with write permission here",
    404: "there is no such thing on the Hub, or the token may not see it; check the name",
    409: "someone else is writing there; try again when that is over",
    412: "someone else keeps writing there; try again when that is over",
    429: "the Hub wants fewer requests; try again later",
}


class UnreachableError(HubError):
    """The Hub said nothing about the matter: there is no network, by choice or not, or the Hub is in trouble."""


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """How often to call, and how to wait before the next try: 1, 2, 4, ... seconds, or what the server asks for."""

    attempts: int = 6
    sleep: Callable[[float], None] = time.sleep

    def call(
        self,
        doing: str,
        function: Callable[[], T],
        report: Report = print,
        token: str | None = None,
        retry_stale: bool = False,
    ) -> T:
        """Call a function again while its errors are transient.

        Args:
            doing: what is done, for messages.
            function: may be called several times.
            report: takes a line before each wait.
            token: is hidden in all messages.
            retry_stale: also call again if someone else wrote meanwhile.

        Raises:
            HubError: the Hub refuses; UnreachableError if it cannot be reached after all tries.
        """
        growing = tenacity.wait_exponential()

        def tell(state: tenacity.RetryCallState) -> None:
            report(f"{doing}: {_cause(_error_of(state), token)}; again in {state.upcoming_sleep:g} s")

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: is_transient(error) or (retry_stale and is_stale(error))),
            wait=lambda state: max(growing(state), _retry_after(_error_of(state))),
            stop=lambda state: (
                state.attempt_number >= self.attempts or _retry_after(_error_of(state)) > _LONGEST_REQUEST
            ),
            before_sleep=tell,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(function)
        except Exception as error:
            if (told := _explain(error, doing, token)) is None:
                raise
            raise told from None  # without its cause, which may show the token


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
        raise HubError(
            f"keyless login: {str(error).removeprefix('keyless login: ')}; the job needs `id-token: write`, and the "
            f"repository on the Hub must name it as a trusted publisher"
        ) from None


class Hub:
    """One repository on the Hub. Each method raises HubError where the Hub refuses or cannot be reached.

    Args:
        repository: which.
        token: None reads what is public.
        policy: for the calls that the client does not retry.
        report: takes a line before each retry.
        work: an empty folder.
    """

    def __init__(
        self, repository: Repository, token: str | None, policy: RetryPolicy, report: Report, work: Path
    ) -> None:
        self.repo_id, self.repository = repository.repo_id, repository
        self.place: dict[str, Any] = {"repo_id": repository.repo_id, "repo_type": repository.repo_type}
        self.api = HfApi(token=token or False)
        self.url = f"{self.api.endpoint}/{_PREFIXES.get(repository.repo_type, '')}{self.repo_id}"
        self.token, self.policy, self.report, self.work = token, policy, report, work

    def call(self, doing: str, function: Callable[..., Any], **options: Any) -> Any:
        """Call a method of the client for this repository, with retries."""

        def request() -> Any:
            return function(**self.place, **options)

        return self.policy.call(f"{self.repo_id}: {doing}", request, self.report, self.token)

    def new_folder(self) -> Path:
        """A folder that goes away at the end."""
        return Path(tempfile.mkdtemp(dir=self.work))

    def is_private(self) -> bool | None:
        """Whether it is private; None where there is none, or the token may not see it."""

        def ask(**place: Any) -> bool | None:
            try:
                return bool(self.api.repo_info(**place).private)
            except RepositoryNotFoundError as error:
                if self.token is not None and status_of(error) == 401:
                    raise  # the Hub knows no such token
                return None

        found: bool | None = self.call("looking for the repository", ask)
        return found

    def refs(self, kind: str) -> dict[str, str]:
        """Branches or tags, and their commits."""
        found = self.call(f"listing {kind}", self.api.list_repo_refs)
        return {ref.name: ref.target_commit for ref in getattr(found, kind)}

    def read(self, path: str, sha: str) -> str:
        """A small text of a commit, downloaded anew."""
        options = {"filename": path, "revision": sha, "cache_dir": self.new_folder()}
        found = self.call(f"reading {path}", self.api.hf_hub_download, **options)
        return Path(found).read_text(encoding="utf-8", errors="replace")


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


def status_of(error: BaseException) -> int | None:
    """The status of the response behind an error; None where there was no response."""
    response = _response(error)
    return None if response is None else int(response.status_code)


def _retry_after(error: BaseException) -> float:
    """The seconds that the server asks for (`Retry-After`, or the Hub's `RateLimit`), 0 without a number there."""
    response = _response(error)
    if response is None:
        return 0.0
    asked = re.fullmatch(r"\s*(\d+)\s*", response.headers.get("Retry-After", ""))
    limit = re.search(r"\bt=(\d+)", response.headers.get("RateLimit", "")) if response.status_code == 429 else None
    return max(float(found[1]) if found else 0.0 for found in (asked, limit))


def _explain(error: Exception, doing: str, token: str | None) -> HubError | None:
    """The error as one line for the user; None where it is one already, or a bug."""
    status, cause = status_of(error), _cause(error, token)
    offline = any(isinstance(item, OfflineModeIsEnabled) for item in _chain(error))
    if isinstance(error, UserError):
        return None
    if isinstance(error, ValueError) and "Invalid metadata" in str(error):
        return HubError(f"{doing}: {_clean(error, token)}; the Hub does not accept the card; correct its YAML")
    if not (offline or is_transient(error)):
        return None if status is None else HubError(f"{doing}: {cause}; {_REMEDIES.get(status, 'try again later')}")
    remedy = "the Hub cannot be reached; look at the network and try again"
    if offline:
        remedy = "unset HF_HUB_OFFLINE and try again"
    elif status is not None:
        remedy = _REMEDIES.get(status, "the Hub is in trouble; try again later")
    return UnreachableError(f"{doing}: {cause}; {remedy}")


def _cause(error: BaseException, token: str | None) -> str:
    """What happened, on one line and without the token."""
    response = _response(error)
    if response is None:
        last = next((item for item in _chain(error) if _is_connection(item)), error)
        return _clean(f"{type(last).__name__}: {last}".removesuffix(": "), token)
    message = getattr(error, "server_message", None) or response.headers.get("X-Error-Message", "")
    return _clean(f"answer {response.status_code}" + (f" ({message})" if message else ""), token)


def _clean(text: object, token: str | None) -> str:
    line = " ".join(str(text).split())
    return line.replace(token, "[token]") if token else line


def _error_of(state: tenacity.RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None  # tenacity asks only after a failure
    return error


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
