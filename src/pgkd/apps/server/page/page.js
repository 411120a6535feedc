// Whatever a user or a model wrote becomes text, never markup: `textContent` only.
"use strict";

const at = (id) => document.getElementById(id);

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function candidate({ label, probability }) {
  const row = element("div", "", "candidate");
  const bar = element("meter");
  bar.value = probability;
  bar.ariaHidden = "true"; // the number beside it says the same
  row.append(element("span", label), bar, element("span", probability.toFixed(3)));
  return row;
}

function article(text, prediction) {
  const made = element("article");
  made.append(element("p", text));
  if (prediction.by === "teacher") made.append(element("p", `The teacher: ${prediction.label}`));
  if (prediction.abstain) made.append(element("p", "Unsure: below the threshold."));
  if (prediction.top) made.append(...prediction.top.map(candidate));
  else made.append(element("pre", JSON.stringify(prediction, null, 2)));
  return made;
}

async function ask(path, options) {
  const response = await fetch(path, options).catch(() => {
    throw new Error("The server does not answer. It may have been stopped; try again.");
  });
  const body = await response.json().catch(() => ({})); // a proxy in front answers with a page
  if (response.ok && (body.predictions || body.classes)) return body;
  throw new Error(body.error?.message ?? `The answer has status ${response.status} and no JSON.`);
}

async function classify() {
  const texts = at("texts").value.split("\n").filter((line) => line.trim());
  if (!texts.length) return;
  const top = Math.max(1, Math.trunc(at("top").value) || 1);
  // Of an input of several texts, a line holds all, with a tab between them.
  const given = inputs > 1 ? texts.map((line) => line.split("\t")) : texts;
  const body = JSON.stringify(at("show").hidden ? { texts: given } : { texts, top });
  const headers = { "Content-Type": "application/json" };
  const { predictions } = await ask("predict", { method: "POST", headers, body });
  at("answers").replaceChildren(...texts.map((text, i) => article(text, predictions[i])));
}

async function told(action) {
  at("error").textContent = "";
  try {
    await action();
  } catch (error) {
    at("error").textContent = error.message;
  }
}

let inputs = 1; // texts of an input
let busy = false; // and no disabled button: it would lose the focus of who uses the keyboard

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy) return;
  busy = true;
  await told(classify);
  busy = false;
});

at("texts").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  at("form").requestSubmit(at("go"));
});

told(async () => {
  const model = await ask("model");
  inputs = model.inputs.length;
  at("show").hidden = !model.classes.length || model.task !== "classification";
  at("about").textContent = model.classes.length
    ? `${model.classes.length} classes, ${model.format}` : `${model.task}, ${model.format}`;
  at("classes").textContent = model.classes.join(", ") || `Texts: ${model.inputs.join(", ")}`;
});
