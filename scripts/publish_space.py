#!/usr/bin/env python3
"""Publish the playground as a Space on the Hugging Face Hub; the same as `mnist1d-hf publish space`.

    scripts/publish_space.py --dry-run                               # shows what would change
    scripts/publish_space.py --repo-id NAMESPACE/mnist1d-playground  # and --help for the rest

Without a token it is a dry run too.
"""

from __future__ import annotations

import sys

from prepared import go_on_prepared

if __name__ == "__main__":
    go_on_prepared()
    from mnist1d_hf import cli

    sys.argv[1:] = ["publish", "space", *sys.argv[1:]]
    cli.main()
