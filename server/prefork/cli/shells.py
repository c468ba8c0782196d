"""Completion for shells, as they want it.

Owns: the three scripts. Pure. Runs in: cli. Must not know: which commands exist, where scripts are put.

They are written out once, so that a key press starts no Python.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence

from prefork.cli.described import Described, DescribedCommand

_HEAD = "# Completion of prefork for {shell}. Made by `prefork completion {shell}`.\n"

Script = Callable[[Sequence[DescribedCommand], Sequence[str]], str]


def bash(commands: Sequence[DescribedCommand], keys: Sequence[str]) -> str:
    """For bash 4 and newer, with or without the package bash-completion. `keys`: what --set knows."""
    names = " ".join(command.name for command in commands)
    cases = "\n".join(
        f"        {command.name}) words={shlex.quote(' '.join(_words(command)))} ;;" for command in commands
    )
    files = "|".join(_names(commands, lambda option: option.is_file))
    others = "|".join(_names(commands, lambda option: bool(option.value) and not option.is_file))
    return f"""{_HEAD.format(shell="bash")}
_prefork() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command=run words word
    COMPREPLY=()
    case $previous in
        {files})
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return ;;
        --set)
            compopt -o nospace 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -W {shlex.quote(" ".join(f"{key}=" for key in keys))} -- "$current")
            return ;;
        {others}) return ;;
    esac
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case " {names} " in *" $word "*) command=$word; break ;; esac
    done
    case $command in
{cases}
    esac
    if ((COMP_CWORD == 1)); then
        words="$words {names} --version"
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -F _prefork prefork
"""


def zsh(commands: Sequence[DescribedCommand], keys: Sequence[str]) -> str:
    """For zsh 5, as a function that is loaded from fpath."""
    listed = "\n".join(f"        {_zsh_pair(command)}" for command in commands)
    cases = "\n".join(f"        {command.name}) _arguments {_zsh_specs(command)} ;;" for command in commands)
    run = next(command for command in commands if command.name == "run")
    return f"""#compdef prefork
{_HEAD.format(shell="zsh")}
_prefork_keys() {{
    local -a keys=({" ".join(map(shlex.quote, keys))})
    compadd -S = -a keys
}}

_prefork() {{
    local -a commands=(
{listed}
    )
    if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then
        _describe -t commands command commands
        return
    fi
    local command=$words[2]
    case $command in
{cases}
        *) _arguments {_zsh_specs(run)} ;;
    esac
}}

if [[ $funcstack[1] == _prefork ]]; then
    _prefork "$@"
else
    # Read by `source` instead of found in fpath.
    compdef _prefork prefork
fi
"""


def fish(commands: Sequence[DescribedCommand], keys: Sequence[str]) -> str:
    """For fish 3."""
    names = " ".join(command.name for command in commands)
    lines = [
        "complete -c prefork -f",
        "complete -c prefork -n __fish_use_subcommand -s V -l version -d 'show the version'",
    ]
    for command in commands:
        summary = _fish_text(command.summary)
        lines.append(f"complete -c prefork -n __fish_use_subcommand -a {command.name} -d {summary}")
    for command in commands:
        seen = f"__fish_seen_subcommand_from {command.name}"
        if command.name == "run":
            # The word may be left out.
            seen = f"not __fish_seen_subcommand_from {names}; or {seen}"
        lines += [_fish_option(seen, option, keys) for option in command.options]
        lines += [
            f"complete -c prefork -n {_fish_text(seen)} -a {_fish_text(' '.join(argument.choices))}"
            for argument in command.arguments
            if argument.choices
        ]
    return _HEAD.format(shell="fish") + "\n".join(lines) + "\n"


SHELLS: dict[str, Script] = {"bash": bash, "zsh": zsh, "fish": fish}


def _words(command: DescribedCommand) -> list[str]:
    """What may follow it."""
    words = [name for option in command.options for name in option.names]
    return words + [choice for argument in command.arguments for choice in argument.choices]


def _names(commands: Iterable[DescribedCommand], wanted: Callable[[Described], bool]) -> list[str]:
    names = {
        name for command in commands for option in command.options if wanted(option) for name in option.names
    }
    return sorted(names - {"--set"})


def _zsh_text(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


def _zsh_pair(command: DescribedCommand) -> str:
    return shlex.quote(f"{_zsh_text(command.name)}:{_zsh_text(command.summary)}")


def _zsh_specs(command: DescribedCommand) -> str:
    specs = []
    for option in command.options:
        action = ""
        if "--set" in option.names:
            action = ":key:_prefork_keys"
        elif option.is_file:
            action = f":{option.value.lower()}:_files"
        elif option.value:
            action = f":{_zsh_text(option.value.lower())}:({' '.join(option.choices)})"
        specs += [f"*{name}[{_zsh_text(option.help)}]{action}" for name in option.names]
    for argument in command.arguments:
        specs.append(f"*:{_zsh_text(argument.value.lower())}:({' '.join(argument.choices)})")
    return " ".join(shlex.quote(spec) for spec in ["1:command:", *specs])


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fish_option(seen: str, option: Described, keys: Sequence[str]) -> str:
    words = ["complete", "-c", "prefork", "-n", _fish_text(seen)]
    for name in option.names:
        words += ["-l", name[2:]] if name.startswith("--") else ["-s", name[1:]]
    if "--set" in option.names:
        words += ["-x", "-a", _fish_text(" ".join(f"{key}=" for key in keys))]
    elif option.is_file:
        words += ["-r", "-F"]
    elif option.value:
        words += ["-x", *(["-a", _fish_text(" ".join(option.choices))] if option.choices else [])]
    return " ".join([*words, "-d", _fish_text(option.help)])
