"use strict";
// Histograms over the windows of a text: KL, and differences of the same window under two models.

charts.windows = function (figure, data, width) {
  const panels = [{ title: `KL to the source, nats a ${data.unit}`, zero: false,
                    series: [{ name: "compressed", colour: "var(--chosen)", values: data.kl },
                             { name: "best uniform plan", colour: "var(--uniform)", values: data.uniform }] },
                  { title: `−log p: compressed less source, nats a ${data.unit}`, zero: true,
                    series: [{ name: "", colour: "var(--chosen)", values: data.toSource }] },
                  { title: `KL: compressed less uniform, nats a ${data.unit}`, zero: true,
                    series: [{ name: "", colour: "var(--mixed)", values: data.toUniform }] }]
    .map((p) => ({ ...p, series: p.series.filter((s) => s.values.length > 0) })).filter((p) => p.series.length > 0);
  const across = Math.max(1, Math.min(panels.length, Math.floor(width / 320)));
  const gap = 18;
  const w = (width - gap * (across - 1)) / across;
  const h = 220;
  if (data.uniform.length) legend(figure, panels[0].series);
  const svg = frame(figure, width, h * Math.ceil(panels.length / across));
  panels.forEach((panel, i) => histogram(group(svg, (i % across) * (w + gap), Math.floor(i / across) * h), panel, w, h, data.unit));
};

function histogram(svg, panel, w, h, unit) {
  const box = { left: 34, right: w - 18, top: 32, bottom: h - 30 };
  const all = [].concat(...panel.series.map((s) => s.values));
  let [low, high] = d3.extent(all);
  if (panel.zero) { low = Math.min(low, 0); high = Math.max(high, 0); }
  if (low === high) { low -= 0.5 * Math.abs(low) || 0.5; high += 0.5 * Math.abs(high) || 0.5; }
  const x = d3.scaleLinear().domain([low, high]).nice().range([box.left, box.right]);
  const count = Math.max(6, Math.min(32, Math.ceil(2 * Math.cbrt(panel.series[0].values.length)) * 2));
  const thresholds = d3.range(1, count).map((i) => x.domain()[0] + (x.domain()[1] - x.domain()[0]) * i / count);
  const bins = panel.series.map((s) => d3.histogram().domain(x.domain()).thresholds(thresholds)(s.values));
  const y = d3.scaleLinear().domain([0, d3.max(bins, (b) => d3.max(b, (bin) => bin.length))]).nice().range([box.bottom, box.top]);
  svg.append("text").attr("class", "panel-title").attr("x", 4).attr("y", 14).text(panel.title);
  gridLines(svg, y.ticks(4).map(y), box.left, box.right);
  axis(group(svg, 0, box.bottom), d3.axisBottom(x).ticks(w < 300 ? 4 : 6).tickFormat((v) => number(v)));
  axis(group(svg, box.left, 0), d3.axisLeft(y).ticks(4, "d"));
  panel.series.forEach((series, s) => {
    const filled = bins[s].filter((bin) => bin.length > 0);
    marks(svg.append("g").selectAll("rect").data(filled).join("rect").attr("class", "bar").style("fill", series.colour)
      .attr("x", (b) => x(b.x0) + 0.5).attr("width", (b) => Math.max(1, x(b.x1) - x(b.x0) - 1))
      .attr("y", (b) => y(b.length)).attr("height", (b) => box.bottom - y(b.length)),
    (b) => `${series.name ? series.name + ": " : ""}${b.length} of ${series.values.length} ${unit === "token" ? "windows" : "texts"}\n${number(b.x0)} to ${number(b.x1)}`);
    const mean = x(d3.mean(series.values));
    svg.append("line").attr("class", "mean").style("stroke", series.colour).attr("x1", mean).attr("x2", mean).attr("y1", box.top - 6).attr("y2", box.bottom);
  });
  if (panel.zero) {
    svg.append("line").attr("class", "zero").attr("x1", x(0)).attr("x2", x(0)).attr("y1", box.top - 6).attr("y2", box.bottom);
  }
}
