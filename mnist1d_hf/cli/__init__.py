"""The command line `mnist1d-hf`: one file for each group of commands."""

from typing import NoReturn


def main() -> NoReturn:
    """Run the command of `sys.argv`."""
    from mnist1d_hf.cli.app import main as run

    run()
