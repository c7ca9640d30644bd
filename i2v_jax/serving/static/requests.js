// Requests to the model, one at a time, and the clips that answer them.

import { Connection } from "./connection.js";
import { attempt, say } from "./messages.js";
import { base64 } from "./server.js";

const MOST_CLIPS = 24;

export class Requests {
  // `onAnswer()` is called when all frames of an answer are there.
  constructor(player, settings, onAnswer) {
    Object.assign(this, { player, settings, onAnswer });
    this.held = null; // {clip, number}: the frame that the next request starts from
    this.poked = null; // {poke, frame}: the last poke and its frame, to repeat it with another seed
    this.active = null; // {id, made, first, before, released, settle}: the request that is being answered
    this.lost = false; // whether there is no connection
    this.connection = new Connection({
      open: () => this.opened(),
      lost: () => this.closed(),
      frame: (id, sample, blob) => this.frame(id, sample, blob),
      ended: (id) => this.ended(id),
      failed: (id, message) => this.failed(id, message),
    });
  }

  connect() {
    this.connection.connect();
  }

  // Holds the frame that the next request starts from: the picture, or the last frame of an answer.
  hold() {
    const { player, settings } = this;
    const last = player.model.poke && settings.fromLast && (player.chosen ?? player.clips[0]);
    this.held = last ? { clip: last, number: last.length - 1 } : { clip: player.start, number: 0 };
    player.playing = false;
    player.show(this.held.clip, this.held.number);
  }

  // Sends a request. Returns, once it is answered, whether all frames came.
  ask = attempt(async (poke = null, frame = this.held) => {
    const { player, settings } = this;
    const released = performance.now();
    const { clip: source, number } = frame;
    const values = settings.values();
    const { start, model } = player;
    const parameters = { model: model.name, image: await base64(source.blobs[number]), ...values };
    if (start !== player.start) return false; // another picture was chosen in the meantime
    if (poke) parameters.poke = [poke.x, poke.y, ...strength(poke, model)];
    const id = this.connection.send(parameters);
    if (!id) throw new Error("The connection to the server is lost. Try again in a moment.");
    const before = { clips: player.clips, chosen: player.chosen };
    const made = Array.from({ length: values.samples ?? 1 }, () => source.until(number + 1));
    for (const [sample, clip] of made.entries()) {
      const place = poke && [poke.x, poke.y, poke.dx, poke.dy];
      if (poke) clip.marks.push([number, ...place]);
      clip.steps.push({ first: number, parameters: { ...(poke && { poke: place }), ...values, ...(model.samples && { sample }) } });
    }
    if (model.samples) player.clips = made;
    else if (source === start) player.clips = [...made, ...player.clips].slice(0, MOST_CLIPS);
    else player.clips = player.clips.map((clip) => (clip === source ? made[0] : clip));
    this.poked = poke && { poke, frame };
    const settled = new Promise((settle) => { this.active = { id, made, before, first: number + 1, released, settle }; });
    say(model.samples ? "Making videos…" : "");
    player.play(made[0], number);
    player.list();
    return settled;
  });

  // Asks the same again, as after another seed was chosen: the last poke, if the model takes pokes.
  again() {
    if (!this.player.model.poke) {
      this.hold();
      this.ask();
    } else if (this.poked) {
      this.ask(this.poked.poke, this.poked.frame);
    }
  }

  // Stops an answer whose settings are no longer current.
  stop() {
    if (!this.active) return;
    this.connection.cancel();
    this.giveUp();
    say("Stopped: a setting was changed.");
  }

  // Forgets what was asked about a picture that is no longer shown.
  clear() {
    if (this.active) {
      this.connection.cancel();
      this.active.settle(false);
    }
    this.active = this.held = this.poked = null;
  }

  // Restores the clips from before the request.
  giveUp() {
    const { player } = this;
    const { clips, chosen } = this.active.before;
    this.active.settle(false);
    this.active = null;
    Object.assign(player, { clips, playing: false });
    player.show(chosen ?? player.start, (chosen ?? player.start).length - 1);
    player.list();
  }

  opened() {
    if (this.lost) say("");
    this.lost = false;
  }

  closed() {
    this.lost = true;
    if (this.active) this.giveUp();
    say("The connection to the server is lost. Trying again…", true);
  }

  async frame(id, sample, blob) {
    if (id !== this.active?.id) return;
    const { player } = this;
    const { made, first, released } = this.active;
    await made[sample].append(blob);
    if (player.stage.press || sample > 0 || made[0] !== player.chosen || made[0].length !== first + 1) return;
    player.show(made[0], first); // at once; `tick` shows the others
    performance.measure("first frame", { start: released, end: performance.now() });
    say("");
  }

  async ended(id) {
    await Promise.all(this.active?.made.map((clip) => clip.pending) ?? []);
    if (id !== this.active?.id) return;
    const { settle } = this.active;
    this.active = null;
    this.player.refresh();
    this.onAnswer();
    settle(true);
  }

  failed(id, message) {
    if (id !== this.active?.id) return;
    this.giveUp();
    say(message, true);
  }
}

// Models of impulses take a direction of length 1 at most; here, a quarter of the picture has length 1.
function strength({ dx, dy }, { poke: { impulse }, size }) {
  if (!impulse) return [dx, dy];
  const length = Math.hypot(dx, dy);
  const share = Math.min(1, length / (size / 4)) / length;
  return [dx * share, dy * share];
}
