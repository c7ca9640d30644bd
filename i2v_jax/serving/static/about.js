// What the page says about a model: titles, hints, and the examples to choose from.

const $ = (id) => document.getElementById(id);
const HINTS = {
  poke: "Press on something, drag it to where it should go, and let go.",
  angle: "One picture, many videos of what may happen next. Drag across the picture to say where it should move.",
  sample: "One picture, many videos of what may happen next.",
};

export function describe(model, chooseExample) {
  const kind = model.poke ? "poke" : model.control_input?.kind === "angle" ? "angle" : "sample";
  document.title = $("title").textContent = model.poke ? "Poke the picture" : "What happens next";
  $("what").textContent = HINTS[kind];
  document.querySelector(".keyboard").hidden = kind === "sample";
  $("answers-title").textContent = model.samples ? "Samples" : "Answers";
  $("empty").textContent = model.poke ? "What you poke answers here." : "The videos appear here.";
  $("run").hidden = model.poke !== null;
  $("examples").replaceChildren(...model.examples.map((name) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", value: name, title: name, ariaLabel: `Example ${name}` });
    button.append(Object.assign(document.createElement("img"), { src: `/v1/examples/${encodeURIComponent(name)}`, alt: "" }));
    button.addEventListener("click", () => chooseExample(name));
    return button;
  }));
}

// Marks the example that is shown; null: none of them.
export function pressExample(name) {
  for (const button of $("examples").children) button.ariaPressed = button.value === name;
}
