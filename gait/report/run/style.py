"""Style sheet of the run report in addition to that of every page: wide figures, videos, probability bars."""

RUN_STYLE = """
.note { border-left: 5px solid var(--healthy); background: var(--shade); padding: .9rem 1.1rem .4rem;
  margin-bottom: 1.75rem; }
.note h2 { border: 0; margin: 0 0 .4rem; padding: 0; font-size: 1.15rem; }
.broad { position: relative; left: 50%; width: min(96vw, 1500px); transform: translateX(-50%); }
.broad figcaption { margin-left: auto; margin-right: auto; max-width: 53.5rem; }
.wide-image { overflow-x: auto; }
.wide-image img, .wide-image video { display: block; width: 100%; height: auto; border-radius: 4px; }
.video { width: min(96vw, 1500px, 120vh); }
.swipe { display: none; color: var(--muted); margin: .4rem 0 0; }
.both { position: relative; } .both video { position: absolute; inset: 0; height: 100%; }
nav { font-size: .9rem; } a { color: inherit; }
.probability { display: inline-block; position: relative; width: 9rem; max-width: 30vw; height: .8rem;
  margin: 0 .5rem 0 .4rem; vertical-align: -.05rem;
  background: linear-gradient(var(--faint), var(--faint)) center / 100% 2px no-repeat,
  linear-gradient(var(--muted), var(--muted)) center / 1.5px 100% no-repeat; }
.probability i { position: absolute; top: .05rem; width: .7rem; height: .7rem; margin-left: -.35rem; border-radius: 50%;
  background: currentColor; }
.command { margin: 0 0 .2rem; font-size: .9rem; color: var(--muted); } .together { break-inside: avoid; }
.wrong { color: var(--warning); }
td { white-space: nowrap; } td:has(.healthy, .sick) { white-space: normal; }
@media (max-width: 60rem) { .wide-image img { min-width: 56rem; }
  .broad { position: static; width: auto; transform: none; } .both img { min-width: 0; } }
@media screen and (max-width: 40rem) { /* one of the two subjects fills the screen of a phone */
  .swipe { display: block; } .video .wide-image { scroll-snap-type: x mandatory; } .both { width: 200%; }
  .both::before, .both::after { content: ""; position: absolute; width: 50%; height: 1px; scroll-snap-align: start; }
  .both::after { left: 50%; } }
@media print { .broad { left: 0; width: 100%; transform: none; } .wide-image { overflow: visible; }
  .wide-image img { min-width: 0; } .both video { display: none; }
  .both img { width: auto; max-height: 9cm; margin: 0 auto; }
  nav { display: none; } }
"""
