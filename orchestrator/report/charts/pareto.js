"use strict";
// Bytes against divergence: every plan that was measured, the best of their size, the budgets.

charts.pareto = function (figure, data, width) {
  const narrow = width < 560;
  const height = narrow ? 360 : 460;
  const box = { left: 62, right: width - (narrow ? 14 : 26), top: 44, bottom: height - 48 };
  const positive = data.plans.filter((p) => p.kl > 0);
  const least = d3.min(positive, (p) => p.kl) || 1e-6;
  const shown = (p) => Math.max(p.kl, least / 2);
  const all = data.plans.map((p) => p.bytes).concat(data.budgets.map((b) => b.bytes));
  const [low, high] = d3.extent(all);
  const x = (high / low > 6 ? d3.scaleLog() : d3.scaleLinear())
    .domain([low - (high - low) * 0.06 || low * 0.9, high + (high - low) * 0.05 || high * 1.1]).range([box.left, box.right]);
  const y = d3.scaleLog().domain([d3.min(data.plans, (p) => Math.max(least / 2, shown(p) - p.error)) / 1.25,
                                  d3.max(data.plans, (p) => shown(p) + p.error) * 1.25]).range([box.bottom, box.top]);
  legend(figure, [
    { name: "chosen", colour: "var(--chosen)", shape: "diamond" }, { name: "mixed plan", colour: "var(--mixed)", shape: "round" },
    { name: "uniform plan", colour: "var(--uniform)" }, { name: "best of its size", colour: "var(--front)", shape: "line" },
    ...(data.budgets.length ? [{ name: "budget", colour: "var(--budget)", shape: "line" }] : [])]);
  const svg = frame(figure, width, height);
  const yTicks = logTicks(y, 8);
  gridLines(svg, yTicks.map(y), box.left, box.right);
  axis(group(svg, 0, box.bottom), d3.axisBottom(x).ticks(narrow ? 4 : 8).tickFormat(bytes));
  axis(group(svg, box.left, 0), d3.axisLeft(y).tickValues(yTicks).tickFormat((v) => number(v)));
  axisTitle(svg, "bytes of the checkpoint", box.right, height - 8, "end");
  axisTitle(svg, "KL to the source, nats", 4, narrow ? 14 : 14);
  if (data.source > 0) {
    const ratios = [1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 16, 20, 32].filter((r) => {
      const at = x(data.source / r);
      return at > box.left && at < box.right;
    }).filter((r, i, kept) => i === 0 || !narrow || i % 2 === 0);
    axis(group(svg, 0, box.top - 8), d3.axisTop(x).tickValues(ratios.map((r) => data.source / r))
      .tickFormat((v) => `${number(data.source / v)}×`));
    axisTitle(svg, "smaller by", box.right, 14, "end");
  }
  for (const budget of data.budgets) {
    svg.append("line").attr("class", "budget").attr("x1", x(budget.bytes)).attr("x2", x(budget.bytes))
      .attr("y1", box.top - 8).attr("y2", box.bottom);
  }
  const front = data.plans.filter((p) => p.front).sort((a, b) => a.bytes - b.bytes);
  svg.append("path").attr("class", "front").attr("d", d3.line().curve(d3.curveStepAfter)
    .x((p) => x(p.bytes)).y((p) => y(shown(p)))(front));
  svg.append("g").selectAll("line").data(data.plans.filter((p) => p.error > 0)).join("line").attr("class", "error")
    .attr("x1", (p) => x(p.bytes)).attr("x2", (p) => x(p.bytes))
    .attr("y1", (p) => y(Math.max(least / 4, shown(p) - p.error))).attr("y2", (p) => y(shown(p) + p.error));
  const budgets = svg.append("g").attr("class", "labels").selectAll("text").data(data.budgets).join("text").attr("class", "of-budget")
    .attr("x", (b) => x(b.bytes) - 5).attr("y", box.top + 10).attr("text-anchor", "end").text((b) => `budget ${b.name}`);
  const shape = (p) => p.chosen ? d3.symbolDiamond : p.uniform ? d3.symbolSquare : d3.symbolCircle;
  const ordered = data.plans.slice().sort((a, b) => a.chosen - b.chosen || a.bytes - b.bytes);
  const points = svg.append("g").selectAll("path").data(ordered).join("path")
    .attr("class", (p) => p.chosen ? "chosen" : p.uniform ? "uniform" : "mixed")
    .attr("transform", (p) => `translate(${x(p.bytes)},${y(shown(p))})`)
    .attr("d", (p) => d3.symbol().type(shape(p)).size(p.chosen ? 190 : 62)());
  marks(points, (p) => `${p.label}${p.chosen ? " (chosen)" : ""}\n${bytes(p.bytes)}` +
    (data.source > 0 ? `, ${number(data.source / p.bytes, 4)}× smaller` : "") +
    `\nKL ${number(p.kl)}${p.error > 0 ? ` ± ${number(p.error, 2)}` : ""} nats`);
  const taken = stepsOf(front.map((p) => [x(p.bytes), y(shown(p))]))
    .concat(data.budgets.map((b) => ({ x1: x(b.bytes) - 2, x2: x(b.bytes) + 2, y1: box.top, y2: box.bottom })))
    .concat(data.plans.filter((p) => p.error > 0).map((p) => ({ x1: x(p.bytes) - 1, x2: x(p.bytes) + 1,
      y1: y(shown(p) + p.error), y2: y(Math.max(least / 4, shown(p) - p.error)) })))
    .concat(boxesOf(budgets));
  labelPoints(svg, ordered.filter((p) => p.chosen || p.front || p.uniform)
    .sort((a, b) => b.chosen - a.chosen || b.front - a.front)
    .map((p) => ({ x: x(p.bytes), y: y(shown(p)), text: p.chosen ? `${p.label} (chosen)` : p.label, strong: p.chosen })),
  ordered.map((p) => ({ x: x(p.bytes), y: y(shown(p)) })), box, taken);
};

// What texts take up.
function boxesOf(texts) {
  return texts.nodes().map((node) => node.getBBox()).map((b) => ({ x1: b.x, x2: b.x + b.width, y1: b.y, y2: b.y + b.height }));
}

// The boxes of a line that goes right, then down.
function stepsOf(points) {
  return [].concat(...points.slice(1).map(([x2, y2], i) => [
    { x1: points[i][0], x2, y1: points[i][1] - 1, y2: points[i][1] + 1 }, { x1: x2 - 1, x2: x2 + 1, y1: points[i][1], y2 }]));
}

// Beside their points, where nothing is in the way; those for which there is no room are left out.
function labelPoints(svg, labels, points, box, lines = []) {
  const taken = points.map((p) => ({ x1: p.x - 6, x2: p.x + 6, y1: p.y - 6, y2: p.y + 6 })).concat(lines);
  const layer = svg.append("g").attr("class", "labels");
  for (const label of labels) {
    const text = layer.append("text").attr("class", label.strong ? "strong" : null).text(label.text);
    const w = text.node().getComputedTextLength();
    const places = [[11, 4], [-w - 11, 4], [-w / 2, -13], [-w / 2, 22], [11, -10], [11, 17], [-w - 11, -10], [-w - 11, 17]];
    const free = places.map(([dx, dy]) => ({ x: label.x + dx, y: label.y + dy })).find(({ x, y }) => {
      const mine = { x1: x, x2: x + w, y1: y - 10, y2: y + 3 };
      return mine.x1 > box.left && mine.x2 < box.right && mine.y1 > box.top && mine.y2 < box.bottom &&
        taken.every((t) => t.x1 > mine.x2 || t.x2 < mine.x1 || t.y1 > mine.y2 || t.y2 < mine.y1);
    });
    if (!free) { text.remove(); continue; }
    text.attr("x", free.x).attr("y", free.y);
    taken.push({ x1: free.x, x2: free.x + w, y1: free.y - 10, y2: free.y + 3 });
  }
}
