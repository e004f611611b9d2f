"use strict";
// What evolution found generation by generation, and how well scores foretold what was measured.

charts.generations = function (figure, data, width) {
  const height = 240;
  const box = { left: 62, right: width - 16, top: 26, bottom: height - 42 };
  const x = d3.scaleLinear().domain([0, Math.max(1, d3.max(data, (g) => g.generation))]).range([box.left, box.right]);
  const [low, high] = d3.extent(data, (g) => g.kl);
  const y = d3.scaleLinear().domain(low < high ? [low - (high - low) * 0.1, high + (high - low) * 0.1] : [low * 0.9, low * 1.1])
    .range([box.bottom, box.top]);
  const svg = frame(figure, width, height);
  gridLines(svg, y.ticks(5).map(y), box.left, box.right);
  const steps = x.ticks(Math.min(10, x.domain()[1])).filter(Number.isInteger);
  axis(group(svg, 0, box.bottom), d3.axisBottom(x).tickValues(steps).tickFormat(d3.format("d")));
  axis(group(svg, box.left, 0), d3.axisLeft(y).ticks(5).tickFormat((v) => number(v, 4)));
  axisTitle(svg, "generation", box.right, height - 8, "end");
  axisTitle(svg, "least KL, nats", 4, 14);
  svg.append("path").attr("class", "front").attr("d", d3.line().curve(d3.curveStepAfter).x((g) => x(g.generation)).y((g) => y(g.kl))(data));
  marks(svg.append("g").selectAll("circle").data(data).join("circle").attr("class", "mixed").attr("r", 4.5)
    .attr("cx", (g) => x(g.generation)).attr("cy", (g) => y(g.kl)),
  (g) => `generation ${g.generation}\nleast KL ${number(g.kl, 4)} nats\n${g.screened} variants screened, ${g.measured} plans measured`);
};

charts.foretold = function (figure, scores, width) {
  const across = Math.max(1, Math.min(scores.length, Math.floor(width / 300)));
  const gap = 16;
  const w = (width - gap * (across - 1)) / across;
  const h = 270;
  legend(figure, [{ name: "mixed plan", colour: "var(--mixed)", shape: "round" }, { name: "uniform plan", colour: "var(--uniform)" }]);
  const svg = frame(figure, width, h * Math.ceil(scores.length / across));
  scores.forEach((score, i) => {
    const panel = group(svg, (i % across) * (w + gap), Math.floor(i / across) * h);
    const box = { left: 58, right: w - 8, top: 44, bottom: h - 42 };
    const scale = (key, range) => {
      const values = score.points.map((p) => p[key]).filter((v) => v > 0);
      const [low, high] = values.length ? d3.extent(values) : [0.1, 1];
      return d3.scaleLog().domain([low / 1.3, high * 1.3]).range(range).clamp(true);
    };
    const x = scale("predicted", [box.left, box.right]);
    const y = scale("kl", [box.bottom, box.top]);
    panel.append("text").attr("class", "panel-title").attr("x", 4).attr("y", 14)
      .text(`${score.score}${score.correlation === null ? "" : `: rank correlation ${number(score.correlation)}`}`);
    gridLines(panel, logTicks(y, 6).map(y), box.left, box.right);
    axis(group(panel, 0, box.bottom), d3.axisBottom(x).tickValues(logTicks(x, 4)).tickFormat((v) => number(v)));
    axis(group(panel, box.left, 0), d3.axisLeft(y).tickValues(logTicks(y, 6)).tickFormat((v) => number(v)));
    axisTitle(panel, "sum of scores", box.right, h - 8, "end");
    axisTitle(panel, "KL measured", 4, 34);
    marks(panel.append("g").selectAll("path").data(score.points).join("path")
      .attr("class", (p) => p.uniform ? "uniform" : "mixed")
      .attr("transform", (p) => `translate(${x(Math.max(p.predicted, x.domain()[0]))},${y(Math.max(p.kl, y.domain()[0]))})`)
      .attr("d", (p) => d3.symbol().type(p.uniform ? d3.symbolSquare : d3.symbolCircle).size(56)()),
    (p) => `${p.label}\nforetold ${number(p.predicted)}, measured ${number(p.kl)} nats`);
  });
};
