// One video: its frames as pictures and as the bytes that came, and the pokes that made it.

export class Clip {
  constructor(blob, bitmap) {
    this.blobs = [blob]; // of PNGs, the start frame first
    this.bitmaps = [bitmap];
    this.marks = []; // [first, x, y, dx, dy], first being the number of the frame that was poked
    this.pending = Promise.resolve(); // until all frames that came are decoded
  }

  get length() {
    return this.bitmaps.length;
  }

  // A copy of the first frames, to go on from.
  until(length) {
    const copy = new Clip();
    copy.blobs = this.blobs.slice(0, length);
    copy.bitmaps = this.bitmaps.slice(0, length);
    copy.marks = this.marks.filter(([first]) => first < length - 1);
    return copy;
  }

  // Frames are decoded side by side and take their places in order.
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

  paint(canvas, number) {
    canvas.getContext("2d").drawImage(this.bitmaps[Math.min(number, this.length - 1)], 0, 0, canvas.width, canvas.height);
  }
}
