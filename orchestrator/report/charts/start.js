"use strict";
// Draws every figure of the page, again when its width changes, and opens what is closed for print.

function draw(figure) {
  for (const old of Array.from(figure.children)) {
    if (old.tagName !== "FIGCAPTION") old.remove();
  }
  const style = getComputedStyle(figure);
  const inside = figure.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  charts[figure.dataset.chart](figure, page[figure.dataset.key], Math.max(260, Math.floor(inside)));
}

const figures = Array.from(document.querySelectorAll("figure.chart"));
let drawnAt = document.body.clientWidth;
figures.forEach(draw);
window.addEventListener("resize", () => {
  if (document.body.clientWidth === drawnAt) return;
  drawnAt = document.body.clientWidth;
  figures.forEach(draw);
});
window.addEventListener("scroll", () => showTip(null), { passive: true });
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
