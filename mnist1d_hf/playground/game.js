// Part 3: twenty signals, and who reads more of them. The answers are in the address, so that a result can be shown.
import { argmax, describe, make, percent, signalChart } from "./charts.js";
import { templatePicture } from "./controls.js";
import { ask, askBayes } from "./readers.js";
import { SEEDS, listen, state, update } from "./state.js";
import { sample } from "./stream.js";

const COUNT = 20;
const HUMAN = 0.96; // Greydanus & Kobak 2024: a person, over 500 signals
const $ = (id) => document.getElementById(id);
let signals = []; // {x, label, says: {reader: digit}}

export function start() {
  for (let digit = 0; digit < 10; digit += 1) {
    $("game-digits").append(make("button", { type: "button", "data-digit": digit, onclick: () => answer(digit) }, String(digit), templatePicture(digit)));
  }
  document.addEventListener("keydown", (event) => {
    const other = event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea");
    if (state.part === "game" && /^[0-9]$/.test(event.key) && !other) answer(Number(event.key));
  });
  $("game-new").addEventListener("click", () => {
    $("game-status").textContent = "";
    update({ game: Math.floor(Math.random() * SEEDS), answers: "" });
  });
  listen((names) => {
    if (names.has("game")) deal();
    if (names.has("game") || names.has("answers")) show();
  });
  deal();
  show();
}

/** The twenty signals, and what the networks and, later, Bayes say. */
function deal() {
  const made = sample(Array.from({ length: COUNT }, (_, i) => i), state.game);
  signals = Array.from(made.label, (label, i) => {
    const x = made.x.slice(40 * i, 40 * i + 40);
    const said = Object.entries(ask(x)).map(([name, probabilities]) => [name, argmax(probabilities)]);
    return { x, label, says: Object.fromEntries(said) };
  });
  const mine = signals;
  Promise.all(mine.map(({ x }) => askBayes(x))).then((found) => {
    found.forEach((probabilities, i) => (mine[i].says.Bayes = argmax(probabilities)));
    if (mine === signals) show();
  });
}

function answer(digit) {
  const i = state.answers.length;
  if (i >= COUNT) return;
  const { label, says } = signals[i];
  const right = digit === label;
  $("game-status").className = right ? "right" : "wrong";
  $("game-status").textContent = right ? `✓ Right, it was ${label}.` : `✗ You said ${digit}, it was ${label}; the CNN said ${says.cnn}.`;
  update({ answers: state.answers + digit });
  if (i + 1 === COUNT) $("game-result").focus();
}

function show() {
  const answers = Array.from(state.answers, Number);
  const finished = answers.length === COUNT;
  $("game-play").hidden = finished;
  $("game-result").hidden = !finished;
  if (finished) return showResult(answers);
  const { x } = signals[answers.length];
  const right = answers.filter((digit, i) => digit === signals[i].label).length;
  $("game-number").textContent = `Signal ${answers.length + 1} of ${COUNT}, ${right} right so far`;
  $("game-signal").replaceChildren(signalChart({ values: x, range: [-4, 4], label: `Signal ${answers.length + 1}: ${describe(x)}`, dots: true }));
  $("game-dots").replaceChildren(...signals.map(({ label }, i) => dot(answers[i], label)));
}

function dot(digit, label) {
  if (digit === undefined) return make("i", {}, "·");
  return digit === label ? make("i", { class: "right" }, "✓") : make("i", { class: "wrong" }, "✗");
}

function showResult(answers) {
  const score = (list) => list.filter((digit, i) => digit === signals[i].label).length;
  const names = Object.keys(signals[0].says);
  const rows = names.map((name) => [name, score(signals.map(({ says }) => says[name]))]);
  rows.push(["the paper's human", HUMAN * COUNT]);
  rows.sort((a, b) => b[1] - a[1]);
  const mine = score(answers);
  const cnn = Object.fromEntries(rows).cnn;
  const title = mine > cnn ? "You beat the CNN" : mine < cnn ? "The CNN won" : "A draw with the CNN";
  const missed = signals.flatMap((signal, i) => (answers[i] === signal.label ? [] : [missedSignal(signal, answers[i], i)]));
  $("game-result").replaceChildren(
    make("h3", {}, `${title}: ${mine} against ${cnn}`),
    make("table", {},
      make("caption", { class: "visually-hidden" }, `How many of ${COUNT} signals each read correctly`),
      make("tbody", {}, ...[["You", mine], ...rows].map(scoreRow))),
    make("p", { class: "hint" }, `The same signals in Python: mnist1d_hf.sample(range(${COUNT}), seed=${state.game})`),
    make("h3", {}, missed.length ? "What you missed" : "You missed none"),
    make("div", { class: "missed" }, ...missed),
  );
}

function scoreRow([name, score], i) {
  const meter = make("td", { class: "meter", "aria-hidden": "true" }, make("span", { style: `--value: ${score / COUNT}` }));
  const text = `${Number(score.toFixed(1))} of ${COUNT}`;
  return make("tr", i ? {} : { class: "you" }, make("th", { scope: "row" }, name), make("td", { class: "number" }, text), make("td", { class: "number" }, percent(score / COUNT)), meter);
}

function missedSignal({ x, label, says }, digit, i) {
  const others = Object.entries(says).map(([name, said]) => `${name} ${said}`).join(", ");
  return make("div", { class: "panel" },
    signalChart({ values: x, range: [-4, 4], label: `Signal ${i + 1}: ${describe(x)}` }),
    make("p", {}, `Signal ${i + 1}: you said `, make("b", { class: "wrong" }, String(digit)), ", it was ", make("b", { class: "right" }, String(label)), "."),
    make("p", { class: "hint" }, others));
}
