// The page: what the model can do decides what is shown. No state is kept on the server.

import { Clip } from "./clip.js";
import { Connection } from "./connection.js";
import { Stage } from "./stage.js";
import { Wheel } from "./wheel.js";

const $ = (id) => document.getElementById(id);
const MOST_CLIPS = 24;
const HINTS = {
  poke: "Press on something, drag it to where it should go, and let go. With the keyboard: arrow keys, Enter, arrow keys, Enter.",
  sample: "One picture, many videos of what may happen next. Choose a picture, then make videos.",
  direction: "One picture, many videos of what may happen next. Drag across the picture to say where it should move.",
};

let model = null; // of /v1/model
let start = null; // the clip of the picture alone
let clips = []; // answers, the newest first (samples: in their order)
let chosen = null; // the clip on the stage
let position = 0; // the frame on the stage
let playing = false;
let wish = null; // {id, clips, base, released}: what is being answered
let upload = null; // the file of the picture, if it was uploaded

const pokes = () => model.model === "poke";
const stage = new Stage($("picture"), {
  onStart: () => { stop(); if (fromStart()) show(start, 0); },
  onShort: () => say(pokes() ? "Drag a little further: the arrow says where the point should go." : ""),
  onPoke: (poke) => (pokes() ? askPoke(poke) : askDirection(poke)),
});
const wheel = new Wheel($("wheel"), { needle: $("needle"), output: $("degrees"), any: $("any-direction") });
const fromStart = () => !pokes() || chosen === null || document.querySelector("[name=from]:checked").value === "start";

function say(words, error = false) {
  $("message").textContent = words;
  $("message").classList.toggle("error", error);
}

async function told(response) {
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  throw new Error(answer.error);
}

function attempt(work) {
  return async (...values) => {
    try {
      await work(...values);
    } catch (error) {
      say(error instanceof TypeError ? "The server cannot be reached." : error.message, true);
    }
  };
}

// --- pictures

async function begin(blob) {
  const bitmap = await createImageBitmap(blob);
  stop();
  wish = null;
  start = new Clip(blob, bitmap);
  clips = [];
  chosen = null;
  stage.size = model.size;
  show(start, 0);
  listClips();
  say("");
}

const chooseExample = attempt(async (name) => {
  const answer = await told(await fetch(`/v1/examples/${encodeURIComponent(name)}`));
  upload = null;
  $("fit").hidden = true;
  await begin(await answer.blob());
  for (const button of $("examples").children) button.setAttribute("aria-pressed", button.value === name);
});

const sendUpload = attempt(async (file, crop) => {
  const form = new FormData();
  form.append("image", file);
  form.append("crop", crop);
  const answer = await told(await fetch("/v1/image", { method: "POST", body: form }));
  const [width, height] = answer.headers.get("X-Image-Size").split("x");
  upload = file;
  $("fit").hidden = width === height;
  await begin(await answer.blob());
  for (const button of $("examples").children) button.setAttribute("aria-pressed", false);
});

// --- wishes

async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let index = 0; index < bytes.length; index += 8192) text += String.fromCharCode(...bytes.subarray(index, index + 8192));
  return btoa(text);
}

const askPoke = attempt(async ({ x, y, dx, dy }) => {
  const released = performance.now();
  const again = fromStart();
  const source = again ? start : chosen;
  const last = again ? 0 : source.length - 1;
  let shift = [dx, dy];
  if (model.impulse) {
    // a direction of a length of at most 1, which a quarter of the picture is
    const strength = Math.min(1, Math.hypot(dx, dy) / (model.size / 4));
    shift = shift.map((value) => (value * strength) / Math.hypot(dx, dy));
  }
  const image = await base64(source.blobs[last]);
  const id = connection.send({ image, poke: [x, y, ...shift], frames: Number($("frames").value) });
  if (!id) throw new Error("The connection is lost: try again in a moment.");
  let clip = chosen;
  if (again) {
    clip = new Clip(start.blobs[0], start.bitmaps[0]);
    clips = [clip, ...clips].slice(0, MOST_CLIPS);
  } else {
    clip.cut(last + 1);
  }
  clip.marks.push([last, x, y, dx, dy]);
  wish = { id, clips: [clip], base: last + 1, released };
  say("");
  show(clip, last);
  play();
});

const askSamples = attempt(async () => {
  const released = performance.now();
  const values = { image: await base64(start.blobs[0]), frames: Number($("frames").value) };
  values.samples = Number($("samples").value);
  values.temperature = Number($("temperature").value);
  values.seed = Number($("seed").value);
  if (model.control === "direction" && wheel.value !== null) values.direction = wheel.value;
  if (model.control === "endpoint" && $("endpoint-value").value) values.endpoint = $("endpoint-value").value;
  const id = connection.send(values);
  if (!id) throw new Error("The connection is lost: try again in a moment.");
  clips = Array.from({ length: values.samples }, () => new Clip(start.blobs[0], start.bitmaps[0]));
  wish = { id, clips, base: 1, released };
  say("Making videos…");
  show(clips[0], 0);
  play();
  listClips();
});

function askDirection({ dx, dy }) {
  wheel.towards(dx, dy);
  askSamples();
}

const connection = new Connection({
  open: () => say(""),
  lost: () => { wish = null; say("The connection to the server is lost. Trying again…", true); },
  started: () => listClips(),
  frame: async (id, sample, index, blob) => {
    if (id !== wish?.id) return;
    const { clips: answered, base, released } = wish;
    const clip = answered[sample];
    await clip.put(base + index, blob);
    if (index > 0 || sample > 0 || clip !== chosen) return;
    show(clip, base); // the first frame at once, the others at their time
    performance.measure("first frame", { start: released, end: performance.now() });
    say("");
  },
  ended: (id) => { if (id === wish?.id) { wish = null; refresh(); } },
  failed: (id, words) => {
    if (id !== wish?.id && id !== 0) return;
    if (wish) giveUp();
    say(words, true);
  },
});

// An answer that failed leaves what there was before it.
function giveUp() {
  const [clip] = wish.clips;
  clip.cut(wish.base);
  if (pokes()) clip.marks.pop();
  if (!pokes() || wish.base === 1) clips = clips.filter((other) => !wish.clips.includes(other));
  chosen = clips.includes(clip) ? clip : null;
  show(chosen ?? start, (chosen ?? start).length - 1);
  stop();
  listClips();
  wish = null;
}

// --- playing

function show(clip, number) {
  if (clip !== start) chosen = clip;
  position = number;
  const answer = clip !== start;
  stage.show(clip.bitmaps[number], answer && pokes() ? clip.arrowsAt(number) : [], answer && pokes() ? clip.targetsAt(number) : []);
  refresh();
}

function refresh() {
  const clip = chosen;
  const last = clip ? Math.max(clip.length - 1, 0) : 0;
  $("time").max = last;
  $("time").value = position;
  $("time").disabled = $("play").disabled = last === 0;
  $("clock").textContent = last ? `${position} / ${last}` : "";
  $("play").textContent = playing ? "Pause" : "Play";
  for (const button of $("save").children) button.disabled = last === 0 || wish !== null;
  for (const button of $("clips").children) button.setAttribute("aria-pressed", clips[Number(button.value)] === clip);
}

function play() {
  playing = true;
  refresh();
}

function stop() {
  playing = false;
  refresh();
}

let ticks = 0;
function tick() {
  ticks += 1;
  if (playing && chosen && !stage.press) {
    const ahead = position + 1 < chosen.length;
    if (ahead) show(chosen, position + 1);
    else if (wish === null && pokes()) stop();
    else if (wish === null) show(chosen, 0);
  }
  for (const button of $("clips").children) {
    const clip = clips[Number(button.value)];
    clip?.paint(button.firstChild, ticks % clip.length);
  }
}

function listClips() {
  $("answers").hidden = clips.length === 0;
  $("all-row").hidden = pokes() || clips.length < 2;
  $("clips").replaceChildren(...clips.map((clip, index) => {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 128;
    button.type = "button";
    button.value = index;
    button.ariaLabel = `${pokes() ? "Answer" : "Sample"} ${pokes() ? clips.length - index : index + 1}`;
    button.addEventListener("click", () => { show(clips[index], 0); play(); });
    button.append(canvas);
    clip.paint(canvas, 0);
    return button;
  }));
  refresh();
}

// --- saving

const save = attempt(async (format) => {
  const together = !pokes() && $("all").checked && clips.length > 1;
  const saved = together ? clips : [chosen];
  const form = new FormData();
  for (const clip of saved) for (const blob of clip.blobs) form.append("frame", blob);
  form.append("samples", saved.length);
  form.append("format", format);
  if (pokes()) form.append("marks", chosen.marks.map((mark) => mark.map((value) => value.toFixed(3)).join(",")).join(";"));
  say("Writing the file…");
  const answer = await told(await fetch("/v1/render", { method: "POST", body: form }));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = { mp4: "video.mp4", gif: "video.gif", strip: "stills.png" }[format];
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  say(`Saved ${link.download}.`);
});

// --- beginning

function limits(id, range) {
  $(id).max = range.most;
  $(id).value = range.default;
}

function adapt() {
  const kind = model.control === "direction" ? "direction" : model.model;
  $("title").textContent = pokes() ? "Poke the picture" : "What happens next";
  document.title = $("title").textContent;
  $("hint").textContent = HINTS[kind];
  $("answers-title").textContent = pokes() ? "Answers" : "Samples";
  $("picture").ariaLabel = "The picture";
  $("poke-settings").hidden = !pokes();
  $("sample-settings").hidden = pokes();
  $("direction").hidden = model.control !== "direction";
  $("endpoint").hidden = model.control !== "endpoint";
  $("fit").value = model.crop;
  limits("frames", model.frames);
  if (model.samples) limits("samples", model.samples);
  for (const id of ["frames", "samples", "temperature"]) {
    const tell = () => { document.querySelector(`output[for=${id}]`).textContent = $(id).value; };
    $(id).addEventListener("input", tell);
    tell();
  }
  $("examples").replaceChildren(...model.examples.map((name) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", value: name, title: name, ariaLabel: `Example ${name}` });
    const image = document.createElement("img");
    Object.assign(image, { src: `/v1/examples/${encodeURIComponent(name)}`, alt: "" });
    button.append(image);
    button.addEventListener("click", () => chooseExample(name));
    return button;
  }));
}

function wire() {
  $("file").addEventListener("change", () => { if ($("file").files[0]) sendUpload($("file").files[0], $("fit").value); $("file").value = ""; });
  $("fit").addEventListener("change", () => { if (upload) sendUpload(upload, $("fit").value); });
  $("play").addEventListener("click", () => {
    if (playing) return stop();
    if (position + 1 >= chosen.length) show(chosen, 0);
    play();
  });
  $("time").addEventListener("input", () => { stop(); show(chosen, Number($("time").value)); });
  $("run").addEventListener("click", () => askSamples());
  $("new-seed").addEventListener("click", () => { $("seed").value = Math.floor(Math.random() * 1e6); askSamples(); });
  for (const button of $("save").children) button.addEventListener("click", () => save(button.value));
  for (const radio of document.getElementsByName("from")) {
    radio.addEventListener("change", () => { stop(); if (chosen && !fromStart()) show(chosen, chosen.length - 1); else if (start) show(start, 0); });
  }
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) sendUpload(event.dataTransfer.files[0], $("fit").value); });
}

async function untilReady() {
  for (;;) {
    const health = await fetch("/healthz").catch(() => null);
    if (health?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

const main = attempt(async () => {
  model = await (await told(await fetch("/v1/model"))).json();
  adapt();
  wire();
  if (model.examples.length) await chooseExample(model.examples[0]);
  else say("Upload a picture to begin.");
  await untilReady();
  $("curtain").hidden = true;
  stage.enabled = pokes() || model.control === "direction";
  $("picture").style.cursor = stage.enabled ? "" : "default";
  document.documentElement.dataset.ready = "yes";
  setInterval(tick, 1000 / model.fps);
});
main();
