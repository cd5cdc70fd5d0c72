"""The stylesheet of the page: phone and desk, light and dark, screen and paper."""

from .svg import palette_css

_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main,footer{max-width:1180px;margin:0 auto;padding:0 16px}
h1{font-size:1.55rem;line-height:1.2;margin:1.4rem 0 .2rem}
h2{font-size:1.25rem;margin:2.6rem 0 .4rem;padding-top:.7rem;border-top:1px solid var(--grid)}
h3{font-size:1rem;margin:0 0 .3rem;line-height:1.35}
p{margin:.4rem 0 .8rem;max-width:75ch}
.quiet,figcaption,.tile small{color:var(--muted)}
.notes{border:1px solid var(--ink);border-left-width:6px;padding:.5rem .9rem;margin:1rem 0}
.notes ul,.reading{margin:.2rem 0;padding-left:1.2rem;max-width:110ch}.reading{font-size:.9rem}
.tag{display:inline-block;font-size:.7rem;font-weight:700;letter-spacing:.06em;padding:.06rem .4rem;border-radius:3px;
border:1.5px solid var(--ink);vertical-align:.1em;white-space:nowrap;overflow-wrap:normal}
.tag.measured{background:var(--ink);color:var(--paper)}
.tag.predicted{border-style:dashed}
.groups{display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));margin:1rem 0}
.group{border:1px solid var(--grid);border-radius:8px;padding:.7rem .9rem;margin:0}
.group.predicted{border-style:dashed;border-color:var(--muted)}
.group h2{all:unset;display:block;font-weight:600;margin-bottom:.4rem}
.tiles{display:grid;gap:.6rem 1rem;grid-template-columns:repeat(auto-fit,minmax(125px,1fr))}
.tile b{display:block;font-size:1.4rem;line-height:1.25;font-variant-numeric:tabular-nums;overflow-wrap:normal}
.tile span{font-size:.85rem}
.tile small{display:block;font-size:.78rem;line-height:1.35}
.figures{display:grid;gap:1.6rem 2rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));margin:1rem 0}
figure{margin:0;min-width:0;max-width:580px}
figure svg{display:block;width:100%;max-width:100%;height:auto}
figure svg *{stroke-linejoin:round;stroke-linecap:butt}
figcaption{font-size:.82rem;line-height:1.4;margin-top:.3rem}
.scroll{overflow-x:auto;margin:.2rem 0 .8rem;max-width:100%}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
.caption{font-size:.9rem;font-weight:600;margin:1.2rem 0 .2rem}.figures .caption{font-size:1rem;margin-top:0}
.listing{min-width:0}
th,td{padding:.25rem .9rem .25rem 0;text-align:right;vertical-align:bottom;border-bottom:1px solid var(--grid);
white-space:nowrap}
table{width:max-content}
thead th{white-space:normal;font-weight:600;border-bottom:1.5px solid var(--muted)}
thead span{display:inline-block;max-width:6.6rem}
th.text,td.text{text-align:left}
td.long{white-space:normal;min-width:16rem}
details{margin:.8rem 0}
summary{cursor:pointer;font-weight:600}
code{font-family:ui-monospace,monospace;font-size:.92em}
footer{font-size:.85rem;padding-bottom:3rem}
dl{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.2rem 1rem;margin:.6rem 0}
dt{color:var(--muted)}dd{margin:0;min-width:0}
@media(max-width:480px){body{font-size:15px}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.4rem}}
@media print{figure,tr{break-inside:avoid}.scroll{overflow:visible}}
"""


def stylesheet() -> str:
    """The CSS of the page; nothing in it is fetched."""
    light, dark = palette_css(0), palette_css(1)
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}" + _RULES.replace("\n", "")
    )
