// Part 1: how one signal is made, step by step, and ten samples of each class.
import { argmax, describe, draw, make, onFrame, path, percent, rangeOf, signalChart } from "./charts.js";
import { digitChoice, numberField, slider } from "./controls.js";
import { ask, askBayes } from "./readers.js";
import { SEEDS, listen, state, update } from "./state.js";
import { DEFAULTS, sample, stages, standardize } from "./stream.js";

const EXPLAINED = {
  template: "Twelve points, like the digit lying on its side.",
  pad: "Zeros follow, so that the digit is a small part of the signal.",
  dilate: "Stretched to 72 points, whatever the padding was.",
  scale: "Made higher or flatter.",
  translate: "Moved right; what leaves returns on the left.",
  "fill the padding": "Smooth noise takes the place of the zeros.",
  "add noise": "A little white noise on every point.",
  shear: "The whole signal is tilted.",
  subsample: "Forty of the points remain.",
};
const SLIDERS = [
  ["padding", "Padding", 36, 60, 1, (value) => `${value} zeros`],
  ["scale", "Scale", 0.8, 1.2, 0.01, (value) => `× ${value.toFixed(2)}`],
  ["translation", "Translation", 0, 47, 1, (value) => `${value} points`],
  ["corr", "Smooth noise", 0, 1, 0.01, (value) => value.toFixed(2)],
  ["iid", "White noise", 0, 0.3, 0.01, (value) => value.toFixed(2)],
  ["shear", "Shear", -0.375, 0.375, 0.005, (value) => `slope ${(-value).toFixed(2)}`],
];
const NAMES = ["digit", ...SLIDERS.map(([name]) => name), "seed"];
const $ = (id) => document.getElementById(id);

export function start() {
  $("digit-choice").append(...digitChoice("digit"));
  $("signal-sliders").append(...SLIDERS.map((parts) => slider(...parts)), numberField("seed", "Seed of the noise", 0, SEEDS));
  $("signal-form").addEventListener("submit", (event) => event.preventDefault());
  $("signal-reset").addEventListener("click", () => update(defaults));
  $("signal-random").addEventListener("click", drawOne);
  const final = onFrame(showFinal);
  const look = slider("look", "Look at one number", 0, 39, 1, (value) => `number ${value}`);
  $("signal-final").append(
    make("h3", {}, "What a network gets: 40 numbers, standardised"),
    make("div", { class: "one tall", id: "final-chart", onpointermove: point, onpointerdown: point }),
    look,
    make("p", { class: "value", id: "final-value" }),
    make("p", {}, "They read it as"),
    make("ul", { class: "say", id: "final-say" }),
    make("p", { class: "hint", id: "final-hint" }),
  );
  const all = onFrame(showStages);
  listen((names) => {
    if (NAMES.some((name) => names.has(name))) all();
    if (names.has("look")) final();
    if (["seed", "corr", "iid"].some((name) => names.has(name))) later("samples", showSamples);
  });
  showStages();
  showSamples();
}

const defaults = Object.fromEntries(NAMES.map((name) => [name, state[name]]));

/** As the generator draws: class, padding, scale, translation and shear uniformly. */
function drawOne() {
  const between = (low, high, step) => Number((low + step * Math.floor(Math.random() * ((high - low) / step + 1))).toFixed(4));
  const drawn = SLIDERS.filter(([name]) => !["corr", "iid"].includes(name));
  update({
    ...Object.fromEntries(drawn.map(([name, , low, high, step]) => [name, between(low, high, step)])),
    digit: between(0, 9, 1),
    seed: between(0, SEEDS - 1, 1),
  });
}

/** The chosen noise, under the names of the generator. */
const noise = () => ({ corr_noise_scale: state.corr, iid_noise_scale: state.iid });

let raw = []; // the last step: 40 numbers, in the generator's units
let signal = new Float32Array(40); // the same, standardised as the training data of the networks

function showStages() {
  const made = stages({
    label: state.digit,
    padding: state.padding,
    scale: state.scale,
    translation: state.translation,
    shear: state.shear,
    seed: state.seed,
    ...noise(),
  });
  const range = rangeOf(made.flatMap(({ values }) => Array.from(values)), 0.6);
  $("stages").replaceChildren(
    ...made.map(({ name, drawn, values }) => {
      const label = `${name}, ${drawn}: ${describe(values)}`;
      const chart = signalChart({ values, range, label, dots: values.length < 41 });
      // After "pad" there are fewer points than after "dilate": shown as wide as they are many.
      if (name === "pad") chart.style.inlineSize = `${(100 * values.length) / 72}%`;
      return make("li", {}, make("div", {}, make("b", {}, `${name} `, make("em", {}, drawn)), make("span", {}, EXPLAINED[name])), chart);
    }),
  );
  raw = made.at(-1).values;
  signal = standardize(raw);
  showFinal();
  showReadings();
}

function showFinal() {
  const range = rangeOf(signal, 3);
  const chart = signalChart({ values: signal, range, label: `The signal: ${describe(signal)}`, dots: true });
  const chosen = make("span", { class: "chosen", style: `inset-inline-start: ${(100 * state.look) / 39}%` });
  $("final-chart").replaceChildren(chart, chosen);
  $("signal-glance").replaceChildren(chart.cloneNode(true));
  const value = signal[state.look];
  const side = value < 0 ? "below" : "above";
  $("final-value").textContent =
    `x[${state.look}] = ${value.toFixed(4)}: ${Math.abs(value).toFixed(1)} standard deviations ${side} the mean`;
}

function point(event) {
  const place = event.currentTarget.getBoundingClientRect();
  const fraction = (event.clientX - place.left) / place.width;
  update({ look: Math.min(39, Math.max(0, Math.round(39 * fraction))) });
}

let busy = null; // until Bayes' rule has answered: tables for another noise take a while

function showReadings() {
  const asked = signal;
  const config = noise();
  const rows = Object.entries(ask(asked)).map(([name, probabilities]) => reading(name, probabilities));
  $("final-say").replaceChildren(...rows, make("li", {}, "Bayes …"));
  const usual = Object.keys(config).every((name) => config[name] === DEFAULTS[name]);
  $("final-hint").textContent = usual ? "" : "The networks learned with the usual noise (0.25 and 0.02); Bayes’ rule knows the noise that you chose.";
  later("bayes", async () => {
    await busy;
    if (asked !== signal) return; // only the newest of those that waited is asked
    busy = askBayes(standardize(raw, config), config);
    const bayes = await busy;
    if (asked === signal) $("final-say").lastChild.replaceWith(reading("Bayes", bayes));
  });
}

function reading(name, probabilities) {
  const digit = argmax(probabilities);
  const right = digit === state.digit;
  const mark = make("b", { class: right ? "right" : "wrong" }, `${digit} ${right ? "✓" : "✗"}`);
  return make("li", {}, `${name} `, mark, ` ${percent(probabilities[digit])}`);
}

function showSamples() {
  const made = sample(Array.from({ length: 400 }, (_, i) => i), state.seed, noise());
  const range = [-4, 4];
  $("stream-seed").textContent = state.seed;
  $("samples").replaceChildren(
    ...Array.from({ length: 10 }, (_, digit) => {
      const chosen = Array.from(made.label.keys()).filter((i) => made.label[i] === digit).slice(0, 10);
      const svg = draw("svg", { role: "img", "aria-label": `Ten samples of class ${digit}`, viewBox: "0 0 1000 100", preserveAspectRatio: "none" });
      chosen.forEach((index, k) => {
        const line = path(made.x.subarray(40 * index, 40 * index + 40), range, 100, 100, 6);
        svg.append(draw("path", { class: "line", d: line, transform: `translate(${100 * k})` }));
      });
      return make("div", {}, make("b", { "aria-hidden": "true" }, String(digit)), svg);
    }),
  );
}

// Work that is too slow for every movement of a slider is done when it rests.
const timers = new Map();
function later(name, function_) {
  clearTimeout(timers.get(name));
  timers.set(name, setTimeout(function_, 120));
}
