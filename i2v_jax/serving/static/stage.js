// The large picture: draws frames and arrows, and turns drags and keys into pokes in pixels of the model's frames.

import { arrow, cross, ring } from "./drawing.js";

export class Stage {
  // `onPoke({x, y, dx, dy})` is called at release, `onStart()` before a press, `onShort()` if a drag is too short.
  constructor(canvas, { onPoke, onStart, onShort }) {
    this.canvas = canvas;
    this.size = 1;
    this.enabled = false;
    this.bitmap = null;
    this.marks = []; // arrows of the shown frame
    this.targets = []; // rings of the shown frame
    this.press = null; // {x, y, tipX, tipY} while an arrow is drawn
    this.cursor = null; // {x, y} of the keyboard
    Object.assign(this, { onPoke, onStart, onShort });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.abandon());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => { this.cursor = null; this.abandon(); });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(bitmap, marks = [], targets = []) {
    Object.assign(this, { bitmap, marks, targets });
    this.draw();
  }

  // Pixel (x, y) has its center at (x, y), so the left edge of the picture is at -0.5.
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.size - 0.5,
      y: ((event.clientY - box.top) / box.height) * this.size - 0.5,
    };
  }

  inside(value) {
    return Math.min(Math.max(value, -0.5), this.size - 0.51);
  }

  down(event) {
    if (!this.enabled || !event.isPrimary || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.cursor = null;
    const { x, y } = this.place(event);
    this.begin(this.inside(x), this.inside(y));
  }

  move(event) {
    if (!this.press || !event.isPrimary || this.cursor) return;
    const { x, y } = this.place(event);
    this.aim(x, y);
  }

  up(event) {
    if (!this.press || !event.isPrimary || this.cursor) return;
    this.move(event);
    this.release();
  }

  begin(x, y) {
    this.onStart();
    this.press = { x, y, tipX: x, tipY: y };
    this.draw();
  }

  aim(x, y) {
    Object.assign(this.press, { tipX: x, tipY: y });
    this.draw();
  }

  release() {
    const { x, y, tipX, tipY } = this.press;
    this.press = null;
    let [dx, dy] = [tipX - x, tipY - y];
    const length = Math.hypot(dx, dy), longest = Math.SQRT2 * this.size * 0.999;
    this.draw();
    if ((length / this.size) * this.canvas.clientWidth < 4) return this.onShort();
    if (length > longest) [dx, dy] = [(dx * longest) / length, (dy * longest) / length];
    const [px, py, pdx, pdy] = [x, y, dx, dy].map((value) => Math.round(value * 100) / 100); // as a link has it
    this.onPoke({ x: px, y: py, dx: pdx, dy: pdy });
  }

  abandon() {
    this.press = null;
    this.draw();
  }

  key(event) {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const direction = directions[event.key];
    if (!this.enabled || !(direction || ["Enter", " ", "Escape"].includes(event.key))) return;
    event.preventDefault();
    if (event.repeat && !direction) return; // holding Enter down counts once
    const center = Math.floor(this.size / 2);
    this.cursor ??= { x: center, y: center };
    if (direction) {
      const step = Math.max(1, Math.round(this.size / 64)) * (event.shiftKey ? 5 : 1);
      this.cursor = { x: this.inside(this.cursor.x + step * direction[0]), y: this.inside(this.cursor.y + step * direction[1]) };
      if (this.press) this.aim(this.cursor.x, this.cursor.y);
    } else if (event.key === "Escape") {
      this.press = null;
    } else if (this.press) {
      this.release();
    } else {
      this.begin(this.cursor.x, this.cursor.y);
    }
    this.draw();
  }

  draw() {
    const { canvas, size } = this;
    const side = Math.max(1, Math.round(canvas.clientWidth * window.devicePixelRatio));
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    if (!this.bitmap) return;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.bitmap, 0, 0, side, side);
    const scale = side / size;
    const at = (value) => (value + 0.5) * scale;
    for (const [x, y] of this.targets) ring(context, at(x), at(y), side);
    for (const [x, y, dx, dy] of this.marks) arrow(context, at(x), at(y), at(x + dx), at(y + dy), side);
    if (this.press) arrow(context, at(this.press.x), at(this.press.y), at(this.press.tipX), at(this.press.tipY), side);
    if (this.cursor) cross(context, at(this.cursor.x), at(this.cursor.y), side);
  }
}
