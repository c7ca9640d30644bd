// The page. What the model can do decides what is shown; the server keeps no state.

import { describe, listModels, pressExample } from "./about.js";
import { Clip } from "./clip.js";
import * as link from "./link.js";
import { attempt, say } from "./messages.js";
import * as pictures from "./pictures.js";
import { Player } from "./player.js";
import { Requests } from "./requests.js";
import { saveClips } from "./saving.js";
import { isReady, request, untilReady } from "./server.js";
import { Settings } from "./settings.js";
import { Stage } from "./stage.js";

const $ = (id) => document.getElementById(id);
let model = null; // the description from /v1/model
let ready = false; // whether the model is compiled
let picture = null; // the chosen one, see pictures.js
let choices = 0; // number of pictures and models chosen so far

const settings = new Settings(() => requests.stop());
const stage = new Stage($("picture"), {
  onStart: () => requests.hold(),
  onShort: () => { if (model.poke) say("Drag a little further. The arrow shows where the point should go."); },
  onPoke: (poke) => {
    if (model.poke) return requests.ask(poke);
    settings.wheel.towards(poke.dx, poke.dy);
    return requests.ask();
  },
});
const player = new Player(stage, { isBusy: () => requests.active !== null, onChoose: () => remember() });
const requests = new Requests(player, settings, () => remember());

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
  requests.clear();
  stage.abandon();
  picture = null;
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
    if (!(await requests.ask(link.pokeOf(step), frame))) return;
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
  $("run").addEventListener("click", () => { requests.hold(); requests.ask(); });
  $("new-seed").addEventListener("click", () => {
    settings.newSeed();
    if (!$("run").disabled) requests.again();
  });
  $("copy-link").addEventListener("click", copyLink);
  window.addEventListener("hashchange", () => location.reload()); // another link was entered
  for (const button of $("save").children) button.addEventListener("click", () => save(button.value));
  for (const radio of document.getElementsByName("from")) radio.addEventListener("change", () => { if (picture) requests.hold(); });
}

const main = attempt(async () => {
  const { steps, ...wanted } = link.read(location.hash.slice(1));
  await isReady(); // an error if the server does not admit this page
  requests.connect();
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
