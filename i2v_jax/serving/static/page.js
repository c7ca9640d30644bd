// The page. What the model can do decides what is shown; the server keeps no state.

import { describe, listModels, pressExample } from "./about.js";
import { Clip } from "./clip.js";
import { Connection } from "./connection.js";
import * as link from "./link.js";
import * as pictures from "./pictures.js";
import { Player } from "./player.js";
import { saveClips } from "./saving.js";
import { base64, isReady, request, untilReady } from "./server.js";
import { Settings } from "./settings.js";
import { Stage } from "./stage.js";

const $ = (id) => document.getElementById(id);
const MOST_CLIPS = 24;
let model = null; // the description from /v1/model
let ready = false; // whether the model is compiled
let picture = null; // the chosen one, see pictures.js
let held = null; // {clip, number}: the frame that the next request starts from
let poked = null; // {poke, frame}: the last poke and its frame, to repeat it with another seed
let active = null; // {id, made, first, before, released, settle}: the request that is being answered
let lost = false; // whether there is no connection
let choices = 0; // number of pictures and models chosen so far

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
const player = new Player(stage, { isBusy: () => active !== null, onChoose: () => remember() });

function say(words, error = false) {
  $("message").textContent = words.charAt(0).toUpperCase() + words.slice(1);
  $("message").classList.toggle("error", error);
}

function attempt(work) {
  return async (...values) => {
    try {
      return await work(...values);
    } catch (error) {
      return say(error.message, true);
    }
  };
}

// --- models and pictures

// Shows another model, with the uploaded picture or its first example. Returns whether it is the current one still.
async function openModel(name) {
  const choice = (choices += 1);
  ready = false;
  delete document.documentElement.dataset.ready;
  $("curtain").textContent = "The model is being compiled…";
  $("curtain").hidden = false;
  clear();
  enable();
  const description = await (await request(`v1/model?model=${encodeURIComponent(name)}`)).json();
  if (choice !== choices) return false;
  player.model = model = description;
  settings.adapt(model);
  describe(model, chooseExample);
  return true;
}

async function compiled() {
  const { name } = model;
  await untilReady(name).catch((error) => {
    $("curtain").textContent = "This model cannot be used.";
    throw error;
  });
  if (name !== model.name) return false;
  ready = true;
  $("curtain").hidden = true;
  enable();
  document.documentElement.dataset.ready = "yes";
  return true;
}

const chooseModel = attempt(async (name) => {
  const file = picture?.file;
  if (!(await openModel(name))) return;
  if (file) await chooseFile(file);
  else await chooseFirst();
  await compiled();
});

async function chooseFirst() {
  if (model.examples.length) await chooseExample(model.examples[0]);
  else say("Upload a picture to start.");
}

// Starts with the picture that `load` returns, unless another one was chosen in the meantime.
function choosing(load) {
  return async (...values) => {
    const choice = (choices += 1);
    const loaded = await load(...values).catch((error) => ({ error }));
    if (choice !== choices) return;
    if (loaded.error) say(loaded.error.message, true);
    else begin(loaded);
  };
}

const chooseExample = choosing((name) => pictures.example(name, model));
const chooseLinked = choosing((text) => pictures.linked(text));
const chooseFile = choosing((file) => {
  say("Sending the picture…");
  return pictures.upload(file, $("fit").value, model);
});

function clear() {
  if (active) {
    connection.cancel();
    active.settle(false);
  }
  stage.abandon();
  picture = active = held = poked = null;
  player.clear();
}

function begin(loaded) {
  clear();
  picture = loaded;
  player.start = new Clip(picture.blob, picture.bitmap);
  stage.size = model.size;
  player.show(player.start, 0);
  enable();
  $("fit").hidden = picture.fitted;
  pressExample(picture.name);
  say("");
}

function enable() {
  stage.enabled = ready && picture !== null && (model.poke !== null || model.control_input?.kind === "angle");
  $("picture").classList.toggle("idle", !stage.enabled);
  $("run").disabled = !ready || picture === null;
  $("copy-link").disabled = picture === null;
}

// --- requests

// Holds the frame that the next request starts from: the picture, or the last frame of an answer.
function hold() {
  const last = model.poke && settings.fromLast && (player.chosen ?? player.clips[0]);
  held = last ? { clip: last, number: last.length - 1 } : { clip: player.start, number: 0 };
  player.playing = false;
  player.show(held.clip, held.number);
}

// Sends a request. Returns, once it is answered, whether all frames came.
const ask = attempt(async (poke = null, frame = held) => {
  const released = performance.now();
  const { clip: source, number } = frame;
  const values = settings.values();
  const { start } = player;
  const parameters = { model: model.name, image: await base64(source.blobs[number]), ...values };
  if (start !== player.start) return false; // another picture was chosen in the meantime
  if (poke) parameters.poke = [poke.x, poke.y, ...strength(poke)];
  const id = connection.send(parameters);
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
  poked = poke && { poke, frame };
  const settled = new Promise((settle) => { active = { id, made, before, first: number + 1, released, settle }; });
  say(model.samples ? "Making videos…" : "");
  player.play(made[0], number);
  player.list();
  return settled;
});

// Models of impulses take a direction of length 1 at most; here, a quarter of the picture has length 1.
function strength({ dx, dy }) {
  if (!model.poke.impulse) return [dx, dy];
  const length = Math.hypot(dx, dy);
  const share = Math.min(1, length / (model.size / 4)) / length;
  return [dx * share, dy * share];
}

const connection = new Connection({
  open: () => {
    if (lost) say("");
    lost = false;
  },
  lost: () => {
    lost = true;
    if (active) giveUp();
    say("The connection to the server is lost. Trying again…", true);
  },
  frame: async (id, sample, blob) => {
    if (id !== active?.id) return;
    const { made, first, released } = active;
    await made[sample].append(blob);
    if (stage.press || sample > 0 || made[0] !== player.chosen || made[0].length !== first + 1) return;
    player.show(made[0], first); // at once; `tick` shows the others
    performance.measure("first frame", { start: released, end: performance.now() });
    say("");
  },
  ended: async (id) => {
    await Promise.all(active?.made.map((clip) => clip.pending) ?? []);
    if (id !== active?.id) return;
    const { settle } = active;
    active = null;
    player.refresh();
    remember();
    settle(true);
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
  const { clips, chosen } = active.before;
  active.settle(false);
  active = null;
  Object.assign(player, { clips, playing: false });
  player.show(chosen ?? player.start, (chosen ?? player.start).length - 1);
  player.list();
}

// --- saving

const save = attempt(async (format) => {
  const { clips, chosen } = player;
  const saved = model.samples && $("all").checked ? clips : [chosen];
  say("Writing the file…");
  say(`Saved ${await saveClips(saved, chosen, format, model)}.`);
});

// Keeps the address a link to what is shown, so that reloading the page shows it again.
function remember() {
  const steps = picture?.link ? (player.chosen ?? player.clips[0])?.steps ?? [] : [];
  history.replaceState(null, "", `#${link.write(model.name, picture?.link, steps.map(({ parameters }) => parameters))}`);
}

const copyLink = attempt(async () => {
  if (!picture.link) throw new Error("Your picture is too large for a link: choose one of the examples.");
  remember();
  await navigator.clipboard.writeText(location.href).then(
    () => say("Copied the link."),
    () => say("The link is in the address bar: this browser does not let the page copy it."),
  );
});

// Shows the videos of a link.
const follow = attempt(async (steps) => {
  for (const step of steps) {
    settings.apply(step);
    const clip = player.chosen ?? player.start;
    const frame = { clip, number: clip.length - 1 };
    if (!(await ask(link.pokeOf(step), frame))) return;
    if (player.clips[step.sample]) player.play(player.clips[step.sample], 0);
  }
  remember();
});

// --- start-up

function wire() {
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) chooseFile(file);
    $("file").value = ""; // so the same file can be chosen again
  });
  $("fit").addEventListener("change", () => { if (picture?.file) chooseFile(picture.file); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) chooseFile(file);
  });
  $("play").addEventListener("click", () => player.toggle());
  $("time").addEventListener("input", () => {
    player.playing = false;
    player.show(player.chosen, Number($("time").value));
  });
  $("run").addEventListener("click", () => { hold(); ask(); });
  $("new-seed").addEventListener("click", () => {
    settings.newSeed();
    if ($("run").disabled || (model.poke && !poked)) return;
    if (model.poke) return ask(poked.poke, poked.frame);
    hold();
    return ask();
  });
  $("copy-link").addEventListener("click", copyLink);
  window.addEventListener("hashchange", () => location.reload()); // another link was entered
  for (const button of $("save").children) button.addEventListener("click", () => save(button.value));
  for (const radio of document.getElementsByName("from")) radio.addEventListener("change", () => { if (picture) hold(); });
}

const main = attempt(async () => {
  const { steps, ...wanted } = link.read(location.hash.slice(1));
  await isReady(); // an error if the server does not admit this page
  connection.connect();
  const { models } = await (await request("v1/models")).json();
  const known = models.some(({ name }) => name === wanted.model);
  listModels(models, chooseModel);
  wire();
  await openModel(known ? wanted.model : models[0].name);
  const found = wanted.model === null || known;
  if (found && wanted.picture) await chooseLinked(wanted.picture);
  else if (found && model.examples.includes(wanted.example)) await chooseExample(wanted.example);
  else await chooseFirst();
  setInterval(() => player.tick(), 1000 / model.fps);
  if (!(await compiled())) return;
  if (!found) say(`This link is of the model ${wanted.model}, which is not here.`, true);
  else if (wanted.example && picture?.name !== wanted.example) say(`This link is of the picture ${wanted.example}, which is not here.`, true);
  else if (picture) await follow(steps);
});
main();
