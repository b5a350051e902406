"""What well-known actions come to here: nothing, a check of a tool, a command, or a word on what to write instead.

    uses: actions/checkout@v4          nothing: the files are there
    uses: actions/setup-node@v4        a step that looks whether node is the wanted one
    uses: pre-commit/action@v3         pre-commit run --all-files
    uses: who/knows@v1                 a step that fails, and says so

Tables, and the rules that read them. Names are compared without regard to case and without a version.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import NamedTuple

NOT_NEEDED: Mapping[str, str] = {
    "actions/checkout": "the files are there already",
    "actions/configure-pages": "it is about a machine of GitHub's",
    "step-security/harden-runner": "it is about a machine of GitHub's",
    "jlumbroso/free-disk-space": "it is about a machine of GitHub's",
    "easimon/maximize-build-space": "it is about a machine of GitHub's",
    "styfle/cancel-workflow-action": "say `concurrency` with `cancel-in-progress` where it is wanted",
    "swatinem/rust-cache": "what cargo has built stays here",
    "mozilla-actions/sccache-action": "what was compiled stays here",
    "hendrikmuhs/ccache-action": "what was compiled stays here",
    "gradle/actions/setup-gradle": "gradle's files stay here",
    "gradle/wrapper-validation-action": "it is about what came by a pull request",
    "gradle/actions/wrapper-validation": "it is about what came by a pull request",
    "codecov/codecov-action": "it sends coverage to a service",
    "codecov/test-results-action": "it sends results to a service",
    "coverallsapp/github-action": "it sends coverage to a service",
    "egor-tensin/setup-gcc": "the compiler of this machine is used",
    "ilammy/msvc-dev-cmd": "it is for Windows",
    "microsoft/setup-msbuild": "it is for Windows",
    "actions/attest-build-provenance": "it works on GitHub alone",
    "github/codeql-action/init": "it works on GitHub alone",
    "github/codeql-action/autobuild": "it works on GitHub alone",
    "github/codeql-action/analyze": "it works on GitHub alone",
    "github/codeql-action/upload-sarif": "it works on GitHub alone",
    "actions/dependency-review-action": "it works on GitHub alone",
    "ossf/scorecard-action": "it works on GitHub alone",
    "mxschmitt/action-tmate": "the job runs on this machine: look here",
    "dorny/test-reporter": "it shows results on GitHub; here `--junit` writes them",
    "enricomi/publish-unit-test-result-action": "it shows results on GitHub; here `--junit` writes them",
    "docker/setup-qemu-action": "what this machine can emulate is set up once, by hand",
    "docker/setup-buildx-action": "what this machine's docker can do is set up once, by hand",
}


class Tool(NamedTuple):
    """A program that an action installs, which here has to be there."""

    program: str
    version: tuple[str, ...] = ("--version",)
    keys: tuple[str, ...] = ()
    """Where an action is told the version that is wanted."""


TOOLS: Mapping[str, Tool] = {
    "actions/setup-node": Tool("node", keys=("node-version",)),
    "actions/setup-go": Tool("go", ("version",), ("go-version",)),
    "actions/setup-java": Tool("java", ("-version",), ("java-version",)),
    "actions/setup-dotnet": Tool("dotnet", keys=("dotnet-version",)),
    "ruby/setup-ruby": Tool("ruby", keys=("ruby-version",)),
    "actions/setup-ruby": Tool("ruby", keys=("ruby-version",)),
    "shivammathur/setup-php": Tool("php", keys=("php-version",)),
    "dtolnay/rust-toolchain": Tool("cargo"),
    "actions-rs/toolchain": Tool("cargo"),
    "actions-rust-lang/setup-rust-toolchain": Tool("cargo"),
    "dtolnay/install": Tool("cargo"),
    "astral-sh/setup-uv": Tool("uv"),
    "pnpm/action-setup": Tool("pnpm"),
    "oven-sh/setup-bun": Tool("bun"),
    "denoland/setup-deno": Tool("deno"),
    "hashicorp/setup-terraform": Tool("terraform"),
    "arduino/setup-task": Tool("task"),
    "arduino/setup-protoc": Tool("protoc"),
    "erlef/setup-beam": Tool("elixir"),
    "julia-actions/setup-julia": Tool("julia", keys=("version",)),
    "haskell-actions/setup": Tool("ghc", keys=("ghc-version",)),
    "haskell/actions/setup": Tool("ghc", keys=("ghc-version",)),
    "ocaml/setup-ocaml": Tool("opam"),
    "subosito/flutter-action": Tool("flutter"),
    "dart-lang/setup-dart": Tool("dart"),
    "azure/setup-helm": Tool("helm", ("version",)),
    "azure/setup-kubectl": Tool("kubectl", ("version", "--client")),
    "goreleaser/setup": Tool("goreleaser"),
    "lukka/get-cmake": Tool("cmake"),
    "jwlawson/actions-setup-cmake": Tool("cmake"),
    "seanmiddleditch/gha-setup-ninja": Tool("ninja"),
    "extractions/setup-just": Tool("just"),
    "sigstore/cosign-installer": Tool("cosign", ("version",)),
    "pdm-project/setup-pdm": Tool("pdm"),
    "snok/install-poetry": Tool("poetry"),
    "conda-incubator/setup-miniconda": Tool("conda"),
    "mlugg/setup-zig": Tool("zig", ("version",)),
    "goto-bus-stop/setup-zig": Tool("zig", ("version",)),
    "helm/kind-action": Tool("kind", ("version",)),
    "cypress-io/github-action": Tool("cypress"),
}


class Command(NamedTuple):
    """What an action runs; words of `with` that it takes are put behind it."""

    run: str
    arguments: tuple[str, ...] = ()


COMMANDS: Mapping[str, Command] = {
    "pre-commit/action": Command("pre-commit run --show-diff-on-failure --color=always", ("extra_args",)),
    "golangci/golangci-lint-action": Command("golangci-lint run", ("args",)),
    "embarkstudios/cargo-deny-action": Command("cargo deny check", ("command-arguments",)),
    "actions-rs/cargo": Command("cargo", ("command", "args")),
    "actions-rs/clippy-check": Command("cargo clippy", ("args",)),
    "crate-ci/typos": Command("typos", ("files",)),
    "codespell-project/actions-codespell": Command("codespell", ("path",)),
    "psf/black": Command("black --check --diff .", ("options", "src")),
    "astral-sh/ruff-action": Command("ruff", ("args",)),
    "chartboost/ruff-action": Command("ruff check", ("args",)),
    "isort/isort-action": Command("isort --check-only --diff .", ("configuration",)),
    "ludeeus/action-shellcheck": Command("find . -name '*.sh' -exec shellcheck {} +"),
    "goreleaser/goreleaser-action": Command("goreleaser", ("args",)),
    "borales/actions-yarn": Command("yarn", ("cmd",)),
    "nick-fields/retry": Command("", ("command",)),
    "nick-invision/retry": Command("", ("command",)),
    "wagoid/commitlint-github-action": Command("npx commitlint --from origin/HEAD"),
    "davidanson/markdownlint-cli2-action": Command("markdownlint-cli2", ("globs",)),
    "rhysd/actionlint": Command("actionlint"),
    "ibiqlik/action-yamllint": Command("yamllint .", ("file_or_dir",)),
    "taiki-e/install-action": Command(""),
}

ADVICE: Mapping[str, str] = {
    "pypa/gh-action-pypi-publish": "python3 -m twine upload dist/*",
    "pypa/cibuildwheel": "python3 -m cibuildwheel --output-dir wheelhouse",
    "docker/login-action": "docker login",
    "docker/build-push-action": "docker build",
    "docker/metadata-action": "work out the tags in a step with an id, and write them to $GITHUB_OUTPUT",
    "softprops/action-gh-release": "gh release create",
    "ncipollo/release-action": "gh release create",
    "actions/create-release": "gh release create",
    "peaceiris/actions-gh-pages": "push the folder to the branch of the pages with git",
    "jamesives/github-pages-deploy-action": "push the folder to the branch of the pages with git",
    "actions/deploy-pages": "push the folder to the branch of the pages with git",
    "actions/github-script": "gh api, or a script of your own",
    "peter-evans/create-pull-request": "gh pr create",
    "actions/stale": "it works on GitHub: keep it there",
    "actions/labeler": "it works on GitHub: keep it there",
    "dorny/paths-filter": "git diff --quiet, or `inputs` of a job, which skip it where nothing has changed",
    "tj-actions/changed-files": "git diff --name-only, or `inputs` of a job, which skip it where nothing has changed",
    "aws-actions/configure-aws-credentials": "aws configure, or variables as `secrets`",
    "google-github-actions/auth": "gcloud auth login",
    "azure/login": "az login",
    "actions/create-github-app-token": "a token as one of the `secrets`",
}


def action_name(uses: str) -> str:
    """Return the name of an action, without its version, in small letters."""
    return uses.partition("@")[0].strip().lower()


def check_of_tool(tool: Tool, wanted: str, line: int) -> str:
    """Return a script that fails unless a program is here, in the version that is wanted if one is."""
    version = shlex.join(tool.version)
    missing = f'{{ echo "line {line} wants {tool.program}: install it" >&2; exit 1; }}'
    find = f"command -v {tool.program} || {missing}"
    if not wanted:
        return find
    return "\n".join(
        [
            find,
            f"wanted={_quoted(wanted)}",
            f"have=$({tool.program} {version} 2>&1)",
            "wanted=${wanted%.x}; wanted=${wanted%.*.x}; wanted=${wanted%.\\*}; wanted=${wanted#v}",
            'case "$wanted" in *[!0-9.]* | "") echo "wanted: $wanted; here: $have"; exit 0 ;; esac',
            'case " $have " in *[!0-9.]"$wanted"[!0-9]*) echo "$have" ;;',
            f'*) echo "line {line} wants {tool.program} $wanted, and here is $have" >&2; exit 1 ;; esac',
        ]
    )


def _quoted(text: str) -> str:
    return f'"{text}"' if "${{" in text else shlex.quote(text)
