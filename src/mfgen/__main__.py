"""The program `mfgen`, also as `python -m mfgen`."""

import sys

from mfgen.lab import _process


def main() -> int:
    """Runs the command of the process and returns its exit code."""
    return _process.run(_command)


def _command() -> int:
    # Here, so that Ctrl-C is heard while this is imported.
    from mfgen import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
