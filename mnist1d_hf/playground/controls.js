// Form controls that are bound to a field of the state: each shows its value, and changes it.
import { draw, make, path } from "./charts.js";
import { listen, state, update } from "./state.js";
import { TEMPLATES } from "./stream.js";

/** A small picture of a template. */
export function templatePicture(digit) {
  const low = Math.min(...TEMPLATES.flatMap((values) => Array.from(values)));
  const high = Math.max(...TEMPLATES.flatMap((values) => Array.from(values)));
  const attributes = { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" };
  return draw("svg", attributes, draw("path", { class: "line", d: path(TEMPLATES[digit], [low - 0.05, high + 0.05], 100, 100, 8) }));
}

/** Ten radio buttons for the field `name`, each with its template. */
export function digitChoice(name) {
  const inputs = Array.from({ length: 10 }, (_, digit) => make("input", { type: "radio", name, value: digit, "aria-label": `digit ${digit}` }));
  bind(name, (value) => (inputs[value].checked = true));
  return inputs.map((input, digit) => {
    input.addEventListener("change", () => update({ [name]: digit }));
    return make("label", {}, input, templatePicture(digit), String(digit));
  });
}

/** A labelled control; `input` shows and changes the field `name`. */
export function field(name, label, input, show = null) {
  const output = make("output", { for: input.id });
  bind(name, (value) => {
    if (input.value !== String(value)) input.value = value;
    if (!show) return;
    output.textContent = show(value);
    input.setAttribute("aria-valuetext", show(value));
  });
  input.addEventListener(input.type === "range" ? "input" : "change", () => {
    if (input.checkValidity()) update({ [name]: Number(input.value) });
    else input.value = state[name];
  });
  return make("div", { class: "field" }, make("label", { for: input.id }, label), ...(show ? [output, input] : [input]));
}

/** A slider for the field `name`, with its value in words. */
export function slider(name, label, min, max, step, show) {
  return field(name, label, make("input", { type: "range", id: `field-${name}`, min, max, step }), show);
}

/** A menu for the field `name`; `options` are [value, words]. A value of the address that is not among them is added. */
export function menu(name, label, options) {
  const select = make("select", { id: `field-${name}` });
  bind(name, (value) => {
    const all = options().some(([one]) => one === value) ? options() : [...options(), [value, String(value)]];
    select.replaceChildren(...all.map(([one, words]) => make("option", { value: one, selected: one === value }, words)));
  });
  return field(name, label, select);
}

/** What is wrong with the number that was typed; "" where nothing is. */
export function complaint(input) {
  const { min, max, step, value } = input;
  return input.checkValidity() ? "" : `Expected ${min} to ${max} in steps of ${step}, found ${value || "no number"}.`;
}

/** A number to type, for the field `name`. One that is refused is replaced by the old one, and a line says why. */
export function numberField(name, label, min, max) {
  const input = make("input", { type: "number", id: `field-${name}`, min, max, step: 1, required: true });
  const hint = make("p", { class: "hint wrong", role: "status" });
  input.addEventListener("change", () => (hint.textContent = complaint(input))); // before the listener of `field`
  bind(name, () => (hint.textContent = ""));
  const whole = field(name, label, input);
  whole.append(hint);
  return whole;
}

/** Radio buttons of the page for the field `name`; `also` gives what a choice changes besides. */
export function radios(name, also = () => ({})) {
  const inputs = [...document.querySelectorAll(`input[name="${name}"]`)];
  bind(name, (value) => inputs.forEach((input) => (input.checked = input.value === value)));
  for (const input of inputs) input.addEventListener("change", () => update({ [name]: input.value, ...also(input.value) }));
}

/** Call `show` with the value of a field, now and whenever it changes. */
export function bind(name, show) {
  show(state[name]);
  listen((names) => names.has(name) && show(state[name]));
}
