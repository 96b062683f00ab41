"""Style sheet of all pages, for light and dark screens of any width and for print."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c2127; --muted: #5f6973; --faint: #d5dade;
  --shade: #f4f6f7; --healthy: #0072b2; --sick: #c9540b; --warning: #8f1d14; --warning-paper: #fdf0ee;
  --walking-speed: #00795a; --gait-features: #a23f86; --minirocket: #806000; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e6e9ec; --muted: #9aa4ae;
  --faint: #363d45; --shade: #1d2227; --healthy: #5fb4ea; --sick: #f58a42; --warning: #ffb3a8;
  --warning-paper: #3a1a17; --walking-speed: #35c79c; --gait-features: #e08fc8; --minirocket: #d6ae3a; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 56rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; }
h1 { font-size: 1.05rem; font-weight: 600; color: var(--muted); margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--faint); }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
p, ul, dl { margin: 0 0 .75rem; max-width: 46rem; }
ul { padding-left: 1.1rem; }
li { margin-bottom: .3rem; }
.answer { font-size: 1.5rem; line-height: 1.35; margin-bottom: 1rem; max-width: none; text-wrap: pretty; }
.warning { border-left: 5px solid var(--warning); background: var(--warning-paper); color: var(--ink);
  padding: .9rem 1.1rem .4rem; margin-bottom: 1.75rem; }
.warning h2 { border: 0; margin: 0 0 .4rem; padding: 0; font-size: 1.15rem; color: var(--warning); }
.small, figcaption, dl, .caveats { font-size: .9rem; }
figcaption { color: var(--muted); }
dt { font-weight: 600; float: left; clear: left; margin-right: .5em; }
dd { margin: 0 0 .25rem; }
figure { margin: 1.25rem 0; break-inside: avoid; }
figcaption { margin-top: .4rem; max-width: 46rem; }
figure svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: inherit !important; }
.wide svg { max-width: 36rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0 2.5rem; }
.panels svg { max-width: 26rem; }
.table { overflow-x: auto; margin: 0 0 1rem; background:
  linear-gradient(to left, var(--paper) 40%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--faint), transparent) right / .8rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .35rem .9rem .35rem 0; text-align: left; vertical-align: top; }
thead th { border-bottom: 1.5px solid var(--ink); vertical-align: bottom; font-weight: 600; }
tbody tr + tr > * { border-top: 1px solid var(--faint); }
tbody th { font-weight: 400; }
td small, th small { display: block; color: var(--muted); font-weight: 400; white-space: nowrap; }
tbody th small { white-space: normal; max-width: 19rem; }
.of-network { font-weight: 600; }
.best { color: var(--muted); font-weight: 600; }
.settings { columns: 2 22rem; column-gap: 3rem; }
.settings > div { break-inside: avoid; }
.settings h3 { margin-top: 0; }
pre { background: var(--shade); padding: .8rem 1rem; white-space: pre-wrap; font-size: .85rem; margin: 0 0 1rem; }
.healthy { color: var(--healthy); } .sick { color: var(--sick); }
@media (max-width: 40rem) { body { padding: 1.25rem 1rem 3rem; } .answer { font-size: 1.2rem; }
  h2 { margin-top: 2.25rem; } tbody th small { display: none; } }
@media print { @page { margin: 15mm; } html { font-size: 9pt; } body { max-width: none; padding: 0; }
  .table { overflow: visible; background: none; } h2, h3, thead { break-after: avoid; }
  tr, .warning, pre, dl { break-inside: avoid; }
  h2 { margin-top: 1.75rem; } td, th { padding-top: .2rem; padding-bottom: .2rem; } figure { margin: .75rem 0; }
  .panels { grid-template-columns: 1fr 1fr; } .panels svg { max-width: 7cm; } .wide svg { max-width: 12cm; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
