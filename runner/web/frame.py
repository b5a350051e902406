"""What all pages of the dashboard have around them: the head, the way to the other pages, whether they go on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

from runner.facts import dataclass
from runner.render.page.document import shell
from runner.render.page.markup import Child, Markup, element

SCRIPT_PATH = "/script.js"
SCRIPT = Path(__file__).with_name("script.js")
_STYLE = """
header.top {max-width:1120px; margin:0 auto; padding:14px 24px 0; display:flex; flex-wrap:wrap; gap:4px 18px;
  align-items:baseline; font-size:14px}
header.top nav {display:flex; flex-wrap:wrap; gap:4px 16px; flex:1}
header.top p {margin:0; font-size:12.5px; color:var(--muted)}
a {color:var(--accent); text-decoration:none}
a:hover {text-decoration:underline}
nav a[aria-current] {color:var(--ink); font-weight:600}
#connection::before {content:"●"; color:var(--busy); margin-right:5px}
#connection[data-state="lost"] {color:var(--bad); font-weight:600}
#connection[data-state="lost"]::before {color:var(--bad)}
#connection[data-state="waiting"]::before {color:var(--starved)}
main[data-lost] {opacity:.6}
#answer {position:fixed; left:50%; bottom:18px; transform:translateX(-50%); max-width:min(90vw,640px); margin:0;
  padding:8px 14px; border-radius:6px; background:var(--ink); color:var(--paper); font-size:14px; z-index:2}
#answer:empty {display:none}
#answer.c-bad {background:var(--bad); color:var(--paper)}
button, input, select {font:inherit; font-size:13px; color:var(--ink); background:var(--shade);
  border:1px solid var(--starved); border-radius:5px; padding:2px 9px}
button {cursor:pointer}
button:hover {border-color:var(--accent)}
button[disabled] {opacity:.5; cursor:default}
td .pair {display:inline-flex; gap:4px}
form.filter {display:flex; flex-wrap:wrap; gap:6px 10px; align-items:center; margin:0 0 14px; font-size:13px}
form.filter nav {display:flex; flex-wrap:wrap; gap:4px 12px}
form.filter input[type=search] {min-width:14em; flex:0 1 22em}
.dot {display:inline-block; width:9px; height:9px; border-radius:50%; margin-right:7px; background:currentColor}
.spark {width:120px}
.acts {display:flex; flex-wrap:wrap; gap:6px; margin:10px 0}
pre.log {max-height:70vh; white-space:pre-wrap; overflow-wrap:anywhere}
.cols {display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr)); gap:0 32px}
#compare h2 {margin-top:22px}
tr[aria-selected=true] td {background:var(--shade)}
@media (max-width:600px) {
  header.top {padding:12px 14px 0}
  .spark {width:80px}
}
"""
STYLE = "".join(f"{line.strip()} " for line in _STYLE.splitlines()).strip()


@dataclass(frozen=True, slots=True)
class Link:
    """One way to another page."""

    name: str
    path: str
    is_here: bool = False


def run_path(run: str, page: str = "", /, **query: str | int | None) -> str:
    """Return the path of a page of a run."""
    asked = urlencode({key: value for key, value in query.items() if value is not None})
    return f"/runs/{quote(run)}{f'/{page}' if page else ''}{f'?{asked}' if asked else ''}"


def link(text: Child, path: str, **attributes: str | None) -> Markup:
    """Return a link to one of our pages."""
    return element("a", text, href=path, **attributes)


def framed_page(title: str, links: Sequence[Link], fragments: Mapping[str, str], seen: str) -> str:
    """Return a whole page: its fragments in their order, the way to others, and the script that keeps it going."""
    main = element("main", [Markup(html) for html in fragments.values()], id="page", data_seen=seen)
    bar = element(
        "header",
        element("nav", [_nav(each) for each in links], aria_label="pages"),
        element("p", "connecting", id="connection", role="status", aria_live="polite", data_state="waiting"),
        class_="top",
    )
    answer = element("p", id="answer", role="status", aria_live="polite")
    head = [
        element("style", Markup(STYLE)),
        element("link", rel="icon", href="data:,"),
        element("script", src=SCRIPT_PATH, defer=True),
    ]
    return shell(f"{title} · mprun", bar, main, answer, head=head, policy="")


def _nav(each: Link) -> Markup:
    return link(each.name, each.path, aria_current="page" if each.is_here else None)


def refusal_page(status: int, why: str, *, again: bool = False) -> str:
    """Return the page that stands where another was asked for; `again`: which is asked for once more, from here."""
    how: list[Child] = []
    if status == 401:
        how = [
            "To sign in, open the link that ",
            element("code", "mprun dashboard"),
            " has printed where it was started. It lasts over restarts: this browser needs it once.",
        ]
    head = [
        element("style", Markup(STYLE)),
        element("meta", http_equiv="refresh", content="0") if again else None,
    ]
    words = {400: "Not here", 401: "Sign in", 403: "Not allowed", 404: "Not found"}.get(status, "No")
    body = element("main", element("h1", words), element("p", f"{why}."), element("p", how) if how else None)
    return shell(f"{words} · mprun", body, head=head, policy="")


def notice(text: Child, id_: str = "trouble") -> Markup:
    """Return a fragment that says something went wrong; an empty one, where `text` is nothing."""
    if not text:
        return element("section", id=id_, hidden=True)
    return element("section", element("p", text, class_="cause", role="alert"), id=id_)
