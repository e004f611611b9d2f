"use strict";
// The plan: a column a block, a row a kind of unit, what stands outside of the blocks below.

charts.heatMap = function (figure, units, width) {
  const measures = [["bits", "bits a weight"], ["error", "relative error"], ["score", "score"]]
    .filter(([key]) => units.some((u) => u[key] !== null));
  let measure = figure.measure || (measures.length ? measures[0][0] : "bits");
  if (measures.length > 1) {
    const choice = d3.select(figure).append("div").attr("class", "choice").attr("role", "radiogroup").attr("aria-label", "Colour by");
    choice.append("span").text("Colour by");
    choice.selectAll("button").data(measures).join("button").attr("type", "button").attr("role", "radio")
      .attr("aria-checked", ([key]) => key === measure).text(([, name]) => name)
      .on("click", function ([key]) { figure.measure = key; draw(figure); });
  }
  drawCells(figure, units, width, measure, (measures.find(([key]) => key === measure) || ["", ""])[1]);
};

function drawCells(figure, units, width, measure, title) {
  const inBlocks = units.filter((u) => u.block !== null);
  const outside = units.filter((u) => u.block === null);
  const kinds = Array.from(new Set(inBlocks.map((u) => u.kind)));
  const columns = (d3.max(inBlocks, (u) => u.block) || 0) + 1;
  const left = 16 + 7 * d3.max(units, (u) => u.kind.length);
  const cell = Math.max(9, Math.min(76, (width - left - 4) / columns));
  const row = 30;
  const whole = Math.max(width, left + cell * columns + 4);
  const height = 26 + row * kinds.length + (outside.length ? 14 + row * outside.length : 0) + 4;
  const values = units.map((u) => u[measure]).filter((v) => v !== null && isFinite(v));
  const positive = values.filter((v) => v > 0);
  const [low, high] = d3.extent(measure === "bits" ? values : positive);
  const place = (measure === "bits" || !(low > 0) ? d3.scaleLinear() : d3.scaleLog()).domain(low < high ? [low, high] : [low * 0.9, low * 1.1]).clamp(true);
  const colour = (v) => v === null ? "var(--empty)" : d3.interpolateViridis(place(Math.max(v, low)));
  const ink = (v) => v !== null && d3.lab(d3.interpolateViridis(place(Math.max(v, low)))).l > 58 ? "#111" : "#fff";
  if (values.length) colourScale(figure, place, title, low, high);
  const svg = frame(figure, whole, height, d3.select(figure).append("div").attr("class", "scroll").node());
  const every = Math.ceil(22 / cell);
  svg.append("g").attr("class", "axis").selectAll("text").data(d3.range(0, columns, every)).join("text")
    .attr("x", (b) => left + cell * (b + 0.5)).attr("y", 16).attr("text-anchor", "middle").text((b) => b);
  const rowOf = (u) => u.block !== null ? 24 + row * kinds.indexOf(u.kind) : 24 + row * kinds.length + 14 + row * outside.indexOf(u);
  const names = kinds.map((k, i) => ({ kind: k, y: 24 + row * i })).concat(outside.map((u) => ({ kind: u.kind, y: rowOf(u) })));
  svg.append("g").attr("class", "axis").selectAll("text").data(names).join("text")
    .attr("x", left - 8).attr("y", (n) => n.y + row / 2 + 4).attr("text-anchor", "end").text((n) => n.kind);
  const columnsOf = (u) => u.block === null ? Math.min(columns, Math.max(1, Math.ceil(76 / cell))) : 1;
  const cells = svg.append("g").selectAll("rect").data(inBlocks.concat(outside)).join("rect").attr("class", "cell")
    .attr("x", (u) => left + cell * (u.block || 0)).attr("y", rowOf)
    .attr("width", (u) => cell * columnsOf(u) - 1.5).attr("height", row - 1.5).attr("rx", 2)
    .style("fill", (u) => colour(u[measure]));
  marks(cells, (u) => `${u.block === null ? u.kind : `block ${u.block}, ${u.kind}`}\n${u.setting}\n${bytes(u.bytes)}` +
    `, ${number(u.bits, 4)} bits a weight\nrelative error ${number(u.error)}${u.score === null ? "" : `, score ${number(u.score)}`}`);
  svg.append("g").attr("class", "cell-text").selectAll("text")
    .data(units.filter((u) => u[measure] !== null && cell * columnsOf(u) >= (measure === "bits" ? 36 : 52))).join("text")
    .attr("x", (u) => left + cell * (u.block || 0) + cell * columnsOf(u) / 2 - 1).attr("y", (u) => rowOf(u) + row / 2 + 4)
    .attr("text-anchor", "middle").style("fill", (u) => ink(u[measure]))
    .text((u) => measure === "bits" ? u.bits.toFixed(2) : number(u[measure], 2));
}

function colourScale(figure, place, title, low, high) {
  const bar = d3.select(figure).append("div").attr("class", "scale");
  bar.append("span").text(number(low));
  bar.append("span").attr("class", "ramp").style("background",
    `linear-gradient(to right, ${d3.range(0, 1.01, 0.1).map(d3.interpolateViridis).join(",")})`);
  bar.append("span").text(`${number(high)} ${title}`);
}
