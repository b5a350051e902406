"""Variables of a pipeline: those of GitLab's own that a file uses, and values that name others.

$CI_COMMIT_SHA in a script      env: {CI_COMMIT_SHA: "${{ github.sha }}"}
CACHE: "$CI_PROJECT_DIR/.cache"     CACHE: "${{ github.workspace }}/.cache"
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

KNOWN: Mapping[str, str] = {
    "CI": "true",
    "CI_PROJECT_DIR": "${{ github.workspace }}",
    "CI_COMMIT_SHA": "${{ github.sha }}",
    "CI_COMMIT_REF_NAME": "${{ github.ref_name }}",
    "CI_COMMIT_REF_SLUG": "${{ github.ref_name }}",
    "CI_COMMIT_BRANCH": "${{ github.ref_name }}",
    "CI_PROJECT_PATH": "${{ github.repository }}",
    "CI_PIPELINE_ID": "${{ github.run_id }}",
    "GITLAB_USER_LOGIN": "${{ github.actor }}",
}
"""What is known here of the variables that GitLab sets."""
_NAME = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_GITLAB = re.compile(r"\$\{?((?:CI|GITLAB)_\w+|CI)\b")


def expanded(text: str, known: Mapping[str, str], depth: int = 0) -> str:
    """Return a text with the variables in it that are known replaced by their values; others stay."""
    if depth > 8:
        return text

    def replace(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name in known:
            return expanded(
                known[name], {key: value for key, value in known.items() if key != name}, depth + 1
            )
        return KNOWN.get(name, found[0])

    return _NAME.sub(replace, text.replace("$$", "\0")).replace("\0", "$")


def unknown_in(text: str) -> list[str]:
    """Return the variables of a text that nobody has replaced."""
    return [one or other for one, other in _NAME.findall(text)]


def gitlabs_own(texts: Iterable[str]) -> list[str]:
    """Return the variables of GitLab's that some texts use, each once."""
    return [*dict.fromkeys(name for text in texts for name in _GITLAB.findall(text))]
