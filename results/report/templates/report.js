"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const settingLines = JSON.parse(document.getElementById("setting-lines").textContent);
const root = document.documentElement;
const systemDark = matchMedia("(prefers-color-scheme: dark)");
const toggle = document.getElementById("dark");

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
}

/* Figures: drawn when they come into view, and again when the theme changes. */

for (const figure of Object.values(figures)) {
  for (const trace of figure.data) {
    trace.text = trace.meta.flatMap(([hover, count]) => Array(count).fill(hover));
    delete trace.meta;
  }
}

function themed(figure, dark) {
  const ink = dark ? "#e6e8ea" : "#1f2328";
  const grid = dark ? "#30363d" : "#e3e7eb";
  const paper = dark ? "#1d2126" : "#ffffff";
  const axis = { gridcolor: grid, linecolor: grid, zeroline: false, automargin: true, exponentformat: "power" };
  const { xaxis, yaxis } = figure.layout;
  const data = figure.data.map((trace) =>
    trace.type === "bar"
      ? { ...trace, marker: { ...trace.marker, pattern: { ...trace.marker.pattern, bgcolor: trace.marker.color, fgcolor: paper } } }
      : trace);
  const layout = {
    ...figure.layout,
    template: { layout: {} },
    font: { color: ink, family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: paper, font: { color: ink } },
    hovermode: "closest",
    margin: { l: 50, r: 15, t: 10, b: 45 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    xaxis: { ...axis, ...xaxis },
    yaxis: { ...axis, ...yaxis },
  };
  return [data, layout];
}

const drawn = new Set();

function draw(name, dark) {
  drawn.add(name);
  const [data, layout] = themed(figures[name], dark);
  Plotly.react(`plot-${name}`, data, layout, { displayModeBar: false, responsive: true });
}

function drawAll(dark) {
  for (const name of Object.keys(figures)) draw(name, dark);
}

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    draw(target.id.slice("plot-".length), isDark());
  }
}, { rootMargin: "400px" });
for (const name of Object.keys(figures)) watcher.observe(document.getElementById(`plot-${name}`));

function applyTheme() {
  toggle.setAttribute("aria-pressed", String(isDark()));
  for (const name of drawn) draw(name, isDark());
}

toggle.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  applyTheme();
});
systemDark.addEventListener("change", applyTheme);
addEventListener("beforeprint", () => drawAll(false));
addEventListener("afterprint", applyTheme);
toggle.setAttribute("aria-pressed", String(isDark()));

/* The Try table: a click on a heading sorts. */

const collator = new Intl.Collator(undefined, { numeric: true });

function sortValue(cell) {
  return cell.dataset.sort ?? cell.textContent.trim();
}

function compare(left, right) {
  const [a, b] = [Number(left), Number(right)];
  return Number.isNaN(a) || Number.isNaN(b) ? collator.compare(left, right) : a - b;
}

function sortBy(header) {
  const body = header.closest("table").tBodies[0];
  const descending = header.getAttribute("aria-sort") === "ascending";
  const rows = [...body.rows].map((row) => [sortValue(row.cells[header.cellIndex]), row]);
  rows.sort(([a], [b]) => {
    // A blank is no number: it stays last, whichever way the column is sorted.
    if (a === "" || b === "") return (a === "") - (b === "");
    return descending ? compare(b, a) : compare(a, b);
  });
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...rows.map(([, row]) => row));
}

for (const header of document.querySelectorAll("#tries thead th")) {
  // Test accuracy has no button: nobody should choose by it.
  header.querySelector("button")?.addEventListener("click", () => sortBy(header));
}

/* A badge tells what was seen, why it matters and what to try next; without a script it is a link
   to the same text below. */

const popover = document.getElementById("finding");

function line(text, name) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function showFinding(badge) {
  const row = document.getElementById(badge.hash.slice(1));
  const group = row.closest("details");
  const [label, seen, next] = [...row.cells].map((cell) => cell.textContent);
  const heads = [...row.closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
  popover.replaceChildren(line(`${label}: ${badge.textContent}`, "b"), line(seen, "p"));
  const why = group.querySelector(".why");
  if (why) popover.append(line(why.textContent, "p"));
  if (next) popover.append(line(`${heads[2]}: ${next}`, "p"));
  popover.showPopover();
  const box = badge.getBoundingClientRect();
  const left = Math.min(box.left, innerWidth - popover.offsetWidth - 8);
  const below = box.bottom + popover.offsetHeight + 8 < innerHeight;
  popover.style.left = `${Math.max(8, left)}px`;
  popover.style.top = `${below ? box.bottom + 4 : Math.max(8, box.top - popover.offsetHeight - 4)}px`;
}

for (const badge of document.querySelectorAll("#tries a.badge")) {
  badge.addEventListener("click", (event) => {
    if (!popover.showPopover) return;
    event.preventDefault();
    showFinding(badge);
  });
}

/* Settings of a try: made when its heading is opened. */

function settingsTable(lines, heads) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const text of heads) head.append(line(text, "th"));
  const body = table.createTBody();
  for (const [name, requested, effective, differs, isReading] of lines) {
    const row = body.insertRow();
    row.append(line(name, "th"), line(requested, "td"), line((differs ? "≠ " : "") + effective, "td"));
    row.className = `${differs ? "differs" : ""} ${isReading ? "reading" : ""}`;
  }
  const box = document.createElement("div");
  box.className = "scroll";
  box.append(table);
  return box;
}

for (const holder of document.querySelectorAll(".settings")) {
  const heads = holder.dataset.heads.split("|");
  [...holder.children].forEach((details, index) => {
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) {
        details.append(settingsTable(settingLines[index], heads));
      }
    });
  });
}
