// The MLP and the CNN, trained in the page: forward pass, gradients and Adam, one signal at a time.
//
// A layer is a convolution that reads `kernel` neighbouring points; a dense layer is one that reads all of them. The
// numbers of a signal stand point by point, (points, channels), so that what a kernel reads is one piece of memory.

import { philox } from "./philox.js";
import { sample } from "./stream.js";

const POINTS = 40;
const CLASSES = 10;
const FOR_TRAINING = 0x747261696e6572n; // second word of Philox's key: "trainer"
const BETA1 = 0.9; // Adam's (Kingma & Ba 2015), with PyTorch's values
const BETA2 = 0.999;
const EPSILON = 1e-8;

/**
 * options: {architecture: "mlp" | "cnn", width, learningRate, batchSize, trainingSamples (Number | Infinity), seed}.
 *
 * Training samples are the first ones of the stream of `seed`, in an order drawn anew each time all have been used;
 * Infinity: each is used once. Returns {parameters, steps, step(count) -> mean loss of these steps,
 * predict(x) -> Int32Array(n) of classes}; x: Float32Array(n * 40).
 */
export function createTrainer(options = {}) {
  const { architecture = "cnn", width = architecture === "mlp" ? 100 : 25, learningRate = 0.01 } = options;
  const { batchSize = 100, trainingSamples = Infinity, seed = 0 } = options;
  const random = randomNumbers(seed);
  const network = createNetwork(architecture, width, random);
  const nextBatch = batches(trainingSamples, batchSize, seed, random);
  const update = adam(network.layers, learningRate);
  const trainer = { parameters: network.parameters, steps: 0, predict: network.predict };

  trainer.step = (count = 1) => {
    let loss = 0;
    for (let i = 0; i < count; i++) {
      const { x, label } = nextBatch();
      for (let row = 0; row < label.length; row++) {
        network.forward(x.subarray(row * POINTS, (row + 1) * POINTS));
        loss += network.backward(label[row]) / (count * label.length);
      }
      trainer.steps += 1;
      update(trainer.steps, label.length);
    }
    return loss;
  };
  return trainer;
}

const argmax = (values) => values.indexOf(Math.max(...values));

/** Numbers in [0, 1) that a seed decides, one with each call. */
function randomNumbers(seed) {
  let [words, next, counter] = [[], 0, 0n];
  return () => {
    if (next === words.length) [words, next, counter] = [philox(BigInt(seed), FOR_TRAINING, counter, 512), 0, counter + 128n];
    return words[next++] / 2 ** 32;
  };
}

/** A function that gives the next batch {x, label}. */
function batches(trainingSamples, batchSize, seed, random) {
  let start = 0;
  const range = (first, count) => Array.from({ length: count }, (_, i) => first + i);
  if (trainingSamples === Infinity) return () => sample(range((start += batchSize) - batchSize, batchSize), seed);
  const all = sample(range(0, trainingSamples), seed);
  const order = range(0, trainingSamples);
  start = trainingSamples;
  return () => {
    if (start + batchSize > trainingSamples) {
      shuffle(order, random);
      start = 0;
    }
    const rows = order.slice(start, (start += batchSize));
    const x = new Float32Array(rows.length * POINTS);
    rows.forEach((row, i) => x.set(all.x.subarray(row * POINTS, (row + 1) * POINTS), i * POINTS));
    return { x, label: rows.map((row) => all.label[row]) };
  };
}

/** Fisher and Yates: each place gets one of those that are left. */
function shuffle(values, random) {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [values[i], values[j]] = [values[j], values[i]];
  }
}

// The networks

/** The layers of both networks of the paper; the MLP's second layer adds to its input. */
const ARCHITECTURES = {
  mlp: (width) => [
    { points: POINTS, channels: 1, out: width, kernel: POINTS, relu: true },
    { points: 1, channels: width, out: width, kernel: 1, relu: true, residual: true },
    { points: 1, channels: width, out: CLASSES, kernel: 1 },
  ],
  cnn: (width) => [
    { points: 40, channels: 1, out: width, kernel: 5, stride: 2, padding: 1, relu: true },
    { points: 19, channels: width, out: width, kernel: 3, stride: 2, padding: 1, relu: true },
    { points: 10, channels: width, out: width, kernel: 3, stride: 2, padding: 1, relu: true },
    { points: 5, channels: width, out: CLASSES, kernel: 5 },
  ],
};

/** A network with initial weights: {layers, parameters, forward(x) -> logits, backward(label) -> loss, predict(x)}. */
export function createNetwork(architecture, width, random) {
  const layers = ARCHITECTURES[architecture](width).map((shape) => createLayer(shape, random));
  const parameters = layers.reduce((sum, { weight, bias }) => sum + weight.length + bias.length, 0);
  const forward = (x) => layers.reduce((values, layer) => layer.forward(values), x);
  const predict = (x) =>
    Int32Array.from({ length: x.length / POINTS }, (_, row) => argmax(forward(x.subarray(row * POINTS, (row + 1) * POINTS))));
  /** The loss (cross-entropy) of the signal that went forward last; adds its gradient to that of each layer. */
  const backward = (label) => {
    const { loss, gradient } = crossEntropy(layers.at(-1).output, label);
    layers.reduceRight((later, layer) => layer.backward(later), gradient);
    return loss;
  };
  return { layers, parameters, forward, backward, predict };
}

/** The loss, and its gradient with respect to the logits: the probabilities, less 1 at the label. */
function crossEntropy(logits, label) {
  const largest = Math.max(...logits);
  const gradient = logits.map((logit) => Math.exp(logit - largest));
  const total = gradient.reduce((sum, value) => sum + value, 0);
  for (let i = 0; i < gradient.length; i++) gradient[i] /= total;
  gradient[label] -= 1;
  return { loss: Math.log(total) + largest - logits[label], gradient };
}

function createLayer({ points, channels, out, kernel, stride = 1, padding = 0, relu = false, residual = false }, random) {
  const reads = kernel * channels; // numbers that an output is made of
  const places = Math.floor((points + 2 * padding - kernel) / stride) + 1;
  const edge = padding * channels; // zeros before the input, and after it
  const input = new Float64Array(points * channels + 2 * edge);
  const inputGradient = new Float64Array(input.length);
  const output = new Float64Array(places * out);
  const uniform = () => (2 * random() - 1) / Math.sqrt(reads); // as PyTorch's layers start
  const layer = { weight: new Float64Array(out * reads).map(uniform), bias: new Float64Array(out).map(uniform), output };
  layer.gradient = { weight: new Float64Array(out * reads), bias: new Float64Array(out) };

  layer.forward = (values) => {
    input.set(values, edge);
    for (let place = 0; place < places; place++) {
      for (let unit = 0; unit < out; unit++) {
        const sum = layer.bias[unit] + dot(layer.weight, unit * reads, input, place * stride * channels, reads);
        output[place * out + unit] = (relu && sum < 0 ? 0 : sum) + (residual ? values[unit] : 0);
      }
    }
    return output;
  };

  /** Takes the gradient of the loss with respect to the output, gives the one with respect to the input. */
  layer.backward = (later) => {
    inputGradient.fill(0);
    for (let place = 0; place < places; place++) {
      const from = place * stride * channels;
      for (let unit = 0; unit < out; unit++) {
        const at = place * out + unit;
        const active = !relu || output[at] - (residual ? input[unit] : 0) > 0;
        if (residual) inputGradient[unit] += later[at];
        if (!active || later[at] === 0) continue;
        layer.gradient.bias[unit] += later[at];
        addProducts(later[at], layer.gradient.weight, layer.weight, unit * reads, inputGradient, input, from, reads);
      }
    }
    return inputGradient.subarray(edge, inputGradient.length - edge);
  };
  return layer;
}

/** The sum of a[i + k] * b[j + k] over n numbers; four sums at a time keep the processor busy. */
function dot(a, i, b, j, n) {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let k = 0;
  for (; k + 3 < n; k += 4) {
    s0 += a[i + k] * b[j + k];
    s1 += a[i + k + 1] * b[j + k + 1];
    s2 += a[i + k + 2] * b[j + k + 2];
    s3 += a[i + k + 3] * b[j + k + 3];
  }
  for (; k < n; k++) s0 += a[i + k] * b[j + k];
  return s0 + s1 + s2 + s3;
}

/** Of an output that reads n inputs: adds to the gradients of its weights (from place i) and of its inputs (from j). */
function addProducts(factor, weightGradient, weight, i, inputGradient, input, j, n) {
  for (let k = 0; k < n; k++) {
    weightGradient[i + k] += factor * input[j + k];
    inputGradient[j + k] += factor * weight[i + k];
  }
}

/** A function that takes a step against the mean gradient of a batch, and sets the gradient to 0. */
function adam(layers, learningRate) {
  const groups = layers.flatMap(({ weight, bias, gradient }) => [
    { values: weight, gradient: gradient.weight },
    { values: bias, gradient: gradient.bias },
  ]);
  for (const group of groups) {
    group.mean = new Float64Array(group.values.length);
    group.square = new Float64Array(group.values.length);
  }
  return (step, batchSize) => {
    const rate = learningRate / (1 - BETA1 ** step);
    const correction = 1 / (1 - BETA2 ** step);
    for (const { values, gradient, mean, square } of groups) {
      for (let i = 0; i < values.length; i++) {
        const slope = gradient[i] / batchSize;
        mean[i] += (1 - BETA1) * (slope - mean[i]);
        square[i] += (1 - BETA2) * (slope * slope - square[i]);
        values[i] -= (rate * mean[i]) / (Math.sqrt(square[i] * correction) + EPSILON);
      }
      gradient.fill(0);
    }
  };
}
