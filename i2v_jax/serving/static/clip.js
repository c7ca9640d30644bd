// One video: its frames as pictures and as the bytes that came, and the pokes that made it.

export class Clip {
  constructor(blob, bitmap) {
    this.blobs = [blob]; // of PNGs, the start frame first
    this.bitmaps = [bitmap];
    this.marks = []; // [first, x, y, dx, dy], first being the number of the frame that was poked
  }

  get length() {
    // pictures are decoded out of order: only those without a gap before them count
    const gap = this.bitmaps.indexOf(undefined);
    return gap < 0 ? this.bitmaps.length : gap;
  }

  // An answer's frames follow the frame that was poked.
  async put(number, blob) {
    this.blobs[number] = blob;
    for (let index = this.bitmaps.length; index < number; index += 1) this.bitmaps[index] = undefined;
    this.bitmaps[number] ??= undefined;
    this.bitmaps[number] = await createImageBitmap(blob);
  }

  cut(length) {
    this.blobs.length = this.bitmaps.length = length;
  }

  arrowsAt(number) {
    return this.marks.filter(([first]) => first === number).map((mark) => mark.slice(1));
  }

  targetsAt(number) {
    const mark = this.marks.findLast(([first]) => first < number);
    return mark ? [[mark[1] + mark[3], mark[2] + mark[4]]] : [];
  }

  paint(canvas, number) {
    const bitmap = this.bitmaps[Math.min(number, this.length - 1)];
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  }
}
