"""The style of the page: one column, the fonts of the system, numbers that line up, light and dark, screen, paper."""

from __future__ import annotations

from runner.render.page.svg import FONT, colour_rules

_MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace"
_RULES = f"""
* {{box-sizing:border-box}}
body {{margin:0; background:var(--paper); color:var(--ink); font:15px/1.5 {FONT}; overflow-wrap:anywhere;
  -webkit-text-size-adjust:100%}}
main, footer {{max-width:1120px; margin:0 auto; padding:0 24px}}
main {{padding-top:28px}}
footer {{margin-top:48px; padding-bottom:32px; color:var(--muted); font-size:12px}}
h1 {{font-size:24px; line-height:1.25; margin:0 0 12px; font-weight:650}}
h1 .state {{font-weight:450; white-space:nowrap}}
h2 {{font-size:16px; font-weight:650; margin:0 0 10px}}
section {{margin:0 0 36px}}
section[hidden] {{display:none}}
p {{margin:6px 0}}
.lead {{font-size:16px; border-left:3px solid var(--blocked); padding:2px 0 2px 12px; margin:0}}
.aside, figcaption, dt {{color:var(--muted)}}
.aside, figcaption {{font-size:12.5px}}
figcaption b {{color:var(--ink); font-weight:600}}
.note, .cause {{border-left:3px solid var(--accent); padding:2px 0 2px 12px; margin:12px 0}}
.cause {{border-color:var(--bad)}}
dl {{display:grid; grid-template-columns:max-content 1fr; gap:2px 18px; margin:8px 0; font-size:14px}}
dd {{margin:0}}
code, pre {{font:12.5px/1.45 {_MONO}}}
pre {{background:var(--shade); border-radius:6px; padding:10px 12px; margin:8px 0; overflow:auto; max-height:420px;
  overflow-wrap:normal}}
.scroll {{overflow-x:auto; overflow-y:hidden; padding:2px 0}}
table {{border-collapse:collapse; min-width:100%; font-size:13.5px; line-height:1.4;
  font-variant-numeric:tabular-nums}}
td, th {{padding:5px 0 5px 18px; text-align:left; vertical-align:top; white-space:nowrap; font-weight:400;
  border-bottom:1px solid var(--grid)}}
td:first-child, th:first-child {{padding-left:0}}
thead th {{color:var(--muted); font-weight:500; font-size:12.5px}}
td.name {{font-weight:550}}
td.text {{white-space:normal; min-width:16em}}
td.n, th.n {{text-align:right}}
.n {{font-variant-numeric:tabular-nums}}
.bar {{width:110px}}
.strips td, .strips th {{border:0; padding-top:2px; padding-bottom:2px; vertical-align:middle}}
.strips th {{font-weight:450; min-width:7em; line-height:1.25}}
.strips th.long {{white-space:normal; min-width:22em}}
figure {{margin:0 0 16px; min-width:0}}
figcaption {{margin-bottom:2px}}
.grid {{display:grid; grid-template-columns:repeat(auto-fill,minmax(280px,1fr)); gap:14px 32px; margin-top:12px}}
.grid figure {{margin:0}}
svg {{display:block; max-width:none}}
details {{border-bottom:1px solid var(--grid); padding:5px 0}}
summary {{cursor:pointer}}
details ul {{margin:6px 0; padding-left:24px}}
.stage {{font-weight:600}}
:focus-visible {{outline:2px solid var(--accent); outline-offset:2px}}
@media (max-width:600px) {{
  main, footer {{padding-left:14px; padding-right:14px}}
  h1 {{font-size:20px}}
  h1 .state {{white-space:normal}}
  dl {{gap:2px 12px; font-size:13.5px}}
  .strips th, .strips th.long {{white-space:normal; min-width:6.5em; max-width:10em}}
  .strips td:nth-child(2) {{min-width:120px}}
}}
@media print {{
  * {{print-color-adjust:exact; -webkit-print-color-adjust:exact}}
  body {{font-size:12px}}
  main {{max-width:none; padding:0}}
  h2 {{break-after:avoid}}
  table {{font-size:10px}}
  td, th {{padding:3px 0 3px 8px}}
  thead th {{font-size:9.5px}}
  .bar {{width:64px}}
  figure, tr {{break-inside:avoid}}
  .scroll, pre {{overflow:visible; max-height:none}}
  pre {{white-space:pre-wrap}}
}}
"""
STYLE = colour_rules() + "".join(line.strip() + " " for line in _RULES.splitlines()).strip()
