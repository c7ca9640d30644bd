// Draws arrows, rings and crosses in canvas pixels; line widths are relative to `side`, the width of the canvas.

const ACCENT = "#ff4020";

function stroked(context, side, path) {
  for (const [color, width] of [["rgb(255 255 255 / 85%)", 0.014], [ACCENT, 0.008]]) {
    context.strokeStyle = color;
    context.lineWidth = width * side;
    context.beginPath();
    path();
    context.stroke();
  }
}

export function ring(context, x, y, side) {
  stroked(context, side, () => context.arc(x, y, 0.018 * side, 0, 2 * Math.PI));
}

export function cross(context, x, y, side) {
  const reach = 0.03 * side;
  stroked(context, side, () => {
    context.moveTo(x - reach, y);
    context.lineTo(x + reach, y);
    context.moveTo(x, y - reach);
    context.lineTo(x, y + reach);
  });
}

export function arrow(context, x0, y0, x1, y1, side) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  const [ux, uy] = length ? [(x1 - x0) / length, (y1 - y0) / length] : [1, 0];
  const head = Math.min(0.045 * side, 0.6 * length);
  const neck = [x1 - ux * head, y1 - uy * head];
  const wing = 0.5 * head;
  context.lineCap = context.lineJoin = "round";
  stroked(context, side, () => {
    context.moveTo(x0, y0);
    context.lineTo(...neck);
    context.lineTo(neck[0] - uy * wing, neck[1] + ux * wing);
    context.lineTo(x1, y1);
    context.lineTo(neck[0] + uy * wing, neck[1] - ux * wing);
    context.lineTo(...neck);
  });
  context.fillStyle = ACCENT;
  context.beginPath();
  context.moveTo(neck[0] - uy * wing, neck[1] + ux * wing);
  context.lineTo(x1, y1);
  context.lineTo(neck[0] + uy * wing, neck[1] - ux * wing);
  context.fill();
  context.beginPath();
  context.arc(x0, y0, 0.012 * side, 0, 2 * Math.PI);
  context.fill();
}
