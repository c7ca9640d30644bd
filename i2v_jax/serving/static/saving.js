// Frames that were seen, as a file: they go back to the server, which marks, enlarges and encodes them.

import { request } from "./server.js";

const FILES = { mp4: "video.mp4", gif: "video.gif", strip: "stills.png" };
const PART = 200; // bytes of a form around each picture

// Clips side by side, with the pokes of the `chosen` one. Returns the name of the file; throws what is too much in words.
export async function saveClips(clips, chosen, format, model) {
  const length = Math.min(...clips.map((clip) => clip.length));
  const blobs = clips.flatMap((clip) => clip.blobs.slice(0, length));
  check(blobs, chosen.marks, clips.length, model);
  const form = new FormData();
  for (const blob of blobs) form.append("frame", blob);
  for (const mark of chosen.marks) form.append("mark", mark.map((value) => value.toFixed(3)).join(","));
  form.append("samples", clips.length);
  form.append("format", format);
  const answer = await request("/v1/render", { method: "POST", body: form });
  const link = document.createElement("a");
  Object.assign(link, { href: URL.createObjectURL(await answer.blob()), download: FILES[format] });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return link.download;
}

function check(blobs, marks, samples, { save, max_body: most }) {
  const way = samples > 1 ? "save one sample alone, or begin anew from the picture" : "begin anew from the picture";
  const bytes = blobs.reduce((sum, blob) => sum + blob.size + PART, 0);
  if (blobs.length > save.frames) throw new Error(`These are ${blobs.length} frames, and a file takes ${save.frames}: ${way}.`);
  if (marks.length > save.pokes) throw new Error(`These are ${marks.length} pokes, and a file takes ${save.pokes}: begin anew from the picture.`);
  if (bytes > most) throw new Error(`These are ${Math.ceil(bytes / 2 ** 20)} MiB, and the server takes ${most / 2 ** 20}: ${way}.`);
}
