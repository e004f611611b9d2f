"use strict";
// What all charts share: the frame, axes, marks that the pointer and the keyboard can reach.

const page = JSON.parse(document.getElementById("data").textContent);
const charts = {};  // draws a figure: (figure, data, width)

const tip = document.body.appendChild(document.createElement("div"));
tip.className = "tip";
tip.setAttribute("role", "status");

function number(value, digits = 3) {
  if (value === null || value === undefined || !isFinite(value)) return "–";
  const size = Math.abs(value);
  if (value === 0) return "0";
  return size >= 1e-4 && size < 1e5 ? String(Number(value.toPrecision(digits)))
    : Number(value.toPrecision(digits)).toExponential();
}

function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < 4) { value /= 1000; ++unit; }
  return `${number(value)} ${units[unit]}`;
}

function duration(seconds) {
  if (seconds < 60) return `${number(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor(whole % 3600 / 60)).padStart(2, "0")} min`;
}

function showTip(mark) {
  d3.selectAll(".mark.current").classed("current", false);
  if (!mark) { tip.style.display = "none"; return; }
  d3.select(mark).classed("current", true);
  tip.textContent = mark.words;
  tip.style.display = "block";
  const box = mark.getBoundingClientRect();
  const x = Math.min(box.right + 10, window.innerWidth - tip.offsetWidth - 8);
  const above = box.top - tip.offsetHeight - 8;
  tip.style.left = `${Math.max(8, x)}px`;
  tip.style.top = `${above > 8 ? above : box.bottom + 8}px`;
}

// Things that say something when they are pointed at; `words` makes plain text of their datum.
function marks(selection, words) {
  return selection.attr("class", function () { return `mark ${this.getAttribute("class") || ""}`.trim(); })
    .each(function (d) { this.words = words(d); })
    .on("pointerenter", function () { showTip(this); })
    .on("pointerleave", () => showTip(null));
}

// An svg that takes the keyboard: arrow keys go from mark to mark, Home and End to the ends.
function frame(figure, width, height, into = figure) {
  const svg = d3.select(into).append("svg")
    .attr("viewBox", [0, 0, width, height]).attr("width", width).attr("height", height)
    .attr("tabindex", 0).attr("role", "group")
    .attr("aria-label", `${figure.querySelector("figcaption").textContent}. Arrow keys go from mark to mark.`);
  svg.on("keydown", function () {
    const all = Array.from(this.querySelectorAll(".mark"));
    const at = all.findIndex((m) => m.classList.contains("current"));
    const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at < 0 ? -1 : at - 1, ArrowUp: at < 0 ? -1 : at - 1,
                    Home: 0, End: all.length - 1 };
    const key = d3.event.key;
    if (key === "Escape") showTip(null);
    if (!(key in steps) || all.length === 0) return;
    d3.event.preventDefault();
    showTip(all[(steps[key] + all.length) % all.length]);
  }).on("blur", () => showTip(null));
  return svg;
}

function group(svg, x, y) { return svg.append("g").attr("transform", `translate(${x},${y})`); }

function axis(g, generator) { return g.attr("class", "axis").call(generator.tickSizeOuter(0)); }

function axisTitle(svg, text, x, y, anchor = "start") {
  svg.append("text").attr("class", "axis-title").attr("x", x).attr("y", y).attr("text-anchor", anchor).text(text);
}

function gridLines(svg, positions, x1, x2) {
  svg.append("g").attr("class", "grid").selectAll("line").data(positions).join("line")
    .attr("x1", x1).attr("x2", x2).attr("y1", (y) => y).attr("y2", (y) => y);
}

// Names with a sample of their colour or shape, as HTML, so that they wrap.
function legend(figure, entries) {
  const list = d3.select(figure).append("ul").attr("class", "legend");
  const item = list.selectAll("li").data(entries).join("li");
  item.append("span").attr("class", (d) => `key ${d.shape || ""}`).style("background", (d) => d.colour);
  item.append("span").text((d) => d.name);
}

// An axis of seconds from 0, at whole minutes, hours, days.
function timeAxis(g, scale, most) {
  const units = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const longest = scale.domain()[1];
  const step = longest < most ? longest / 4 : units.find((u) => longest / u <= most) || 86400 * Math.ceil(longest / 86400 / most);
  const short = (s) => duration(s).replace(/ 00 (s|min)$/, "");
  return axis(g, d3.axisBottom(scale).tickValues(d3.range(0, longest * 1.0001, step)).tickFormat(short));
}

// Ticks of a logarithmic scale that are far enough apart to be read.
function logTicks(scale, most) {
  const wanted = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]];
  const [low, high] = d3.extent(scale.domain());
  let best = [low, high];
  for (const digits of wanted) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); ++power) {
      for (const digit of digits) {
        const tick = digit * 10 ** power;
        if (tick >= low * 0.999999 && tick <= high * 1.000001) ticks.push(tick);
      }
    }
    if (ticks.length > most) break;
    best = ticks;
  }
  return best;
}
