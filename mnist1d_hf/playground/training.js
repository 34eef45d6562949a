// Part 4: train the MLP or the CNN here. The same settings give the same curve: a copied address trains to its step.
import { draw, make, percent, signalChart } from "./charts.js";
import { bind, menu, numberField, radios } from "./controls.js";
import { SEEDS, listen, state, update } from "./state.js";
import { sample } from "./stream.js";

const MOST = 20000; // steps
const BATCH = 100;
const TEST = { count: 1000, seed: SEEDS + 1 }; // no training has this seed
const WIDTHS = { cnn: [5, 10, 15, 25, 40], mlp: [25, 50, 100, 200] };
const USUAL = { cnn: 25, mlp: 100 };
const RATES = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1];
const SAMPLES = [[100, "100"], [1000, "1,000"], [4000, "4,000"], [10000, "10,000"], [0, "all new"]];
const SETTINGS = ["net", "width", "rate", "samples", "init"];
const $ = (id) => document.getElementById(id);

let worker = null;
let running = false;
let reports = []; // reports of the worker
let test = null;
let said = 0; // the second of the last message to screen readers

export function start() {
  radios("net", (net) => ({ width: USUAL[net] }));
  $("train-settings").append(
    menu("width", "Width", () => WIDTHS[state.net].map((width) => [width, state.net === "cnn" ? `${width} channels` : `${width} units`])),
    menu("rate", "Learning rate", () => RATES.map((rate) => [rate, String(rate)])),
    menu("samples", "Training samples", () => SAMPLES),
    numberField("init", "Seed", 0, SEEDS),
  );
  $("train-form").addEventListener("submit", (event) => event.preventDefault());
  $("train-start").addEventListener("click", () => (running ? pause() : go(MOST)));
  $("train-reset").addEventListener("click", reset);
  listen((names) => {
    const other = SETTINGS.some((name) => names.has(name));
    if (other && !names.has("steps")) reset();
    else if (other || (names.has("steps") && !running)) restore(other);
  });
  bind("part", (part) => part === "train" && restore());
  show();
}

/** Train to the step that the address names, if that is not done or under way; `anew` with other settings. */
function restore(anew = false) {
  if (!anew && (running || state.steps === (reports.at(-1)?.steps ?? 0))) return;
  stop();
  reports = [];
  if (state.part === "train" && state.steps) go(state.steps);
  show();
}

function go(until) {
  running = true;
  if (!worker) {
    test ??= sample(Array.from({ length: TEST.count }, (_, i) => i), TEST.seed);
    worker = new Worker(new URL("train-worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => report(data);
    worker.postMessage({
      test: TEST,
      until,
      options: {
        architecture: state.net,
        width: state.width,
        learningRate: state.rate,
        batchSize: BATCH,
        trainingSamples: state.samples || Infinity,
        seed: state.init,
      },
    });
  } else worker.postMessage({ until });
  show();
}

function pause() {
  running = false;
  worker.postMessage({ pause: true });
  say("Paused");
  show();
}

function stop() {
  said = 0;
  worker?.terminate();
  worker = null;
  running = false;
}

function reset() {
  stop();
  reports = [];
  update({ steps: 0 });
  show();
}

function report(data) {
  reports.push(data);
  if (data.done) running = false;
  update({ steps: data.steps });
  if (data.done) say("Done");
  else if (data.seconds - said > 5) say("Training");
  show();
}

/** For screen readers, now and then. */
function say(what) {
  const last = reports.at(-1);
  if (!last) return;
  said = last.seconds;
  $("train-status").textContent = `${what}: step ${last.steps}, accuracy ${percent(last.accuracy)}`;
}

// Showing

function show() {
  const last = reports.at(-1);
  $("train-start").textContent = running ? "Pause" : last ? "Go on" : "Start";
  $("train-start").disabled = !running && last?.steps >= MOST;
  const reached = reports.find(({ accuracy }) => accuracy >= 0.9);
  const figures = {
    Accuracy: last ? percent(last.accuracy, 1) : "–",
    Steps: last ? last.steps.toLocaleString("en") : "–",
    Time: last ? `${last.seconds.toFixed(1)} s` : "–",
    "90 % after": reached ? `${reached.seconds.toFixed(1)} s` : "–",
    Parameters: last ? last.parameters.toLocaleString("en") : "–",
  };
  $("train-figures").replaceChildren(...Object.entries(figures).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  plot("train-accuracy", reports.map(({ accuracy }) => accuracy), 1, percent, 0.9);
  const losses = reports.map(({ loss }) => loss);
  plot("train-loss", losses, Math.min(5, Math.max(2.5, ...losses)), (value) => value.toFixed(1));
  showMistakes(last);
}

/** A curve over the steps, from 0 to `top`; `goal` is marked. */
function plot(id, values, top, words, goal = null) {
  const steps = reports.at(-1)?.steps ?? 1000;
  const way = values.length > 1 ? `From ${words(values[0])} to ${words(values.at(-1))} in` : `${words(values[0] ?? 0)} after`;
  const label = values.length ? `${way} ${steps} steps` : "Nothing yet";
  const svg = draw("svg", { role: "img", "aria-label": label, viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  if (goal) svg.append(draw("path", { class: "goal", d: `M0 ${100 * (1 - goal)}H100` }));
  const points = values.map((value, i) => `${(100 * reports[i].steps) / steps} ${(100 * (1 - Math.min(value, top) / top)).toFixed(2)}`);
  if (points.length > 1) svg.append(draw("path", { class: "line", d: `M${points.join("L")}` }));
  else if (points.length) svg.append(draw("path", { class: "dots", d: `M${points[0]}l0 0` }));
  const y = make("div", { class: "y", "aria-hidden": "true" }, make("span", {}, words(top)), make("span", {}, words(top / 2)), make("span", {}, words(0)));
  const x = make("div", { class: "x", "aria-hidden": "true" }, make("span", {}, "0"), make("span", {}, `${steps.toLocaleString("en")} steps`));
  $(id).replaceChildren(y, svg, x);
}

/** Some signals that it reads wrongly now: behind an accuracy there are signals. */
function showMistakes(last) {
  const wrong = last ? Array.from(test.label.keys()).filter((i) => last.predictions[i] !== test.label[i]) : [];
  $("train-mistakes-title").hidden = !last;
  $("train-mistakes-title").textContent = `What it still gets wrong: ${wrong.length} of ${TEST.count.toLocaleString("en")}`;
  $("train-mistakes").replaceChildren(
    ...wrong.slice(0, 12).map((i) => {
      const values = test.x.subarray(40 * i, 40 * i + 40);
      const text = `${test.label[i]} read as ${last.predictions[i]}`;
      return make("div", {}, signalChart({ values, range: [-4, 4], label: `A signal of class ${text}` }), make("span", { class: "hint" }, text));
    }),
  );
}
