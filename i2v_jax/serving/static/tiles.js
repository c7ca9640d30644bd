// The small videos beside the picture, which all play at once.

export class Tiles {
  // `onChoose(clip)` is called when one is pressed.
  constructor(box, onChoose) {
    Object.assign(this, { box, onChoose, clips: [] });
  }

  // Shows clips whose pokes are in pixels of a picture of `size`; `nameOf(index)` is what each is called.
  list(clips, size, nameOf) {
    Object.assign(this, { clips, size });
    this.box.replaceChildren(...clips.map((clip, index) => {
      const button = document.createElement("button");
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = 256;
      Object.assign(button, { type: "button", value: index, title: nameOf(index), ariaLabel: nameOf(index) });
      button.addEventListener("click", () => this.onChoose(clip));
      button.append(canvas);
      clip.paint(canvas, 0, size);
      return button;
    }));
  }

  press(chosen) {
    for (const [index, button] of [...this.box.children].entries()) button.ariaPressed = this.clips[index] === chosen;
  }

  paint(ticks) {
    for (const [index, button] of [...this.box.children].entries()) {
      const clip = this.clips[index];
      clip.paint(button.firstChild, ticks % clip.length, this.size);
    }
  }
}
