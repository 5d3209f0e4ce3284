"""The parts of a report that are the same for all: its style sheet and its script."""

from __future__ import annotations

from core.theme import ACCENT, FONT, MONOSPACE, SLOT_COLOURS, STATE_COLOURS

_STYLE = """
:root{--ground:#fff;--card:#f6f7f9;--ink:#1b1f24;--faint:#5c6570;--line:#dfe3e8;color-scheme:light}
@media (prefers-color-scheme:dark){:root{--ground:#14171b;--card:#1d2126;--ink:#e8ebee;
--faint:#9aa4ae;--line:#31373e;color-scheme:dark}}
@media print{:root{--ground:#fff;--card:#fff;--ink:#000;--faint:#444;--line:#ccc;
color-scheme:light}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 FONT}
main{max-width:1240px;margin:0 auto;padding:28px 24px 48px}
.brand{color:var(--faint);font-size:13px;margin:0 0 6px}
h1{font-size:21px;line-height:1.4;font-weight:600;margin:0 0 20px;overflow-wrap:anywhere;
max-width:62em}
h2{font-size:17px;font-weight:620;margin:36px 0 10px}
p,li{max-width:80em;overflow-wrap:anywhere}
code,.key,.shape{font-family:MONO;font-size:.9em}
.sides{display:grid;grid-template-columns:1fr 1fr;gap:16px}
.side{background:var(--card);border-left:4px solid;border-radius:6px;padding:12px 16px;min-width:0}
.side h3{margin:0 0 6px;font-size:15px;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:1px 14px;margin:0;font-size:14px}
dt{color:var(--faint)}dd{margin:0;overflow-wrap:anywhere}
.bar{display:flex;height:10px;gap:2px;margin:22px 0 8px;border-radius:5px;overflow:hidden}
.bar span{background:var(--c);min-width:3px}
.tools{display:flex;flex-wrap:wrap;gap:6px 8px;align-items:center;margin:0 0 10px}
.tools label{border:1px solid var(--line);border-radius:15px;padding:2px 12px 2px 8px;
font-size:14px;cursor:pointer;display:flex;gap:6px;align-items:center}
.tools label:has(input:not(:checked)){color:var(--faint)}
.tools input[type=checkbox]{accent-color:var(--c);margin:0}
.tools input[type=search]{flex:1 1 220px;max-width:420px;font:inherit;font-size:14px;
padding:4px 10px;border:1px solid var(--line);border-radius:6px;background:var(--card);
color:inherit}
.shown{color:var(--faint);font-size:13px;margin:0 0 6px}
:focus-visible{outline:2px solid ACCENT;outline-offset:1px}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{position:sticky;top:0;background:var(--ground);text-align:left;font-weight:600;
border-bottom:1px solid var(--line);padding:0;white-space:nowrap}
th button{all:unset;cursor:pointer;padding:6px 8px;display:block;box-sizing:border-box;width:100%}
th button:focus-visible{outline:2px solid ACCENT}
th[aria-sort=ascending] button::after{content:" ↑"}
th[aria-sort=descending] button::after{content:" ↓"}
td{border-bottom:1px solid var(--line);padding:5px 8px;vertical-align:top}
tr[hidden]{display:none}
.changes th{padding:6px 8px}.changes td{overflow-wrap:anywhere}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th.n button{text-align:right}
.key{overflow-wrap:anywhere;min-width:200px}
.shape,.dtype{white-space:nowrap}
.counts{display:flex;flex-wrap:wrap;gap:2px 18px;margin:0;font-size:14px}
.more{display:block;color:var(--faint);font:12.5px/1.45 FONT}
.state{white-space:nowrap}
.state::before{content:"";display:inline-block;width:9px;height:9px;border-radius:50%;
background:var(--c);margin-right:6px}
.figure{min-height:120px}
.figures{display:grid;gap:8px}
details{margin-top:14px}summary{cursor:pointer;color:var(--faint)}
footer{margin-top:40px;color:var(--faint);font-size:13px}
@media (max-width:1240px){table{font-size:12.5px}td,th button{padding:5px}
.key{min-width:110px}.shape,.dtype{white-space:normal}}
@media screen and (max-width:1000px){
main{padding:18px 14px 36px}h1{font-size:18px}.sides{grid-template-columns:1fr}
#rows,#rows tbody{display:block}
#rows thead{display:block;overflow-x:auto}#rows thead tr{display:flex}th{position:static}
#rows tr:not([hidden]){display:flex;flex-wrap:wrap;gap:1px 12px}
#rows tbody tr{border-bottom:1px solid var(--line);padding:7px 0}
#rows tbody td{border:0;padding:0;text-align:left}
#rows td:empty{display:none}
#rows td.key{flex:1 1 100%;order:-1;min-width:0}
#rows td[data-t]::before{content:attr(data-t) " ";color:var(--faint);font:12.5px FONT}
}
@media print{table{font-size:7.5pt}td{padding:2px 4px}th button{padding:2px 4px}
.key{min-width:80px}.shape,.dtype{white-space:normal}.more{font-size:7pt}.tools,details:not([open]),.shown,.modebar{display:none!important}
main{max-width:none;padding:0}th{position:static}thead{display:table-header-group}
tr,.figure,.side{break-inside:avoid}h2{break-after:avoid}body{font-size:11pt}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

SCRIPT = """
(() => {
"use strict";
const table = document.getElementById("rows");
if (table) {
  const body = table.tBodies[0], rows = Array.from(body.rows);
  const texts = rows.map(row => row.querySelector(".key").textContent.toLowerCase());
  const search = document.getElementById("search"), shown = document.getElementById("shown");
  const boxes = Array.from(document.querySelectorAll(".tools input[type=checkbox]"));
  const filter = () => {
    const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const states = new Set(boxes.filter(box => box.checked).map(box => box.value));
    let count = 0;
    rows.forEach((row, index) => {
      const fits = states.has(row.dataset.s) && words.every(word => texts[index].includes(word));
      if (row.hidden === fits) row.hidden = !fits;
      if (fits) count += 1;
    });
    const thin = number => String(number).replace(/\\B(?=(\\d{3})+$)/g, "\\u202f");
    shown.textContent = `${thin(count)} of ${thin(rows.length)} tensors shown`;
  };
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  });
  boxes.forEach(box => box.addEventListener("change", filter));
  filter();
  const headers = Array.from(table.tHead.rows[0].cells);
  headers.forEach((header, column) => header.firstChild.addEventListener("click", () => {
    const numeric = header.classList.contains("n");
    const turns = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
    const next = turns[turns.indexOf(header.getAttribute("aria-sort")) + 1] || "none";
    headers.forEach(other => other.setAttribute("aria-sort", "none"));
    header.setAttribute("aria-sort", next);
    const sign = next === "descending" ? -1 : 1;
    const keyed = rows.map((row, index) => {
      const cell = row.cells[column];
      const text = cell.textContent, value = "v" in cell.dataset ? Number(cell.dataset.v) : NaN;
      return {row, index, text, value};
    });
    const order = new Intl.Collator("en", {numeric: true});
    if (next !== "none") keyed.sort((x, y) => {
      if (numeric) {
        const lacks = Number.isNaN(x.value) - Number.isNaN(y.value);
        if (lacks || Number.isNaN(x.value)) return lacks || x.index - y.index;
        return (x.value === y.value ? 0 : sign * (x.value < y.value ? -1 : 1)) || x.index - y.index;
      }
      return sign * order.compare(x.text, y.text) || x.index - y.index;
    });
    const all = document.createDocumentFragment();
    keyed.forEach(one => all.append(one.row));
    body.append(all);
  }));
}
const places = Array.from(document.querySelectorAll(".figure"));
const draw = () => {
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map(name => style.getPropertyValue(name).trim());
  const axis = {gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true};
  places.forEach(place => {
    const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    const kept = figure.layout.template || {};
    const layout = {font: {color: ink}, xaxis: axis, yaxis: axis, hoverlabel: {align: "left"}};
    figure.layout.template = {data: kept.data, layout: {...kept.layout, ...layout}};
    figure.layout.autosize = true;
    delete figure.layout.width;
    Plotly.react(place, figure.data, figure.layout, {responsive: true, displaylogo: false});
  });
};
if (places.length) {
  draw();
  matchMedia("(prefers-color-scheme:dark)").addEventListener("change", draw);
  matchMedia("print").addEventListener("change", draw);
}
})();
"""
"""Sorts and filters the table, draws the figures, and follows the light or dark ground."""


def style() -> str:
    """The style sheet, in the theme's colours and type faces."""
    colours = [f'[data-s="{state}"]{{--c:{colour}}}' for state, colour in STATE_COLOURS.items()] + [
        f".side.{slot}{{border-color:{colour}}}" for slot, colour in SLOT_COLOURS.items()
    ]
    text = _STYLE.replace("FONT", FONT).replace("MONO", MONOSPACE).replace("ACCENT", ACCENT)
    return text + "\n".join(colours)
