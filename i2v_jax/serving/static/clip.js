// One video: its frames as bitmaps and as received bytes, and the pokes that it answers.

import { arrow } from "./drawing.js";

export class Clip {
  constructor(blob, bitmap) {
    this.blobs = [blob]; // PNGs, the start frame first
    this.bitmaps = [bitmap];
    this.marks = []; // [first, x, y, dx, dy]; first is the number of the frame that was poked
    this.steps = []; // {first, parameters} of the requests that made it; first as in marks
    this.pending = Promise.resolve(); // resolves when all received frames are decoded
  }

  get length() {
    return this.bitmaps.length;
  }

  // Returns a copy of the first frames, to be continued.
  until(length) {
    const copy = new Clip();
    copy.blobs = this.blobs.slice(0, length);
    copy.bitmaps = this.bitmaps.slice(0, length);
    copy.marks = this.marks.filter(([first]) => first < length - 1);
    copy.steps = this.steps.filter(({ first }) => first < length - 1);
    return copy;
  }

  // Decodes frames in parallel and adds them in order.
  append(blob) {
    const decoded = createImageBitmap(blob);
    this.pending = this.pending.then(async () => {
      this.bitmaps.push(await decoded);
      this.blobs.push(blob);
    });
    return this.pending;
  }

  arrowsAt(number) {
    return this.marks.filter(([first]) => first === number).map((mark) => mark.slice(1));
  }

  targetsAt(number) {
    const mark = this.marks.findLast(([first]) => first < number);
    return mark ? [[mark[1] + mark[3], mark[2] + mark[4]]] : [];
  }

  // Draws a small frame with the latest poke, which is in pixels of a picture of `size`.
  paint(canvas, number, size) {
    const context = canvas.getContext("2d");
    const side = canvas.width;
    context.drawImage(this.bitmaps[Math.min(number, this.length - 1)], 0, 0, side, side);
    const mark = this.marks.at(-1);
    if (!mark) return;
    const [x, y, dx, dy] = mark.slice(1).map((value) => (value * side) / size);
    const half = side / size / 2;
    arrow(context, x + half, y + half, x + half + dx, y + half + dy, 2 * side);
  }
}
