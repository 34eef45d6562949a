// Part 2: draw a template of 12 points, or a whole signal of 40, and see what everyone reads.
import { argmax, classBars, describe, draw, make, onFrame, path, percent, rangeOf, signalChart } from "./charts.js";
import { complaint, radios, templatePicture } from "./controls.js";
import { ask, askBayes } from "./readers.js";
import { HIGHEST, SEEDS, listen, pack, state, update } from "./state.js";
import { TEMPLATES, asTemplate, stages, standardize } from "./stream.js";

const RANGE = [-HIGHEST, HIGHEST]; // of the field, in the generator's units: templates are between -0.6 and 0.6
const $ = (id) => document.getElementById(id);
let chosen = 0; // the point that the arrow keys move
let last = null; // where the pointer was

export function start() {
  // The signal goes on from what the template became; back, one begins with a template.
  radios("way", (way) => ({ drawn: way === "direct" ? pack(raw()) : "" }));
  const surface = $("canvas");
  surface.addEventListener("pointerdown", (event) => {
    surface.setPointerCapture(event.pointerId);
    last = null;
    stroke(event);
  });
  surface.addEventListener("pointermove", (event) => surface.hasPointerCapture(event.pointerId) && stroke(event));
  surface.addEventListener("keydown", press);
  surface.addEventListener("focus", showPoints);
  surface.addEventListener("blur", showPoints);
  for (let digit = 0; digit < 10; digit += 1) {
    const begin = () => update({ way: "generator", drawn: pack(TEMPLATES[digit]) });
    const label = `start from the template of ${digit}`;
    $("template-choice").append(make("button", { type: "button", "aria-label": label, onclick: begin }, templatePicture(digit), String(digit)));
  }
  $("draw-luck").addEventListener("click", () => update({ luck: Math.floor(Math.random() * SEEDS) }));
  $("draw-clear").addEventListener("click", () => update({ drawn: pack(heights().map(() => 0)) }));
  const show = onFrame(showAll);
  listen((names) => ["way", "drawn", "luck"].some((name) => names.has(name)) && show());
  showAll();
}

/** The drawn heights, in the generator's units. */
function heights() {
  if (state.drawn) return state.drawn.split(",").map((text) => Number(text) / 100);
  return Array.from(state.way === "generator" ? TEMPLATES[3] : stages({ label: 3, ...luck() }).at(-1).values);
}

/** What the generator would draw, from the number `luck`: the same number, the same signal. */
function luck() {
  let seed = state.luck;
  const random = () => { // mulberry32, enough for four numbers
    seed = (seed + 0x6d2b79f5) | 0;
    let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    padding: 36 + Math.floor(25 * random()),
    scale: 0.8 + 0.4 * random(),
    translation: Math.floor(48 * random()),
    shear: 0.75 * (random() - 0.5),
    seed: state.luck,
  };
}

/** The forty numbers before they are standardised. */
function raw() {
  const drawn = heights();
  if (state.way === "direct") return drawn;
  return Array.from(stages({ template: asTemplate(drawn), ...luck() }).at(-1).values);
}

const isFlat = () => new Set(heights()).size === 1;

// Drawing

function stroke(event) {
  const place = $("canvas").getBoundingClientRect();
  const drawn = heights();
  const [low, high] = RANGE;
  const x = ((event.clientX - place.left) / place.width) * drawn.length - 0.5;
  const y = high - ((event.clientY - place.top) / place.height) * (high - low);
  const here = { x, y: Math.min(high, Math.max(low, y)) };
  const from = last ?? here;
  const [left, right] = from.x < here.x ? [from, here] : [here, from];
  chosen = Math.min(drawn.length - 1, Math.max(0, Math.round(x)));
  drawn[chosen] = here.y;
  for (let i = Math.max(0, Math.ceil(left.x)); i <= Math.min(drawn.length - 1, right.x); i += 1) {
    drawn[i] = left.y + ((right.y - left.y) * (i - left.x)) / Math.max(right.x - left.x, 1e-9);
  }
  last = here;
  update({ drawn: pack(drawn) });
}

function press(event) {
  const drawn = heights();
  const step = event.shiftKey ? 0.2 : 0.05;
  const moves = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: drawn.length - 1 };
  const shifts = { ArrowUp: step, ArrowDown: -step };
  if (event.key in moves) chosen = Math.min(drawn.length - 1, Math.max(0, moves[event.key]));
  else if (event.key in shifts) drawn[chosen] = Math.min(RANGE[1], Math.max(RANGE[0], drawn[chosen] + shifts[event.key]));
  else return;
  event.preventDefault();
  if (event.key in shifts) update({ drawn: pack(drawn) });
  showPoints();
}

// Showing

function showAll() {
  showPoints();
  showNumbers();
  const values = standardize(raw());
  $("draw-signal").replaceChildren(signalChart({ values, range: rangeOf(values, 3), label: `The signal: ${describe(values)}`, dots: true, kind: "tall" }));
  $("draw-luck").hidden = state.way === "direct";
  showReaders(values);
}

function showPoints() {
  const drawn = heights();
  chosen = Math.min(chosen, drawn.length - 1);
  const gap = 50 / drawn.length;
  const line = path(drawn, RANGE, 100, 100, gap);
  const dots = line.replace(/[ML]([^ML]+)/g, "M$1l0 0");
  const svg = draw("svg", { "aria-hidden": "true", viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  svg.append(draw("path", { class: "zero", d: path([0, 0], RANGE) }), draw("path", { class: "line", d: line }), draw("path", { class: "dots", d: dots }));
  if (document.activeElement === $("canvas")) svg.append(draw("path", { class: "dots chosen", d: `M${dots.split("M")[chosen + 1]}` }));
  $("canvas").replaceChildren(svg);
  const text = `Point ${chosen + 1} of ${drawn.length}: ${drawn[chosen].toFixed(2)}`;
  $("canvas").setAttribute("aria-label", `Drawing field. ${text}. Left and right choose a point, up and down move it.`);
  $("canvas-hint").textContent = text;
}

function showNumbers() {
  const drawn = heights();
  const place = $("heights");
  if (place.children.length !== drawn.length) {
    place.replaceChildren(...drawn.map((_, i) => {
      const input = make("input", { type: "number", min: RANGE[0], max: RANGE[1], step: 0.01, required: true, "aria-label": `height of point ${i + 1}` });
      input.addEventListener("change", () => {
        const now = heights();
        $("heights-hint").textContent = complaint(input);
        if (input.checkValidity()) now[i] = Number(input.value);
        update({ drawn: pack(now) });
        input.value = heights()[i].toFixed(2);
      });
      return make("label", {}, make("span", {}, String(i + 1)), input);
    }));
  }
  place.querySelectorAll("input").forEach((input, i) => {
    if (document.activeElement !== input) input.value = drawn[i].toFixed(2);
  });
}

let asked = null; // the signal that the panels show, or will
let timer = 0;
function showReaders(values) {
  asked = values;
  clearTimeout(timer);
  if (isFlat()) {
    $("draw-readers").replaceChildren();
    $("draw-status").textContent = "Nothing is drawn yet.";
    return;
  }
  const found = ask(values);
  const kept = $("draw-readers").querySelector("[data-reader=Bayes]") ?? make("div", { "data-reader": "Bayes" });
  $("draw-readers").replaceChildren(...Object.entries(found).map(panel), kept);
  timer = setTimeout(async () => {
    const bayes = await askBayes(values);
    if (asked !== values) return;
    $("draw-readers").querySelector("[data-reader=Bayes]").replaceWith(panel(["Bayes", bayes]));
    const said = { ...found, Bayes: bayes };
    $("draw-status").textContent = Object.entries(said).map(([name, list]) => `${name} ${argmax(list)}`).join(", ");
  }, 150);
}

function panel([name, probabilities]) {
  const best = argmax(probabilities);
  return make(
    "div",
    { class: "panel", "data-reader": name },
    make("div", { class: "reader-head" }, make("span", {}, name), make("span", {}, make("b", {}, String(best)), ` ${percent(probabilities[best])}`)),
    classBars(name, probabilities),
    make("div", { class: "bar-names", "aria-hidden": "true" }, ...probabilities.map((_, digit) => make("span", {}, String(digit)))),
  );
}
