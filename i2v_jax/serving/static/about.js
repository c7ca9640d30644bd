// Titles and hints for a model, and the examples to choose from.

const $ = (id) => document.getElementById(id);
const HINTS = {
  poke: "Press a point, drag it to where it should go, and release it.",
  angle: "One picture, many possible videos. Drag across the picture to choose a direction.",
  sample: "One picture, many possible videos.",
};

// Offers the models to choose from, the bundled ones apart from the others.
export function listModels(models, chooseModel) {
  const groups = [["Bundled", models.filter((model) => model.bundled)], ["Yours", models.filter((model) => !model.bundled)]];
  const filled = groups.filter(([, group]) => group.length).map(([label, group]) => {
    const options = group.map(({ name }) => new Option(name.replace(/^bundled:/, ""), name));
    const element = Object.assign(document.createElement("optgroup"), { label });
    element.append(...options);
    return element;
  });
  $("model").replaceChildren(...filled);
  $("model-row").hidden = models.length < 2;
  $("model").addEventListener("change", () => chooseModel($("model").value));
}

export function describe(model, chooseExample) {
  $("model").value = model.name;
  $("download").href = `v1/model.i2v?model=${encodeURIComponent(model.name)}`;
  const kind = model.poke ? "poke" : model.control_input?.kind === "angle" ? "angle" : "sample";
  document.title = $("title").textContent = model.poke ? "Poke the picture" : "What happens next?";
  $("what").textContent = HINTS[kind];
  document.querySelector(".keyboard").hidden = kind === "sample";
  $("answers-title").textContent = model.samples ? "Samples" : "Answers";
  $("empty").textContent = model.poke ? "Answers to your pokes appear here." : "Videos appear here.";
  $("run").hidden = model.poke !== null;
  $("examples").replaceChildren(...model.examples.map((name) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", value: name, title: name, ariaLabel: `Example ${name}` });
    button.append(Object.assign(document.createElement("img"), { src: `v1/examples/${encodeURIComponent(name)}?model=${encodeURIComponent(model.name)}`, alt: "" }));
    button.addEventListener("click", () => chooseExample(name));
    return button;
  }));
}

// Marks the example that is shown; null marks none.
export function pressExample(name) {
  for (const button of $("examples").children) button.ariaPressed = button.value === name;
}
