"""Publishes folders when told to, one line of JSON each: a process of its own, because the clients read their settings
when they are imported. Each job runs in a fork, as fresh as a new process but without the time to import.

    {"repo_id": ..., "repo_type": ..., "folder": ..., "options": {...}, "token": ..., "home": ...} -> {"exit": ...,
    "result": ..., "error": ..., "kind": ..., "waits": [...], "lines": [...], "output": ...}
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from mnist1d_hf.errors import OutputError, UserError
from mnist1d_hf.publishing.hub import Options, plan_folder, publish_folder
from mnist1d_hf.publishing.retrying import Patience


def merge(ours: str, theirs: str) -> str:
    """Lines that begin with "theirs:" survive."""
    kept = [line for line in theirs.splitlines() if line.startswith("theirs:") and line not in ours.splitlines()]
    head, _, rest = ours.partition("---\n")[2].partition("---\n")
    return "---\n" + head + "".join(f"{line}\n" for line in kept) + "---\n" + rest


def check(folder: Path) -> None:
    """Every file is there, and none that is not in SHA256SUMS."""
    named = {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()} | {"SHA256SUMS"}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if found != named:
        raise OutputError(f"{folder}: expected {sorted(named)}, found {sorted(found)}")


def publish(job: dict[str, Any], waits: list[float], lines: list[str]) -> dict[str, Any]:
    """Do one job."""
    patience = Patience(attempts=job.get("attempts", 6), sleep=waits.append)
    options = Options(**job.get("options", {}), patience=patience)
    arguments: Any = (Path(job["folder"]), job["repo_id"], job.get("repo_type", "dataset"), options)
    if job.get("plan"):
        planned = plan_folder(*arguments, merge_card=merge, report=lines.append)
        return {"changes": planned.changes, "unchanged": planned.unchanged, "foreign": planned.foreign}
    return publish_folder(*arguments, merge_card=merge, check_back=check, report=lines.append)._asdict()


def child(job: dict[str, Any], output: Path) -> None:
    """The forked process: everything it prints goes to a file."""
    os.environ.pop("HF_TOKEN", None)
    if job.get("token"):
        os.environ["HF_TOKEN"] = job["token"]
    os.environ.update(job.get("environment", {}))
    log = os.open(output / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    Path(output / "pid").write_text(str(os.getpid()))
    answer: dict[str, Any] = {"waits": [], "lines": [], "result": None, "error": None, "kind": None}
    try:
        answer["result"] = publish(job, answer["waits"], answer["lines"])
    except UserError as error:
        answer |= {"error": str(error), "kind": type(error).__name__, "trace": traceback.format_exc()}
    except BaseException:
        answer |= {"error": traceback.format_exc(), "kind": "bug"}
    (output / "answer").write_text(json.dumps(answer))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main() -> None:
    """Until the input ends."""
    output, sleep = Path(sys.argv[1]), time.sleep
    time.sleep = lambda seconds: sleep(min(seconds, 0.01))  # the client's own waits between its tries
    for line in sys.stdin:
        for name in ("answer", "log", "pid"):
            (output / name).unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            child(json.loads(line), output)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answer = json.loads((output / "answer").read_text()) if (output / "answer").exists() else {}
        log = (output / "log").read_text() if (output / "log").exists() else ""
        print(json.dumps({**answer, "exit": status, "output": log}), flush=True)


if __name__ == "__main__":
    main()
