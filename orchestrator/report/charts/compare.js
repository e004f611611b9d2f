"use strict";
// Several runs side by side: their plans on one plane, their stages as bars.

charts.comparedPlans = function (figure, runs, width) {
  const height = width < 560 ? 340 : 430;
  const box = { left: 62, right: width - 20, top: 30, bottom: height - 46 };
  const all = [].concat(...runs.map((r) => r.points.concat(r.bytes && r.kl > 0 ? [[r.bytes, r.kl]] : [])));
  const [low, high] = d3.extent(all, (p) => p[0]);
  const x = (high / low > 6 ? d3.scaleLog() : d3.scaleLinear()).domain([low * 0.96, high * 1.04]).range([box.left, box.right]);
  const y = d3.scaleLog().domain([d3.min(all, (p) => p[1]) / 1.3, d3.max(all, (p) => p[1]) * 1.3]).range([box.bottom, box.top]);
  const colour = d3.scaleOrdinal(d3.schemeTableau10).domain(runs.map((r) => r.name));
  legend(figure, runs.map((r) => ({ name: r.name, colour: colour(r.name) })));
  const svg = frame(figure, width, height);
  gridLines(svg, logTicks(y, 8).map(y), box.left, box.right);
  axis(group(svg, 0, box.bottom), d3.axisBottom(x).ticks(width < 560 ? 4 : 8).tickFormat(bytes));
  axis(group(svg, box.left, 0), d3.axisLeft(y).tickValues(logTicks(y, 8)).tickFormat((v) => number(v)));
  axisTitle(svg, "bytes of the checkpoint", box.right, height - 8, "end");
  axisTitle(svg, "KL to the source, nats", 4, 14);
  for (const run of runs) {
    marks(svg.append("g").selectAll("circle").data(run.points).join("circle").attr("class", "dot").attr("r", 4)
      .attr("cx", (p) => x(p[0])).attr("cy", (p) => y(p[1])).style("fill", colour(run.name)).style("fill-opacity", 0.55),
    (p) => `${run.name}\n${bytes(p[0])}, KL ${number(p[1])} nats`);
  }
  const chosen = runs.filter((r) => r.bytes && r.kl > 0);
  marks(svg.append("g").selectAll("path").data(chosen).join("path").attr("class", "dot")
    .attr("transform", (r) => `translate(${x(r.bytes)},${y(r.kl)})`).style("fill", (r) => colour(r.name))
    .attr("d", d3.symbol().type(d3.symbolDiamond).size(190)()),
  (r) => `${r.name}, chosen\n${bytes(r.bytes)}, KL ${number(r.kl)} nats`);
  labelPoints(svg, chosen.map((r) => ({ x: x(r.bytes), y: y(r.kl), text: r.name })),
    all.map((p) => ({ x: x(p[0]), y: y(p[1]) })), box);
};

charts.comparedTimes = function (figure, runs, width) {
  const row = 34;
  const longest = d3.max(runs, (r) => r.name.length);
  const box = { left: Math.min(width / 3, 12 + 7 * longest), right: width - 26, top: 8, bottom: 8 + row * runs.length };
  const stages = Array.from(new Set([].concat(...runs.map((r) => r.stages.map((s) => s[0])))));
  const colour = d3.scaleOrdinal(d3.schemeTableau10).domain(stages);
  const x = d3.scaleLinear().domain([0, d3.max(runs, (r) => d3.sum(r.stages, (s) => s[1])) || 1]).range([box.left, box.right]);
  legend(figure, stages.map((s) => ({ name: s, colour: colour(s) })));
  const svg = frame(figure, width, box.bottom + 34);
  timeAxis(group(svg, 0, box.bottom), x, width < 560 ? 4 : 9);
  const bars = [].concat(...runs.map((run, i) => {
    let at = 0;
    return run.stages.map(([name, seconds]) => ({ run: run.name, i, name, from: at, to: (at += seconds) }));
  }));
  svg.append("g").attr("class", "axis").selectAll("text").data(runs).join("text").attr("x", box.left - 8)
    .attr("y", (r, i) => box.top + row * i + row / 2 + 4).attr("text-anchor", "end").text((r) => r.name);
  marks(svg.append("g").selectAll("rect").data(bars).join("rect").attr("class", "span").style("fill", (b) => colour(b.name))
    .attr("x", (b) => x(b.from)).attr("width", (b) => Math.max(0.5, x(b.to) - x(b.from) - 0.5))
    .attr("y", (b) => box.top + row * b.i + 5).attr("height", row - 10),
  (b) => `${b.run}, ${b.name}\n${duration(b.to - b.from)}`);
};
