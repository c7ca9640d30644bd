// Pictures as the model sees them: examples, uploads, and those that are part of a link.
//
// Each is {blob, bitmap, file, name, fitted, link}: the uploaded file or null, the name of the example or null, whether
// there is nothing to fit, and what stands for it in a link, null if it is too large for one.

import { base64, request } from "./server.js";

const MOST_IN_LINK = 16_384; // bytes; a link of 22,000 characters still opens everywhere

// Decodes a picture completely, so that what shows it does not have to wait.
async function pictureOf(blob, about) {
  return { blob, bitmap: await createImageBitmap(blob), file: null, name: null, fitted: true, ...about };
}

export async function example(name, model) {
  const answer = await request(`v1/examples/${encodeURIComponent(name)}?model=${encodeURIComponent(model.name)}`);
  return pictureOf(await answer.blob(), { name, link: { example: name } });
}

export async function upload(file, crop, model) {
  if (file.size > model.max_body) throw new Error(`${file.name} is too large (at most ${model.max_body / 2 ** 20} MiB).`);
  const form = new FormData();
  form.append("model", model.name);
  form.append("image", file);
  form.append("crop", crop);
  const answer = await request("v1/image", { method: "POST", body: form });
  const [width, height] = answer.headers.get("X-Image-Size").split("x");
  const blob = await answer.blob();
  const link = blob.size > MOST_IN_LINK ? null : { picture: toLink(await base64(blob)) };
  return pictureOf(blob, { file, fitted: width === height, link });
}

export async function linked(text) {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
    return await pictureOf(new Blob([bytes], { type: "image/png" }), { link: { picture: text } });
  } catch {
    throw new Error("The picture in this link is damaged.");
  }
}

function toLink(text) {
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
