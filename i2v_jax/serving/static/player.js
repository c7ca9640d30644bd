// The clips, and which of them is on the stage: shows its frames one by one, and all clips as tiles.

import { Tiles } from "./tiles.js";

const $ = (id) => document.getElementById(id);

export class Player {
  // `isBusy()` says whether frames may still come; `onChoose()` is called when a tile was pressed.
  constructor(stage, { isBusy, onChoose }) {
    Object.assign(this, { stage, isBusy });
    this.model = null; // the description from /v1/model
    this.tiles = new Tiles($("clips"), (clip) => {
      this.play(clip, 0);
      onChoose();
    });
    this.ticks = 0;
    this.clear();
  }

  clear() {
    this.start = null; // the clip that consists of the picture
    this.clips = []; // answers, the newest first; or the samples of the latest request
    this.chosen = null; // the clip on the stage, unless that is the picture
    this.position = 0; // its shown frame
    this.playing = false;
    this.stage.show(null);
    this.list();
  }

  show(clip, number) {
    this.chosen = clip === this.start ? null : clip;
    this.position = number;
    const marked = this.chosen && this.model.poke;
    const aimed = marked && !this.model.poke.impulse; // an impulse has no target
    this.stage.show(clip.bitmaps[number], marked ? clip.arrowsAt(number) : [], aimed ? clip.targetsAt(number) : []);
    this.refresh();
  }

  play(clip, number) {
    this.playing = true;
    this.show(clip, number);
  }

  // Plays or pauses, as the button says.
  toggle() {
    const { chosen, position } = this;
    if (!this.playing) return this.play(chosen, position + 1 < chosen.length ? position : 0);
    this.playing = false;
    return this.refresh();
  }

  tick() {
    this.ticks += 1;
    const { chosen, position } = this;
    if (this.playing && chosen && !this.stage.press) {
      if (position + 1 < chosen.length) {
        this.show(chosen, position + 1);
      } else if (!this.isBusy()) {
        this.playing = this.model.samples !== null; // samples repeat, the answer to a poke stops
        this.show(chosen, this.playing ? 0 : position);
      }
    }
    this.tiles.paint(this.ticks);
  }

  // Shows the clips as tiles.
  list() {
    const { clips, model } = this;
    $("answers").classList.toggle("empty", clips.length === 0);
    $("all-row").hidden = !model?.samples || clips.length < 2;
    this.tiles.list(clips, model?.size, (index) => (model.samples ? `Sample ${index + 1}` : `Answer ${clips.length - index}`));
    this.refresh();
  }

  refresh() {
    const last = this.chosen ? this.chosen.length - 1 : 0;
    $("time").max = last;
    $("time").value = this.position;
    $("time").disabled = $("play").disabled = last === 0;
    $("clock").textContent = last ? `${this.position} / ${last}` : "";
    $("play").textContent = this.playing ? "Pause" : "Play";
    for (const button of $("save").children) button.disabled = last === 0 || this.isBusy();
    this.tiles.press(this.chosen);
  }
}
