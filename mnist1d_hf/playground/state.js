// The state of the page is in its address, after the "#", and nowhere else: a copied address opens the same page.
// Values that are equal to their defaults are left out. Numbers out of range become the nearest that is allowed, values
// that make no sense the default; the address is corrected.

const number = (initial, low, high, step = 1) => ({
  initial,
  read(text) {
    const value = Math.round(Number(text) / step) * step;
    return text.trim() && Number.isFinite(value) ? Number(Math.min(high, Math.max(low, value)).toFixed(4)) : initial;
  },
});
const choice = (initial, ...others) => ({
  initial,
  read: (text) => (others.includes(text) ? text : initial),
});
export const HIGHEST = 0.8; // drawn points lie between -0.8 and 0.8
const POINTS = { generator: 12, direct: 40 }; // how many one draws
const heights = { initial: "", read: (text) => (/^-?\d+(,-?\d+)*$/.test(text) ? pack(text.split(",").map((value) => value / 100)) : "") };

/** Heights of drawn points as the address has them, in whole hundredths: "0,35,-20". */
export function pack(values) {
  return Array.from(values, (value) => Math.round(100 * Math.min(HIGHEST, Math.max(-HIGHEST, value))) || 0).join(",");
}
const answers = { initial: "", read: (text) => (/^\d{1,20}$/.test(text) ? text : "") };

export const SEEDS = 1e6; // the page draws seeds below this

const fields = {
  part: choice("signal", "draw", "game", "train"),
  // 1. From template to signal: the class, what is drawn for one signal, and how strong the noise is.
  digit: number(3, 0, 9),
  padding: number(48, 36, 60),
  scale: number(1, 0.8, 1.2, 0.01),
  translation: number(24, 0, 47),
  corr: number(0.25, 0, 1, 0.01),
  iid: number(0.02, 0, 0.3, 0.01),
  shear: number(0.2, -0.375, 0.375, 0.005),
  seed: number(1, 0, SEEDS),
  look: number(20, 0, 39), // at which of the 40 numbers one looks
  // 2. Draw: how, the heights of the points, the random numbers of the generator.
  way: choice("generator", "direct"),
  drawn: heights,
  luck: number(1, 0, SEEDS),
  // 3. The game: which signals, and the answers so far.
  game: number(1, 0, SEEDS),
  answers,
  // 4. Training: the settings, and how many steps were made.
  net: choice("cnn", "mlp"),
  width: number(25, 4, 200),
  rate: number(0.01, 0.0001, 0.3, 0.0001),
  samples: number(0, 0, 100000), // 0: never the same sample twice
  init: number(0, 0, SEEDS),
  steps: number(0, 0, 20000),
};

export const state = read("");
const listeners = [];

/** Values of all fields from the part of an address after the "#". */
export function read(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const values = Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, given.has(name) ? field.read(given.get(name)) : field.initial]),
  );
  if (values.drawn.split(",").length !== POINTS[values.way]) values.drawn = "";
  return values;
}

/** The part of the address after the "#" that stands for these values. */
export function write(values) {
  const changed = Object.keys(fields).filter((name) => values[name] !== fields[name].initial);
  return "#" + changed.map((name) => `${name}=${values[name]}`).join("&");
}

/** Change some values; everyone who listens is told which. `push` makes a step that the Back button undoes. */
export function update(changes, push = false) {
  const names = Object.keys(changes).filter((name) => changes[name] !== state[name]);
  if (!names.length) return;
  Object.assign(state, changes);
  // Browsers allow few changes of the address a second: one at a time, the last one wins.
  if (push) history.pushState(null, "", write(state));
  else schedule();
  tell(names);
}

let timer = 0;
function schedule() {
  clearTimeout(timer);
  timer = setTimeout(() => history.replaceState(null, "", write(state)), 150);
}

/** The whole address of what is seen. */
export const address = () => new URL(write(state), location.href).href;

/** Call `listener` with the set of names that changed. */
export function listen(listener) {
  listeners.push(listener);
}

function tell(names) {
  for (const listener of listeners) listener(new Set(names));
}

/** Take the values of the address: at the start, after Back, and when someone edits it. */
export function restore() {
  clearTimeout(timer);
  const found = read(location.hash);
  const names = Object.keys(fields).filter((name) => found[name] !== state[name]);
  Object.assign(state, found);
  if (write(state) !== (location.hash || "#")) history.replaceState(null, "", write(state));
  if (names.length) tell(names);
}
addEventListener("popstate", restore);
