// Links to videos. What follows the # of the address holds the model, the picture and what was asked; no server sees it.

const OTHERS = ["model", "example", "picture"];

// Returns what follows the #. `picture` is {example} or {picture}, see pictures.js; `steps` are the parameters of the
// requests in order, with `sample`, the chosen one of each.
export function write(model, picture, steps) {
  const link = new URLSearchParams({ model, ...picture });
  for (const step of steps) for (const [name, value] of Object.entries(step)) link.append(name, value);
  return link.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
}

// Returns {model, example, picture, steps}, of which anything may be missing; values are texts.
export function read(text) {
  const link = new URLSearchParams(text);
  const names = [...new Set(link.keys())].filter((name) => !OTHERS.includes(name));
  const steps = link.getAll("frames").map((_, step) =>
    Object.fromEntries(names.map((name) => [name, link.getAll(name)[step]]).filter(([, value]) => value !== undefined)));
  return { ...Object.fromEntries(OTHERS.map((name) => [name, link.get(name)])), steps };
}

// Returns {x, y, dx, dy} of a step, null if it has no poke.
export function pokeOf({ poke }) {
  if (!poke) return null;
  const [x, y, dx, dy] = poke.split(",").map(Number);
  return { x, y, dx, dy };
}
