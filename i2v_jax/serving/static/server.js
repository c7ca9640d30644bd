// HTTP requests. Failures are thrown as Errors with messages for users.

export async function request(path, options) {
  const response = await fetch(path, options).catch(() => {
    throw new Error("The server cannot be reached. Is it still running?");
  });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ error: `The server answered with status ${response.status}.` }));
  throw new Error(problem.error);
}

// Returns whether the model is compiled. A POST, unlike a GET, says which page it is from: a server that does not admit
// this page says so here.
export async function isReady() {
  const health = await fetch("healthz", { method: "POST" }).catch(() => null);
  if (health?.status === 403) throw new Error((await health.json()).error);
  return health?.ok ?? false;
}

export async function untilReady() {
  while (!(await isReady())) {
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

export async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let index = 0; index < bytes.length; index += 8192) text += String.fromCharCode(...bytes.subarray(index, index + 8192));
  return btoa(text);
}
