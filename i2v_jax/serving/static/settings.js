// The controls beside the picture: which of them there are, and what they say. The model's description decides.

import { Wheel } from "./wheel.js";

const $ = (id) => document.getElementById(id);
const MOST_SEED = 1e6; // of new ones, short enough to be read out

export class Settings {
  // `onChange()` is called when somebody changes what a wish is made of.
  constructor(onChange) {
    this.wheel = new Wheel($("wheel"), { needle: $("needle"), output: $("degrees"), any: $("any-direction"), onChange });
    this.model = null;
    for (const id of ["frames", "samples", "temperature", "seed", "control-value"]) $(id).addEventListener("input", onChange);
  }

  adapt(model) {
    this.model = model;
    $("poke-settings").hidden = !model.poke;
    $("sample-settings").hidden = !model.samples;
    $("direction").hidden = model.control_input?.kind !== "angle";
    $("control").hidden = model.control_input?.kind !== "text";
    $("control-name").textContent = model.control;
    $("control-value").placeholder = `${model.control_input?.form} (any)`;
    $("fit").value = model.crop;
    const ranges = { frames: model.frames, samples: model.samples, temperature: null };
    for (const [id, range] of Object.entries(ranges)) {
      if (range) Object.assign($(id), { max: range.most, value: range.default });
      const tell = () => { document.querySelector(`output[for=${id}]`).textContent = $(id).value; };
      $(id).addEventListener("input", tell);
      tell();
    }
  }

  // The parameters of a wish, without its picture and its poke.
  values() {
    const values = { frames: Number($("frames").value) };
    if (this.model.samples) {
      values.samples = Number($("samples").value);
      values.temperature = Number($("temperature").value);
      values.seed = Number($("seed").value);
    }
    const input = this.model.control_input?.kind;
    if (input === "angle" && this.wheel.value !== null) values[this.model.control] = this.wheel.value;
    if (input === "text" && $("control-value").value) values[this.model.control] = $("control-value").value;
    return values;
  }

  newSeed() {
    $("seed").value = Math.floor(Math.random() * MOST_SEED);
  }

  // Whether the next poke is one of the last frame, rather than of the picture.
  get fromLast() {
    return document.querySelector("[name=from]:checked").value === "last";
  }
}
