// Saves the frames that were shown as a file: the server draws pokes, enlarges and encodes them.

import { request } from "./server.js";

const FILES = { mp4: "video.mp4", gif: "video.gif", strip: "stills.png" };
const PART = 200; // bytes of the form per picture, besides the picture

// Saves clips side by side, with the pokes of the `chosen` one. Returns the file name; throws an Error if they are too much.
export async function saveClips(clips, chosen, format, model) {
  const length = Math.min(...clips.map((clip) => clip.length));
  const blobs = clips.flatMap((clip) => clip.blobs.slice(0, length));
  check(blobs, chosen.marks, clips.length, model);
  const form = new FormData();
  for (const blob of blobs) form.append("frame", blob);
  for (const mark of chosen.marks) form.append("mark", mark.map((value) => value.toFixed(3)).join(","));
  form.append("model", model.name);
  form.append("samples", clips.length);
  form.append("format", format);
  const answer = await request("v1/render", { method: "POST", body: form });
  const link = document.createElement("a");
  Object.assign(link, { href: URL.createObjectURL(await answer.blob()), download: FILES[format] });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return link.download;
}

function check(blobs, marks, samples, { save, max_body: most }) {
  const remedy = samples > 1 ? "save a single sample, or start again from the picture" : "start again from the picture";
  const bytes = blobs.reduce((sum, blob) => sum + blob.size + PART, 0);
  if (blobs.length > save.frames) throw new Error(`A file holds at most ${save.frames} frames, and these are ${blobs.length}: ${remedy}.`);
  if (marks.length > save.pokes) throw new Error(`A file holds at most ${save.pokes} pokes, and these are ${marks.length}: start again from the picture.`);
  if (bytes > most) throw new Error(`The server accepts at most ${most / 2 ** 20} MiB, and these are ${Math.ceil(bytes / 2 ** 20)}: ${remedy}.`);
}
