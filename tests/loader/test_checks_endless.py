"""Commands that do not seem to end, and such that only look like it."""

from __future__ import annotations

import pytest

from runner.loader.checks.endless import endless


@pytest.mark.parametrize(
    ("run", "shown"),
    [
        ("sleep infinity", "`sleep infinity`"),
        ("tail -f log", "`tail -f log`"),
        ("while true; do echo x; sleep 1; done", "`while true`"),
        ("while :\ndo x\ndone", "`while :`"),
        ("until false; do x; done", "`until false`"),
        ("python -m http.server 8000", "`python -m http.server 8000`"),
        ("python3 manage.py runserver", "`python3 manage.py runserver`"),
        ("npm ci && npm run dev", "`npm run dev`"),
        ("npm start", "`npm start`"),
        ("npx vite", "`vite`"),
        ("FLASK_APP=x exec flask run", "`flask run`"),
        ("(cd web && uvicorn app:app)", "`uvicorn app:app`"),
        ("python -m gunicorn app", "`python -m gunicorn app`"),
        ("docker compose up", "`docker compose up`"),
        ("docker-compose up db", "`docker-compose up db`"),
        ("watch -n1 ls", "`watch -n1 ls`"),
        ("if x; then redis-server; fi", "`redis-server`"),
        (("postgres", "-D", "data"), "`postgres -D data`"),
    ],
)
def test_what_goes_on_is_shown_as_the_script_has_it(run: str | tuple[str, ...], shown: str) -> None:
    assert shown == endless(run)


@pytest.mark.parametrize(
    "run",
    [
        "",
        "pytest",
        "sleep 5",
        "tail -n 5 log",
        "tail -f log | grep -m1 ready",
        "while :; do curl x && break; sleep 1; done",
        "while true; do x; done &\npytest",
        "python -m http.server 8000 &\npytest",
        "python -m build",
        "npm run build",
        "vite build",
        "gunicorn --check-config app",
        "docker compose up -d",
        "docker compose down",
        "redis-server --version",
        "redis-server --daemonize yes",
        "timeout 5 npm start",
        "# npm start\necho hi",
        "echo 'npm start'",
        "cat > start.sh <<EOF\nnpm start\nEOF\ncat start.sh",
        'echo "a quote that is not closed',
        ("echo", "sleep", "infinity"),
    ],
)
def test_what_ends_is_not_blamed(run: str | tuple[str, ...]) -> None:
    assert endless(run) is None
