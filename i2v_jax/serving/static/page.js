// The page. What the model can do decides what is shown; the server keeps no state.

import { describe, pressExample } from "./about.js";
import { Clip } from "./clip.js";
import { Connection } from "./connection.js";
import { saveClips } from "./saving.js";
import { base64, isReady, request, untilReady } from "./server.js";
import { Settings } from "./settings.js";
import { Stage } from "./stage.js";

const $ = (id) => document.getElementById(id);
const MOST_CLIPS = 24;
let model = null; // the description from /v1/model
let ready = false; // whether the model is compiled
let start = null; // the clip that consists of the picture
let clips = []; // answers, the newest first; or the samples of the latest request
let chosen = null; // the clip on the stage
let position = 0; // its shown frame
let playing = false;
let held = null; // {clip, number}: the frame that the next request starts from
let poked = null; // {poke, frame}: the last poke and its frame, to repeat it with another seed
let active = null; // {id, made, first, before, released}: the request that is being answered
let choices = 0; // number of pictures chosen so far
let upload = null; // the file of an uploaded picture

const settings = new Settings(() => { if (active) stopAnswer(); });
const stage = new Stage($("picture"), {
  onStart: hold,
  onShort: () => { if (model.poke) say("Drag a little further. The arrow shows where the point should go."); },
  onPoke: (poke) => {
    if (model.poke) return ask(poke);
    settings.wheel.towards(poke.dx, poke.dy);
    return ask();
  },
});

function say(words, error = false) {
  $("message").textContent = words.charAt(0).toUpperCase() + words.slice(1);
  $("message").classList.toggle("error", error);
}

function attempt(work) {
  return async (...values) => {
    try {
      await work(...values);
    } catch (error) {
      say(error.message, true);
    }
  };
}

// --- pictures

// Starts with the picture that `load` returns, unless another one was chosen in the meantime.
function choosing(load) {
  return async (...values) => {
    const choice = (choices += 1);
    const picture = await load(...values).catch((error) => ({ error }));
    if (choice !== choices) return;
    if (picture.error) say(picture.error.message, true);
    else begin(picture);
  };
}

// Decodes a picture completely, so that `begin` does not have to wait.
async function pictureOf(answer, about) {
  const blob = await answer.blob();
  return { blob, bitmap: await createImageBitmap(blob), file: null, name: null, ...about };
}

function begin({ blob, bitmap, file, name, fitted }) {
  if (active) connection.cancel();
  stage.abandon();
  start = new Clip(blob, bitmap);
  clips = [];
  chosen = active = held = poked = null;
  upload = file;
  playing = false;
  stage.size = model.size;
  show(start, 0);
  listClips();
  enable();
  $("fit").hidden = fitted;
  pressExample(name);
  say("");
}

const chooseExample = choosing(async (name) =>
  pictureOf(await request(`v1/examples/${encodeURIComponent(name)}`), { name, fitted: true }));

const sendUpload = choosing(async (file) => {
  if (file.size > model.max_body) throw new Error(`${file.name} is too large (at most ${model.max_body / 2 ** 20} MiB).`);
  say("Sending the picture…");
  const form = new FormData();
  form.append("image", file);
  form.append("crop", $("fit").value);
  const answer = await request("v1/image", { method: "POST", body: form });
  const [width, height] = answer.headers.get("X-Image-Size").split("x");
  return pictureOf(answer, { file, fitted: width === height });
});

function enable() {
  stage.enabled = ready && start !== null && (model.poke !== null || model.control_input?.kind === "angle");
  $("picture").classList.toggle("idle", !stage.enabled);
  $("run").disabled = !ready || start === null;
}

// --- requests

// Holds the frame that the next request starts from: the picture, or the last frame of an answer.
function hold() {
  const last = model.poke && settings.fromLast && (chosen ?? clips[0]);
  held = last ? { clip: last, number: last.length - 1 } : { clip: start, number: 0 };
  playing = false;
  show(held.clip, held.number);
}

const ask = attempt(async (poke = null, frame = held) => {
  const released = performance.now();
  const { clip: source, number } = frame;
  const values = settings.values();
  const picture = start;
  const parameters = { image: await base64(source.blobs[number]), ...values };
  if (picture !== start) return; // another picture was chosen in the meantime
  if (poke) parameters.poke = [poke.x, poke.y, ...strength(poke)];
  const id = connection.send(parameters);
  if (!id) throw new Error("The connection to the server is lost. Try again in a moment.");
  const before = { clips, chosen };
  const made = Array.from({ length: values.samples ?? 1 }, () => source.until(number + 1));
  if (poke) for (const clip of made) clip.marks.push([number, poke.x, poke.y, poke.dx, poke.dy]);
  if (model.samples) clips = made;
  else if (source === start) clips = [...made, ...clips].slice(0, MOST_CLIPS);
  else clips = clips.map((clip) => (clip === source ? made[0] : clip));
  poked = poke && { poke, frame };
  active = { id, made, before, first: number + 1, released };
  say(model.samples ? "Making videos…" : "");
  show(made[0], number);
  playing = true;
  listClips();
});

// Models of impulses take a direction of length 1 at most; here, a quarter of the picture has length 1.
function strength({ dx, dy }) {
  if (!model.poke.impulse) return [dx, dy];
  const length = Math.hypot(dx, dy);
  const share = Math.min(1, length / (model.size / 4)) / length;
  return [dx * share, dy * share];
}

const connection = new Connection({
  open: () => { if ($("message").classList.contains("error")) say(""); },
  lost: () => {
    if (active) giveUp();
    say("The connection to the server is lost. Trying again…", true);
  },
  frame: async (id, sample, blob) => {
    if (id !== active?.id) return;
    const { made, first, released } = active;
    await made[sample].append(blob);
    if (stage.press || sample > 0 || made[0] !== chosen || made[0].length !== first + 1) return;
    show(chosen, first); // at once; `tick` shows the others
    performance.measure("first frame", { start: released, end: performance.now() });
    say("");
  },
  ended: async (id) => {
    await Promise.all(active?.made.map((clip) => clip.pending) ?? []);
    if (id !== active?.id) return;
    active = null;
    refresh();
  },
  failed: (id, message) => {
    if (id !== active?.id) return;
    giveUp();
    say(message, true);
  },
});

// Stops an answer whose settings are no longer current.
function stopAnswer() {
  connection.cancel();
  giveUp();
  say("Stopped: a setting was changed.");
}

// Restores the clips from before the request.
function giveUp() {
  ({ clips, chosen } = active.before);
  active = null;
  playing = false;
  show(chosen ?? start, (chosen ?? start).length - 1);
  listClips();
}

// --- playing

function show(clip, number) {
  chosen = clip === start ? null : clip;
  position = number;
  const marked = chosen && model.poke;
  const aimed = marked && !model.poke.impulse; // an impulse has no target
  stage.show(clip.bitmaps[number], marked ? clip.arrowsAt(number) : [], aimed ? clip.targetsAt(number) : []);
  refresh();
}

function refresh() {
  const last = chosen ? chosen.length - 1 : 0;
  $("time").max = last;
  $("time").value = position;
  $("time").disabled = $("play").disabled = last === 0;
  $("clock").textContent = last ? `${position} / ${last}` : "";
  $("play").textContent = playing ? "Pause" : "Play";
  for (const button of $("save").children) button.disabled = last === 0 || active !== null;
  for (const button of $("clips").children) button.ariaPressed = clips[Number(button.value)] === chosen;
}

function play(clip, number) {
  playing = true;
  show(clip, number);
}

let ticks = 0;
function tick() {
  ticks += 1;
  if (playing && chosen && !stage.press) {
    if (position + 1 < chosen.length) {
      show(chosen, position + 1);
    } else if (active === null) {
      playing = model.samples !== null; // samples repeat, the answer to a poke stops
      show(chosen, playing ? 0 : position);
    }
  }
  for (const button of $("clips").children) {
    const clip = clips[Number(button.value)];
    clip?.paint(button.firstChild, ticks % clip.length, model.size);
  }
}

function listClips() {
  $("answers").classList.toggle("empty", clips.length === 0);
  $("all-row").hidden = !model.samples || clips.length < 2;
  $("clips").replaceChildren(...clips.map((clip, index) => {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 256;
    const name = model.samples ? `Sample ${index + 1}` : `Answer ${clips.length - index}`;
    Object.assign(button, { type: "button", value: index, title: name, ariaLabel: name });
    button.addEventListener("click", () => play(clips[index], 0));
    button.append(canvas);
    clip.paint(canvas, 0, model.size);
    return button;
  }));
  refresh();
}

// --- saving

const save = attempt(async (format) => {
  const saved = model.samples && $("all").checked ? clips : [chosen];
  say("Writing the file…");
  say(`Saved ${await saveClips(saved, chosen, format, model)}.`);
});

// --- start-up

function wire() {
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) sendUpload(file);
    $("file").value = ""; // so the same file can be chosen again
  });
  $("fit").addEventListener("change", () => { if (upload) sendUpload(upload); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) sendUpload(file);
  });
  $("play").addEventListener("click", () => {
    if (!playing) return play(chosen, position + 1 < chosen.length ? position : 0);
    playing = false;
    return refresh();
  });
  $("time").addEventListener("input", () => {
    playing = false;
    show(chosen, Number($("time").value));
  });
  $("run").addEventListener("click", () => { hold(); ask(); });
  $("new-seed").addEventListener("click", () => {
    settings.newSeed();
    if ($("run").disabled || (model.poke && !poked)) return;
    if (model.poke) return ask(poked.poke, poked.frame);
    hold();
    return ask();
  });
  for (const button of $("save").children) button.addEventListener("click", () => save(button.value));
  for (const radio of document.getElementsByName("from")) radio.addEventListener("change", () => { if (start) hold(); });
}

const main = attempt(async () => {
  await isReady(); // an error if the server does not admit this page
  connection.connect();
  model = await (await request("v1/model")).json();
  settings.adapt(model);
  describe(model, chooseExample);
  wire();
  if (model.examples.length) await chooseExample(model.examples[0]);
  else say("Upload a picture to start.");
  await untilReady();
  ready = true;
  $("curtain").hidden = true;
  enable();
  setInterval(tick, 1000 / model.fps);
  document.documentElement.dataset.ready = "yes";
});
main();
