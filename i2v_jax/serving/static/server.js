// HTTP requests. Failures are thrown as Errors with messages for users.

export async function request(path, options) {
  const response = await fetch(path, options).catch(() => {
    throw new Error("The server cannot be reached. Is it still running?");
  });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ error: `The server answered with status ${response.status}.` }));
  throw new Error(problem.error);
}

// Returns whether a model is compiled. A POST, unlike a GET, says which page it is from: a server that does not admit
// this page says so here.
export async function isReady(model = null) {
  const query = model === null ? "" : `?model=${encodeURIComponent(model)}`;
  const health = await fetch(`healthz${query}`, { method: "POST" }).catch(() => null);
  const { error = null } = health && !health.ok ? await health.json().catch(() => ({})) : {};
  if (error) throw new Error(error);
  return health?.ok ?? false;
}

export async function untilReady(model) {
  while (!(await isReady(model))) {
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

export async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let index = 0; index < bytes.length; index += 8192) text += String.fromCharCode(...bytes.subarray(index, index + 8192));
  return btoa(text);
}
