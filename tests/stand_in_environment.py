"""An environment like this one, in which the `nightmill` command is something else."""

import sys
from pathlib import Path


def stand_in_environment(folder: Path, command: str) -> Path:
    """Make the environment in an empty folder, with a shell script for a command; returns its interpreter."""
    (folder / "bin").mkdir()
    for name in ("pyvenv.cfg", "lib"):
        (folder / name).symlink_to(Path(sys.prefix) / name)
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (folder / "bin" / "nightmill").write_text(command)
    (folder / "bin" / "nightmill").chmod(0o755)
    return folder / "bin" / "python"
