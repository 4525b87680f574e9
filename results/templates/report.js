"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

function themed(layout) {
  const ink = dark.matches ? "#e6e8ea" : "#1f2328";
  const grid = dark.matches ? "#30363d" : "#e3e7eb";
  const paper = dark.matches ? "#1d2126" : "#ffffff";
  return {
    ...layout,
    font: { ...layout.font, color: ink, family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: paper, font: { color: ink } },
    xaxis: { ...layout.xaxis, gridcolor: grid, linecolor: grid },
    yaxis: { ...layout.yaxis, gridcolor: grid, linecolor: grid },
  };
}

function draw() {
  for (const [id, figure] of Object.entries(figures)) {
    const options = { displaylogo: false, displayModeBar: false, responsive: true };
    Plotly.react(id, figure.data, themed(figure.layout), options);
  }
}

function compare(left, right) {
  const [a, b] = [Number(left), Number(right)];
  return Number.isNaN(a) || Number.isNaN(b) ? left.localeCompare(right) : a - b;
}

function sortBy(header) {
  const table = header.closest("table");
  const descending = header.getAttribute("aria-sort") === "ascending";
  const index = header.cellIndex;
  const value = (row) => row.cells[index].dataset.sort;
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    // A blank is no number: it stays last, whichever way the column is sorted.
    if (a === "" || b === "") return (a === "") - (b === "");
    return descending ? compare(b, a) : compare(a, b);
  });
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  table.tBodies[0].append(...rows);
}

for (const header of document.querySelectorAll("#tries th")) {
  header.querySelector("button").addEventListener("click", () => sortBy(header));
}
draw();
dark.addEventListener("change", draw);
