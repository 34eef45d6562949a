"""`mnist1d-hf playground`: the page, until Ctrl-C."""

from __future__ import annotations

import contextlib
import webbrowser
from typing import Annotated

import typer

from mnist1d_hf.cli.terminal import console, option


def playground(
    port: Annotated[int, typer.Option(help="Port of this machine; 0 takes one that is free.")] = 0,
    no_browser: Annotated[bool, option("Only print the address.", "--no-browser")] = False,
) -> None:
    """Open the playground in the browser: see signals, draw them, beat a network, train one. Needs no network."""
    from mnist1d_hf.playground.serve import serving

    with serving(port) as (server, address), contextlib.suppress(KeyboardInterrupt):
        console.print(f"{address} (Ctrl-C ends it)")
        if not no_browser:
            webbrowser.open(address)
        server.serve_forever()
