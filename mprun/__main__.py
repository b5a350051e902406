"""The command: `mprun FILE`, which is also `python -m mprun FILE`."""

from __future__ import annotations

import sys

import mprun


def main() -> int:
    """Run the command line and return its exit code; where something hides the package behind it, say what."""
    try:
        from runner.cli.main import main as command
    except ImportError:
        try:
            mprun.check_package()
        except ImportError as hidden:
            sys.exit(f"mprun: {hidden}")
        raise
    return command()


if __name__ == "__main__":
    try:
        mprun.check_package()
    except ImportError as error:
        sys.exit(f"mprun: {error}")
    sys.exit(main())
