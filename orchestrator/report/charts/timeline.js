"use strict";
// What the ranks did: a row a rank, time to the right, a colour a stage; a line where the run began again, a cross where a
// task came to no end.

charts.timeline = function (figure, data, width) {
  const n = data.ranks;
  const row = n > 96 ? 5 : n > 32 ? 9 : n > 8 ? 16 : 24;
  const box = { left: 56, right: width - 24, top: 24, bottom: 24 + row * n };
  const height = box.bottom + 36;
  const x = d3.scaleLinear().domain([0, data.seconds || 1]).range([box.left, box.right]);
  const colour = d3.scaleOrdinal(d3.schemeTableau10).domain(data.stages);
  const unfinished = data.spans.filter((s) => s[6]);
  legend(figure, data.stages.map((s) => ({ name: s, colour: colour(s) }))
    .concat(unfinished.length ? [{ name: "× came to no end", colour: "var(--budget)", shape: "line" }] : []));
  const svg = frame(figure, width, height);
  svg.append("rect").attr("class", "idle").attr("x", box.left).attr("y", box.top).attr("width", box.right - box.left).attr("height", row * n);
  timeAxis(group(svg, 0, box.bottom), x, width < 560 ? 4 : 9);
  const every = Math.ceil(14 / row);
  svg.append("g").attr("class", "axis").selectAll("text").data(d3.range(0, n, every)).join("text")
    .attr("x", box.left - 6).attr("y", (r) => box.top + row * r + Math.min(row, 14) - (row > 14 ? -2 : 1)).attr("text-anchor", "end").text((r) => `rank ${r}`);
  const gap = row > 8 ? 1.5 : 0.5;
  marks(svg.append("g").selectAll("rect").data(data.spans).join("rect").attr("class", (s) => s[6] ? "span unfinished" : "span")
    .style("fill", (s) => colour(data.stages[s[1]]))
    .attr("x", (s) => x(s[2])).attr("width", (s) => Math.max(0.7, x(s[3]) - x(s[2]) - 0.4))
    .attr("y", (s) => box.top + row * s[0] + gap / 2).attr("height", row - gap),
  (s) => `rank ${s[0]}, ${data.stages[s[1]]}\n${s[4] === 1 ? s[5] : `${s[4]} tasks, the longest ${s[5]}`}\n` +
    `${duration(s[2])} to ${duration(s[3])}: ${duration(s[3] - s[2])}${s[6] ? `\ncame to no end: ${s[6]}` : ""}`);
  const arm = Math.max(2.5, Math.min(5, row / 3));
  svg.append("g").selectAll("path").data(unfinished).join("path").attr("class", "cross")
    .attr("d", `M${-arm},${-arm}L${arm},${arm}M${-arm},${arm}L${arm},${-arm}`)
    .attr("transform", (s) => `translate(${Math.max(box.left + arm, x(s[3]) - arm)},${box.top + row * (s[0] + 0.5)})`);
  const again = data.starts.slice(1);
  svg.append("g").selectAll("line").data(again).join("line").attr("class", "restart")
    .attr("x1", (s) => x(s.at)).attr("x2", (s) => x(s.at)).attr("y1", box.top - 8).attr("y2", box.bottom + 4);
  svg.append("g").attr("class", "labels").selectAll("text").data(again).join("text")
    .attr("x", (s) => x(s.at) + (x(s.at) > width - 190 ? -4 : 4)).attr("y", 14)
    .attr("text-anchor", (s) => x(s.at) > width - 190 ? "end" : "start").text((s) => `begun again after ${s.pause}`);
};
