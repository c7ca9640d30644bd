// The controls beside the picture. The description of the model decides which of them are shown.

import { Wheel } from "./wheel.js";

const $ = (id) => document.getElementById(id);
const NUMBERS = ["frames", "samples", "temperature", "seed"];
const SHOWN = ["frames", "samples", "temperature"]; // with their values beside them
const MOST_SEED = 1e6; // of random seeds, short enough to read out loud

export class Settings {
  // `onChange()` is called when the user changes a parameter of requests.
  constructor(onChange) {
    this.wheel = new Wheel($("wheel"), { needle: $("needle"), output: $("degrees"), any: $("any-direction"), onChange });
    this.model = null;
    for (const id of [...NUMBERS, "control-value"]) $(id).addEventListener("input", onChange);
    for (const id of SHOWN) $(id).addEventListener("input", () => this.display(id));
  }

  display(id) {
    document.querySelector(`output[for=${id}]`).textContent = $(id).value;
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
    for (const id of ["frames", "samples"]) if (model[id]) Object.assign($(id), { max: model[id].most, value: model[id].default });
    SHOWN.forEach(this.display);
    this.wheel.set(null);
    $("control-value").value = "";
  }

  // Takes over what `values` returned, also as texts.
  apply(values) {
    for (const id of NUMBERS) if (values[id] !== undefined) $(id).value = values[id];
    SHOWN.forEach(this.display);
    const control = values[this.model.control];
    this.wheel.set(Number.isFinite(Number(control)) ? Number(control) : null);
    $("control-value").value = control ?? "";
  }

  // Returns the parameters of a request, except picture and poke.
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

  // Whether the next poke applies to the last frame instead of the picture.
  get fromLast() {
    return document.querySelector("[name=from]:checked").value === "last";
  }
}
