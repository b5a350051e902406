"""Whether a command seems never to end: a server, a loop without a way out, a program that watches. Pure.

    "exec redis-server --port 1" ──words──► redis-server, --port, 1 ──► "`redis-server …` goes on until it is stopped"

It is a guess, for a warning: what is not known ends. What a script starts with `&`, and what stands in a pipe, does not
hold it up, or may be ended by what reads from it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from runner.text import clip

_MOST_SHOWN = 40
_SEPARATORS = re.compile(r"[;&|()\n]+")
_HERE_DOCUMENT = re.compile(r"<<-?[ \t]*['\"]?(\w+)['\"]?(?=.*\n)(?s:.*?)\n[ \t]*\1(?=\n|$)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_BEFORE = frozenset(
    """
    exec env nohup sudo command time then do else { ! npx bunx pnpx bundle poetry pipenv uv hatch pdm
    run dumb-init tini stdbuf nice setsid
    """.split()  # noqa: SIM905 - quicker to read and to add to
)
"""Words that may stand before a program."""
_WAYS_OUT = frozenset(("break", "exit", "return", "exec", "kill"))
_ASKS = frozenset(("--help", "-h", "--version", "-V", "version", "help"))
_ALWAYS = frozenset(
    """
    redis-server postgres mongod mysqld mariadbd memcached etcd mosquitto rabbitmq-server uvicorn
    gunicorn hypercorn daphne waitress-serve nodemon webpack-dev-server live-server http-server watch
    sidekiq ngrok caddy traefik browser-sync json-server pytest-watch ptw watchexec entr
    """.split()  # noqa: SIM905 - quicker to read and to add to
)
"""Programs that go on, whatever they are told."""
_WITH: Mapping[str, tuple[str, ...]] = {
    "sleep": ("infinity", "inf"),
    "tail": ("-f", "-F", "--follow", "-n0f"),
    "journalctl": ("-f", "--follow"),
    "inotifywait": ("-m", "--monitor"),
    "flask": ("run",),
    "streamlit": ("run",),
    "mkdocs": ("serve",),
    "hugo": ("server", "serve"),
    "jekyll": ("serve",),
    "rails": ("s", "server"),
    "php": ("-S", "serve"),
    "next": ("dev", "start"),
    "nuxt": ("dev", "start"),
    "astro": ("dev",),
    "webpack": ("serve", "--watch", "-w"),
    "tsc": ("--watch", "-w"),
    "jest": ("--watch", "--watchAll"),
    "celery": ("worker", "beat"),
    "jupyter": ("lab", "notebook", "server"),
    "ng": ("serve",),
    "gatsby": ("develop", "serve"),
    "npm": ("start", "dev", "serve", "watch"),
    "yarn": ("start", "dev", "serve", "watch"),
    "pnpm": ("start", "dev", "serve", "watch"),
    "bun": ("dev",),
    "kubectl": ("port-forward", "proxy"),
    "manage.py": ("runserver",),
    "http.server": (),
}
"""Programs that go on with one of these words among their arguments; without any word, always."""
_NOT_WITH: Mapping[str, tuple[str, ...]] = {
    "redis-server": ("--daemonize",),
    "gunicorn": ("--daemon", "-D", "--check-config"),
    "uvicorn": (),
    "caddy": ("start", "stop", "validate", "fmt", "reload", "adapt"),
    "mongod": ("--fork",),
    "postgres": ("-C", "--describe-config", "--single"),
}
_DETACHED = ("-d", "--detach", "--wait", "--exit-code-from", "--abort-on-container-exit", "--no-start")


def endless(run: str | Sequence[str]) -> str | None:
    """Return what of a command does not seem to end, as a script has it; None if nothing is known that does not."""
    if not isinstance(run, str):
        return _shown(run) if _goes_on(list(run)) else None
    try:
        words = _words(run)
    except ValueError:  # a quote that is not closed
        return None
    return _loop(words) or next(
        (_shown(command) for command in _foreground(words) if _goes_on(command)), None
    )


def _words(script: str) -> list[str]:
    """Split a script into words and what parts commands."""
    lexer = shlex.shlex(
        _HERE_DOCUMENT.sub("", script).replace("\\\n", " "), posix=True, punctuation_chars=";&|()\n"
    )
    lexer.whitespace, lexer.commenters = " \t\r", ""
    lexer.whitespace_split = True
    words: list[str] = []
    in_comment = False
    for word in lexer:
        in_comment = (in_comment or word.startswith("#")) and "\n" not in word
        if not in_comment:
            words.append(word)
    return words


def _foreground(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield the commands that a script waits for, but for those of pipes."""
    command: list[str] = []
    before = ";"
    for word in [*words, "\n"]:
        if not _SEPARATORS.fullmatch(word):
            command.append(word)
            continue
        if command and word.rstrip("\n") not in ("&", "|", "|&") and before not in ("|", "|&", "||"):
            yield command
        command, before = [], word.rstrip("\n")


def _loop(words: Sequence[str]) -> str | None:
    """Find a loop whose condition is always the same and that nothing in the script leaves."""
    for at, word in enumerate(words[:-1]):
        condition = (word, words[at + 1])
        if condition in (("while", "true"), ("while", ":"), ("until", "false")):
            rest = words[at:]
            ends = [rest[n + 1].rstrip("\n") for n, each in enumerate(rest[:-1]) if each == "done"]
            if not _WAYS_OUT & set(rest) and not {"&", "|"} & set(ends):
                return f"`{word} {words[at + 1]}`"
    return None


def _goes_on(command: Sequence[str]) -> bool:
    words = _bare(command)
    if not words or _ASKS & set(words):
        return False
    program, arguments = words[0].rpartition("/")[2], words[1:]
    if re.fullmatch(r"python[0-9.]*|pypy3?", program):
        return _of_python(arguments)
    if program in ("docker", "podman", "docker-compose", "podman-compose"):
        return "up" in arguments and _is_compose(program, arguments) and not set(_DETACHED) & set(arguments)
    if program == "vite":
        return not {"build", "optimize"} & set(arguments)
    if program in _ALWAYS:
        return not set(_NOT_WITH.get(program, ())) & set(arguments)
    return program in _WITH and bool(set(_WITH[program]) & set(arguments))


def _of_python(arguments: Sequence[str]) -> bool:
    if arguments[:1] == ["-m"] and len(arguments) > 1:
        return arguments[1] == "http.server" or _goes_on(arguments[1:])
    script = next((word for word in arguments if not word.startswith("-")), "")
    return script.rpartition("/")[2] == "manage.py" and "runserver" in arguments


def _is_compose(program: str, arguments: Sequence[str]) -> bool:
    return program.endswith("-compose") or arguments[:1] == ["compose"]


def _bare(command: Sequence[str]) -> list[str]:
    """Leave out what may stand before the program."""
    at = 0
    while at < len(command) and (command[at] in _BEFORE or _ASSIGNMENT.match(command[at])):
        at += 1
    return list(command[at:])


def _shown(command: Sequence[str]) -> str:
    return f"`{clip(' '.join(_bare(command)), _MOST_SHOWN)}`"
