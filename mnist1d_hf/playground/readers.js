// Who reads a signal: the five bundled networks, here, and Bayes' rule, in a worker because it takes longer.
import { loadNetworks, softmax } from "./networks.js";

let networks = {};

/** Read the weights, which lie beside this file. */
export async function load() {
  const [weights, manifest] = await Promise.all(["weights.bin", "weights.json"].map(fetchBeside));
  networks = loadNetworks(await weights.arrayBuffer(), await manifest.json());
}

async function fetchBeside(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer;
}

/** {name: probabilities of the ten classes} for one signal of 40 numbers. */
export function ask(x) {
  return Object.fromEntries(Object.entries(networks).map(([name, network]) => [name, Array.from(softmax(network.forward(x)))]));
}

const worker = new Worker(new URL("bayes-worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let last = 0;
worker.onmessage = ({ data: { id, probabilities } }) => {
  waiting.get(id)(probabilities);
  waiting.delete(id);
};

/** A promise of the exact p(class | x), for a signal that was made and standardised with `config`. */
export function askBayes(x, config = {}) {
  last += 1;
  worker.postMessage({ id: last, x, config });
  return new Promise((resolve) => waiting.set(last, resolve));
}
