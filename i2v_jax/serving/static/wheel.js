// The direction wheel: 0 degrees is right, 90 is up, in steps of ten; null means any direction.

export class Wheel {
  // `onChange()` is called when the value changes.
  constructor(svg, { needle, output, any, onChange }) {
    Object.assign(this, { svg, needle, output, any, onChange });
    this.value = null;
    any.addEventListener("click", () => this.set(null));
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      this.point(event);
    });
    svg.addEventListener("pointermove", (event) => {
      if (svg.hasPointerCapture(event.pointerId)) this.point(event);
    });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: 10, ArrowUp: 10, ArrowRight: -10, ArrowDown: -10 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.set(this.value === null ? 0 : this.value + step);
    });
    this.set(null);
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    this.towards(event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
  }

  // Takes a displacement on the screen, y pointing down.
  towards(dx, dy) {
    if (dx || dy) this.set((Math.atan2(-dy, dx) * 180) / Math.PI);
  }

  set(degrees) {
    const before = this.value;
    this.value = degrees === null ? null : (((Math.round(degrees / 10) * 10) % 360) + 360) % 360;
    this.any.hidden = this.value === null;
    this.svg.classList.toggle("any", this.value === null);
    this.needle.setAttribute("transform", `rotate(${-(this.value ?? 0)})`);
    this.output.textContent = this.value === null ? "any" : `${this.value}°`;
    this.svg.setAttribute("aria-valuenow", this.value ?? 0);
    this.svg.setAttribute("aria-valuetext", this.output.textContent);
    if (this.value !== before) this.onChange();
  }
}
