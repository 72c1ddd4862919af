"""The image's entry point: variables from a file that only its reader may read, then the command itself.

SECRETS_FILE names a JSON object of variables and their values. So no password is in a container's definition,
where `docker inspect` and a pod's description would show it.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn


def with_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables, and over them those of SECRETS_FILE; ValueError where that is no such file."""
    path = environ.get("SECRETS_FILE")
    if not path:
        return dict(environ)
    found = json.loads(Path(path).read_text("utf-8"))
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError(f"{path} is no JSON object of texts")
    return {**environ, **found}


def main(command: Sequence[str]) -> NoReturn:
    """Become the command."""
    os.execvpe(command[0], list(command), with_secrets(os.environ))


if __name__ == "__main__":
    main(sys.argv[1:])
