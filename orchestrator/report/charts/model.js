"use strict";
// What a run found out about the model: spectra of the residual stream, energy of neurons.

charts.spectra = function (figure, lines, width) {
  const height = 380;
  const box = { left: 66, right: width - 16, top: 26, bottom: height - 44 };
  const all = [].concat(...lines.map((l) => l.points));
  const [low, high] = d3.extent(all, (p) => p[1]);
  const x = d3.scaleLog().domain([1, d3.max(lines, (l) => l.size)]).range([box.left, box.right]);
  const y = d3.scaleLog().domain([low / 1.5, high * 1.5]).range([box.bottom, box.top]);
  const colour = (i) => d3.interpolateViridis(lines.length > 1 ? 0.05 + 0.85 * i / (lines.length - 1) : 0.4);
  legend(figure, lines.length > 1 ? [{ name: `first: ${lines[0].place}`, colour: colour(0), shape: "line" },
    { name: `last: ${lines[lines.length - 1].place}`, colour: colour(lines.length - 1), shape: "line" }] : []);
  const svg = frame(figure, width, height);
  gridLines(svg, logTicks(y, 8).map(y), box.left, box.right);
  axis(group(svg, 0, box.bottom), d3.axisBottom(x).tickValues(logTicks(x, width < 560 ? 5 : 9)).tickFormat((v) => number(v)));
  axis(group(svg, box.left, 0), d3.axisLeft(y).tickValues(logTicks(y, 8)).tickFormat((v) => number(v)));
  axisTitle(svg, "rank of the eigenvalue", box.right, height - 8, "end");
  axisTitle(svg, "share of the energy", 4, 14);
  const path = d3.line().x((p) => x(p[0])).y((p) => y(p[1]));
  marks(svg.append("g").selectAll("path").data(lines).join("path").attr("class", "curve").style("stroke", (l, i) => colour(i))
    .attr("d", (l) => path(l.points)),
  (l) => `${l.place}\n${l.width > 0 ? `cut to ${l.width} of ${l.size}` : `${l.size} values`}`);
  const cut = lines.map((l, i) => ({ ...l, i })).filter((l) => l.width > 0);
  const at = (l) => l.points.reduce((best, p) => Math.abs(p[0] - l.width) < Math.abs(best[0] - l.width) ? p : best, l.points[0]);
  svg.append("g").selectAll("circle").data(cut).join("circle").attr("class", "dot").attr("r", 4)
    .attr("cx", (l) => x(l.width)).attr("cy", (l) => y(at(l)[1])).style("fill", (l) => colour(l.i));
};

charts.neurons = function (figure, data, width) {
  const height = 280;
  const box = { left: 54, right: width - 16, top: 26, bottom: height - 44 };
  const x = d3.scaleLinear().domain([0, Math.max(1, d3.max(data.layers, (l) => l.block))]).range([box.left, box.right]);
  const y = d3.scaleLinear().domain([0, 1]).range([box.bottom, box.top]);
  const colour = (i) => d3.interpolateViridis(0.1 + 0.75 * i / (data.percents.length - 1));
  legend(figure, data.percents.map((p, i) => ({ name: `top ${p} %`, colour: colour(i), shape: "line" })));
  const svg = frame(figure, width, height);
  gridLines(svg, y.ticks(5).map(y), box.left, box.right);
  const steps = x.ticks(Math.min(12, x.domain()[1])).filter(Number.isInteger);
  axis(group(svg, 0, box.bottom), d3.axisBottom(x).tickValues(steps).tickFormat(d3.format("d")));
  axis(group(svg, box.left, 0), d3.axisLeft(y).ticks(5, "%"));
  axisTitle(svg, "block", box.right, height - 8, "end");
  axisTitle(svg, "share of the energy", 4, 14);
  data.percents.forEach((percent, i) => {
    svg.append("path").attr("class", "curve").style("stroke", colour(i))
      .attr("d", d3.line().x((l) => x(l.block)).y((l) => y(l.shares[i]))(data.layers));
    marks(svg.append("g").selectAll("circle").data(data.layers).join("circle").attr("class", "dot").attr("r", 3.5).style("fill", colour(i))
      .attr("cx", (l) => x(l.block)).attr("cy", (l) => y(l.shares[i])),
    (l) => `block ${l.block}: top ${percent} % of the neurons\nhold ${number(100 * l.shares[i])} % of the energy`);
  });
};
