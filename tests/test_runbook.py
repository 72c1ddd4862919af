"""The runbook tells the truth: its commands exist, and its messages are those of the program."""

import re
import shlex
import tomllib

import pytest

from feature_store.settings import REPOSITORY, load_settings
from jobs.arguments import build_parser, parse_ds

RUNBOOK = (REPOSITORY / "docs" / "runbook.md").read_text("utf-8")
PLACEHOLDERS = {"D": "1998-01-07", "ID": "m1", "FOLDER": "folder"}


def _commands():
    """Every `nightmill ...` and `make ...`, in a block or in a line, with the variables before it."""
    blocks = re.findall(r"^ {4,}((?:[A-Z_]+=\S+ )*(?:nightmill|make) .*)$", RUNBOOK, re.MULTILINE)
    # In a block a remark stands behind the command, some spaces away.
    found = [re.split(r" {3,}", line)[0] for line in blocks]
    return found + re.findall(r"`((?:[A-Z_]+=\S+ )*(?:nightmill|make) [^`]+)`", RUNBOOK)


def test_there_are_commands_and_messages():
    assert len(_commands()) > 30
    assert len(_messages()) > 20


@pytest.mark.parametrize("command", sorted(set(_commands())))
def test_every_command_is_one(command):
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
    variables = [word for word in words if re.match(r"[A-Z_]+=", word)]
    program, *arguments = words[len(variables) :]
    load_settings(dict(word.split("=", 1) for word in variables))
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(arguments) <= set(targets)
    else:
        build_parser().parse_args(arguments)


def test_a_command_that_is_none_would_be_found():
    with pytest.raises(Exception, match="invalid choice"):
        build_parser().parse_args(["forge", "--ds", "1998-01-07"])
    assert parse_ds(PLACEHOLDERS["D"])


def _messages():
    """The parts of every quoted message between what differs."""
    quoted = re.findall(r"^> (.*)$", RUNBOOK, re.MULTILINE)
    return [part.strip() for line in quoted for part in line.split("...") if part.strip(" .")]


def _program():
    """Every text of the program, parts of one text joined, values in it as `{`."""
    source = "\n".join(
        path.read_text("utf-8")
        for folder in ("jobs", "feature_store")
        for path in (REPOSITORY / folder).rglob("*.py")
    )
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    return re.sub(r"\{[^{}]*\}", "", source)


@pytest.mark.parametrize("message", sorted(set(_messages())))
def test_every_message_is_one_of_the_program(message):
    assert message in _program()


def test_every_setting_it_names_exists():
    default = tomllib.loads((REPOSITORY / "infra" / "settings" / "default.toml").read_text("utf-8"))
    sections = "|".join(name for name, value in default.items() if isinstance(value, dict))
    named = set(re.findall(rf"`((?:{sections})(?:\.[a-z_]+)+)`", RUNBOOK))
    assert len(named) > 8
    for name in sorted(named):
        value = default
        for key in name.split("."):
            assert key in value, name
            value = value[key]


def test_every_part_it_refers_to_is_there():
    headings = set(re.findall(r"^## (.*?)(?: \(exit code \d\))?$", RUNBOOK, re.MULTILINE))
    named = re.findall(r"\| \*([^*]+)\* \|", RUNBOOK)
    assert named
    assert set(named) <= headings
