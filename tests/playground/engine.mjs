// What the tests want to know of the page's modules: questions as JSON on stdin, answers as JSON on stdout.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${folder}/${name}`));
const { sample, stages, standardization, TEMPLATES } = await load("stream.js");
const { normalTable, philox } = await load("philox.js");
const { loadNetworks } = await load("networks.js");
const { posterior, prepare } = await load("bayes.js");
const { createNetwork, createTrainer } = await load("train.js");

const ask = JSON.parse(readFileSync(0, "utf-8"));
const bytes = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");
const floats = (text) => new Float32Array(new Uint8Array(Buffer.from(text, "base64")).buffer);
const range = (count) => Array.from({ length: count }, (_, i) => i);
const rows = (x) => range(x.length / 40).map((row) => x.subarray(40 * row, 40 * row + 40));
const all = (vectors) => bytes(Float64Array.from(vectors.flatMap((vector) => [...vector])));

function milliseconds(work) {
  const before = process.cpuUsage();
  const result = work();
  return [process.cpuUsage(before).user / 1000, result];
}

function refusal(work) {
  try {
    work();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
  return null;
}

function gradients({ architecture, width, x, label }) {
  let state = 1;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  const network = createNetwork(architecture, width, random);
  const losses = rows(floats(x)).map((signal, row) => {
    network.forward(signal);
    return network.backward(label[row]);
  });
  const layers = network.layers.map(({ weight, bias, gradient }) => [weight, bias, gradient.weight, gradient.bias].map(bytes));
  return { layers, losses, parameters: network.parameters };
}

function training(options) {
  const test = sample(range(500), 123);
  const trainer = createTrainer(options);
  const losses = [trainer.step(50), trainer.step(100)];
  const right = trainer.predict(test.x).filter((digit, i) => digit === test.label[i]);
  return { losses, accuracy: right.length / test.label.length, steps: trainer.steps };
}

const networks = () => {
  const file = readFileSync(`${folder}/weights.bin`);
  const weights = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
  return loadNetworks(weights, JSON.parse(readFileSync(`${folder}/weights.json`, "utf-8")));
};

const answers = {
  samples: ask.samples?.map(({ indices, seed, config }) => {
    const { x, label, latents } = sample(indices.map(BigInt), BigInt(seed), config);
    const drawn = Object.entries(latents).map(([name, values]) => [name, Array.from(values)]);
    return { x: bytes(x), label: Array.from(label), ...Object.fromEntries(drawn), ...standardization(config) };
  }),
  philox: ask.philox?.map(({ key, counter }) => {
    const halves = philox(BigInt(key[0]), BigInt(key[1]), BigInt(counter), 4);
    return range(4).map((i) => ((BigInt(halves[2 * i + 1]) << 32n) | BigInt(halves[2 * i])).toString(16).padStart(16, "0"));
  }),
  table: bytes(Int32Array.from(normalTable(), (value) => value * 2 ** 20)),
  templates: all(TEMPLATES),
  refused: [
    () => sample([2n ** 60n]),
    () => sample([-1]),
    () => sample([0.5]),
    () => sample([2 ** 54]),
    () => sample([0], 2n ** 63n),
    () => sample([0], 0, { padding_range: [1, 2] }),
    () => posterior(new Float32Array(40).fill(NaN)),
  ].map(refusal),
  stages: ask.stages?.map((options) => stages(options).map(({ name, values }) => ({ name, values: Array.from(values) }))),
  gradients: ask.gradients?.map(gradients),
  training: ask.training?.map(training),
};
if (ask.signals) {
  const signals = rows(floats(ask.signals));
  answers.logits = Object.fromEntries(
    Object.entries(networks()).map(([name, { forward, parameters, accuracy }]) => [
      name,
      { logits: all(signals.map(forward)), parameters, accuracy },
    ]),
  );
  const [tables] = milliseconds(() => prepare());
  const [time, probabilities] = milliseconds(() => signals.map((x) => posterior(x)));
  answers.bayes = { tables, each: time / signals.length, probabilities: all(probabilities) };
  answers.unlikely = all(rows(floats(ask.unlikely)).map((x) => posterior(x)));
  answers.others = ask.others.map(({ x, config }) => all(rows(floats(x)).map((row) => posterior(row, config))));
}
process.stdout.write(JSON.stringify(answers));
