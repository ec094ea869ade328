"""How the page looks: one sheet in the page itself, nothing fetched, light and dark."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { --ink:#1b1f24; --soft:#5b6470; --line:#dfe3e8; --paper:#ffffff; --tint:#f6f7f9; --wrong:#b42318;
  --wrongtint:#fdecea; --right:#146c43; --righttint:#e7f5ee; --accent:#1f5fbf; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6e8eb; --soft:#9aa3ad; --line:#333a42; --paper:#15181c;
  --tint:#1d2126; --wrong:#ff8a80; --wrongtint:#3b1f1d; --right:#7bd8a5; --righttint:#17301f;
  --accent:#8ab4f8; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--paper); color:var(--ink); font:16px/1.55 system-ui,-apple-system,"Segoe UI",
  "DejaVu Sans",sans-serif; }
main { max-width:60rem; margin:0 auto; padding:2.5rem 1.25rem 4rem; }
h1 { font-size:1.9rem; line-height:1.2; margin:0 0 .4rem; letter-spacing:-.01em; }
h2 { font-size:1.2rem; margin:2.6rem 0 .8rem; padding-bottom:.3rem; border-bottom:1px solid var(--line); }
p { margin:.5rem 0; max-width:44rem; }
.lead { font-size:1.08rem; }
.soft { color:var(--soft); }
code, .mono { font-family:ui-monospace,"SF Mono","DejaVu Sans Mono",monospace; font-size:.86em; }
.badge { display:inline-block; padding:.1rem .6rem; border-radius:1rem; font-size:.85rem; font-weight:600;
  background:var(--tint); border:1px solid var(--line); vertical-align:.25rem; }
.badge.wrong { background:var(--wrongtint); color:var(--wrong); border-color:transparent; }
.badge.right { background:var(--righttint); color:var(--right); border-color:transparent; }
dl { display:grid; grid-template-columns:max-content 1fr; gap:.25rem 1.2rem; margin:1rem 0; }
dt { color:var(--soft); } dd { margin:0; overflow-wrap:anywhere; }
.level { border-left:3px solid var(--line); padding:.15rem 0 0 1.1rem; margin:.9rem 0 0 .35rem; }
.level.last { border-color:var(--wrong); }
.level > .what { color:var(--soft); font-size:.92rem; }
.level > .chosen { font-weight:600; }
.level.last > .chosen { color:var(--wrong); }
.strip { display:flex; flex-wrap:wrap; gap:2px; margin:.45rem 0; max-width:44.2rem; }
.strip i { width:9px; height:14px; border-radius:2px; background:var(--line); }
.strip i.same { background:var(--right); opacity:.45; }
.strip i.bad { background:var(--wrong); }
.bar { position:relative; height:14px; max-width:44.2rem; margin:.45rem 0; border-radius:3px;
  background:var(--line); overflow:hidden; }
.bar b { position:absolute; left:0; top:0; bottom:0; background:var(--right); opacity:.45; }
.bar i { position:absolute; top:0; bottom:0; min-width:4px; background:var(--wrong); }
.scroll { overflow-x:auto; }
table { border-collapse:collapse; width:100%; font-size:.92rem; }
th { text-align:left; color:var(--soft); font-weight:500; border-bottom:1px solid var(--line);
  padding:.35rem .7rem .35rem 0; white-space:nowrap; }
td { border-bottom:1px solid var(--line); padding:.4rem .7rem .4rem 0; vertical-align:top; }
td.n, th.n { text-align:right; font-variant-numeric:tabular-nums; white-space:nowrap; }
tr.sum td { font-weight:600; border-bottom:0; }
.who { font-weight:600; white-space:nowrap; }
.who.challenger { color:var(--accent); } .who.trainer { color:var(--wrong); }
.bits { font-family:ui-monospace,"SF Mono","DejaVu Sans Mono",monospace; font-size:.92rem; white-space:nowrap;
  }
.bits span { display:inline-block; width:.78em; text-align:center; border-radius:2px; }
.bits .gap { width:.55em; }
.bits .diff { background:var(--wrongtint); color:var(--wrong); font-weight:700;
  outline:1px solid var(--wrong); }
.bits.head { color:var(--soft); font-size:.75rem; }
.value { font-size:1.15rem; font-variant-numeric:tabular-nums; }
.wrongtext { color:var(--wrong); } .righttext { color:var(--right); }
.hash { overflow-wrap:anywhere; white-space:normal; }
footer { margin-top:3rem; color:var(--soft); font-size:.88rem; border-top:1px solid var(--line);
  padding-top:.8rem; }
@media print { main { max-width:none; padding:0; } .level, table { break-inside:avoid; } }
"""
