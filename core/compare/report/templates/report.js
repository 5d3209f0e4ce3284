(() => {
"use strict";
const table = document.getElementById("rows");
if (table) {
  const body = table.tBodies[0], rows = Array.from(body.rows);
  const texts = rows.map(row => row.querySelector(".key").textContent.toLowerCase());
  const search = document.getElementById("search"), shown = document.getElementById("shown");
  const boxes = Array.from(document.querySelectorAll(".tools input[type=checkbox]"));
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const states = new Set(boxes.filter(box => box.checked).map(box => box.value));
    let count = 0;
    rows.forEach((row, index) => {
      const fits = states.has(row.dataset.s) && words.every(word => texts[index].includes(word));
      if (row.hidden === fits) row.hidden = !fits;
      if (fits) count += 1;
    });
    const thin = number => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
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
