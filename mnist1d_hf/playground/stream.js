// The endless stream of mnist1d_hf.sample, number by number the same as in Python. STREAM.md is its specification.
//
// Class, padding, translation, scale and shear of a sample are drawn from its random words; then all steps of the
// generator are linear:  x = scale * clean + correlated noise + independent noise - shear * slope,  standardised.
// Float32Array and Math.fround round to 32 bits after each operation, as NumPy does.

import { gaussianKernel, grid, places, resample } from "./filters.js";
import { normalTable, philox, rounded } from "./philox.js";
import { TEMPLATES, complete, pad } from "./templates.js";

export { resample } from "./filters.js";
export { DEFAULTS, TEMPLATES, asTemplate } from "./templates.js";
export { stages, transform } from "./stages.js";

const MAX_INDEX = 2n ** 60n; // indices are below
const MAX_SEED = 2n ** 63n - 1n;
const FOR_SAMPLES = 0x6d6e6973743164n; // second word of Philox's key: "mnist1d"
const FOR_ORDER = 0x6f72646572n; // "order"
const NEGLIGIBLE = 1e-6; // fraction of the correlated noise's variance that is left out
const { fround } = Math;

/**
 * Samples with these indices (Numbers or BigInts, 0 .. 2**60 - 1) of the stream of a seed (0 .. 2**63 - 1).
 *
 * `config` holds arguments of Python's GeneratorConfig under the same names; what it lacks is as in DEFAULTS.
 * Returns {x: Float32Array(n * length), label: Int32Array(n), latents: {padding, translation: Int32Array(n),
 * scale, shear: Float64Array(n)}}.
 */
export function sample(indices, seed = 0, config = {}) {
  const plan = planOf(config);
  const key = whole("seed", seed, MAX_SEED);
  const [n, { length }] = [indices.length, plan];
  const label = new Int32Array(n);
  const latents = { padding: new Int32Array(n), translation: new Int32Array(n) };
  Object.assign(latents, { scale: new Float64Array(n), shear: new Float64Array(n) });
  const x = new Float32Array(n * length);
  const table = normalTable();
  const normals = new Float64Array(4 * plan.words);
  let [words, start] = [null, -1n];
  for (let i = 0; i < n; i++) {
    const index = whole("index", indices[i], MAX_INDEX - 1n);
    const first = index - (index % RUN);
    if (first !== start) [words, start] = [wordsOf(plan, key, first), first];
    const at = Number(index - first) * 2 * plan.words;
    const drawn = draw(plan, words.subarray(at, at + 6));
    label[i] = drawn.label;
    for (const name of Object.keys(latents)) latents[name][i] = drawn[name];
    const bits = new Uint16Array(words.buffer, 4 * (at + 6), 4 * (plan.words - 3));
    for (let k = 0; k < bits.length; k++) normals[k] = table[bits[k]];
    fill(plan, drawn, normals, x.subarray(i * length, (i + 1) * length));
  }
  if (plan.config.shuffle_seq) shuffle(x, positionOrder(key, length));
  return { x, label, latents };
}

/** {mean, std} of the stream's population: x = (signal - mean) / std. */
export function standardization(config = {}) {
  const { mean, std } = planOf(config);
  return { mean, std };
}

/** A raw signal (any length, in the generator's units) on the scale of the data: Float32Array. */
export function standardize(signal, config = {}) {
  const { mean, std } = planOf(config);
  return Float32Array.from(signal, (value) => (value - mean) / std);
}

/** `value` as a BigInt from 0 to `most`; Numbers beyond 2**53 are refused, because they have lost digits. */
export function whole(name, value, most) {
  const exact = typeof value === "bigint" || Number.isSafeInteger(value);
  if (!exact || value < 0 || value > most) throw new RangeError(`${name}: expected an integer from 0 to ${most}, found ${value}`);
  return BigInt(value);
}

// What a configuration decides

const plans = new Map();

/** The tables of a configuration, made once. */
export function planOf(config) {
  const full = complete(config);
  const name = JSON.stringify(full);
  if (!plans.has(name)) {
    if (plans.size > 8) plans.clear();
    plans.set(name, makePlan(full));
  }
  return plans.get(name);
}

function makePlan(config) {
  const { points, padding, final_seq_length: length } = config;
  const { left, offset, width } = places(length, points);
  const after = offset.map((value, j) => value / width[j]); // weight of the right neighbour
  const plan = { config, length, left, after, slope: resample(grid(points, -0.5, 0.5), length) };
  plan.span = padding[1] - padding[0] + 1;
  plan.dilated = TEMPLATES.map((template) =>
    Array.from({ length: plan.span }, (_, extra) => resample(pad(template, padding[0] + extra), points)),
  );
  const smooth = smoothFactors(plan);
  const white = whiteFactors(plan);
  const shifts = Math.min(config.max_translation, points); // longer ones leave a signal where it is
  Object.assign(plan, { shifts, smooth, white }, moments(plan, shifts, smooth, white));
  plan.slope = Float32Array.from(plan.slope, (value) => value / plan.std);
  plan.offset = fround(plan.mean / plan.std);
  return fold(plan);
}

/** Divide by the standard deviation of the population once, here, and round. */
function fold(plan) {
  const { smooth, white, std, length } = plan;
  const factors = [];
  for (let j = 0; j < 2 * length; j++) {
    const [side, column] = j < length ? [smooth.left, j] : [smooth.right, j - length];
    for (const row of side) factors.push(row[column] / std);
  }
  plan.terms = smooth.left.length;
  plan.factors = fewDigits(factors, plan.terms); // [(side, column), frequency]
  plan.white = white.map(({ place, weight }) => {
    const start = weight.findIndex((value) => value !== 0);
    return { place, weight: Float32Array.from(weight, (value) => value / std), start: start < 0 ? length : start };
  });
  const normals = plan.terms + Math.max(...white.map(({ place }) => Math.max(...place))) + 1;
  plan.words = 3 + Math.ceil(normals / 4); // three words for the latents, then four normals to a word
  return plan;
}

/**
 * The Gaussian filter with reflecting ends, diagonal in the cosine transform: for each frequency that counts, what one
 * normal number adds to the left and to the right neighbour of each final point, times the neighbour's weight.
 */
function smoothFactors({ config, left, after }) {
  const { points, corr_noise_scale: scale } = config;
  const kernel = gaussianKernel();
  const response = Float64Array.from({ length: points }, (_, frequency) =>
    kernel.reduce((sum, weight, i) => sum + weight * Math.cos((Math.PI * frequency * (i - 8)) / points), 0),
  );
  const rest = response.map((value) => value ** 2); // then: variance of this frequency and all higher ones
  for (let i = points - 2; i >= 0; i--) rest[i] += rest[i + 1];
  const kept = Math.max(1, rest.filter((value) => value > NEGLIGIBLE * rest[0]).length);
  const factor = (frequency, place) => {
    const norm = Math.sqrt(2 / points) / (frequency ? 1 : Math.sqrt(2));
    return scale * response[frequency] * Math.cos((Math.PI * frequency * (place + 0.5)) / points) * norm;
  };
  const rows = (value) => Array.from({ length: kept }, (_, frequency) => after.map((weight, j) => value(frequency, j, weight)));
  return {
    left: rows((frequency, j, weight) => factor(frequency, left[j]) * (1 - weight)),
    right: rows((frequency, j, weight) => factor(frequency, left[j] + 1) * weight),
  };
}

/** The independent noise of the final points as a weighted sum of two normals each: [{place, weight}, {place, weight}]. */
function whiteFactors({ config, length, left, after }) {
  const { points, iid_noise_scale: scale } = config;
  if (length > points) {
    // More points than the working grid has: interpolate its noise.
    const first = { place: left, weight: after.map((weight) => scale * (1 - weight)) };
    return [first, { place: left.map((place) => place + 1), weight: after.map((weight) => scale * weight) }];
  }
  // Neighbours share at most one point of the working grid: their covariance is tridiagonal, its factor bidiagonal.
  const weights = (j) => [[left[j], 1 - after[j]], [left[j] + 1, after[j]]];
  const [diagonal, below] = [new Float64Array(length), new Float64Array(length)];
  for (let j = 0; j < length; j++) {
    let shared = 0;
    if (j) for (const [a, one] of weights(j - 1)) for (const [b, other] of weights(j)) shared += a === b ? one * other : 0;
    if (j && diagonal[j - 1] > 0) below[j] = shared / diagonal[j - 1];
    diagonal[j] = Math.sqrt(Math.max((1 - after[j]) ** 2 + after[j] ** 2 - below[j] ** 2, 0));
  }
  const place = Int32Array.from({ length }, (_, j) => j);
  const first = { place, weight: diagonal.map((weight) => scale * weight) };
  return [first, { place: place.map((j) => Math.max(j - 1, 0)), weight: below.map((weight) => scale * weight) }];
}

/** Mean and standard deviation of all numbers of the population, in single precision. */
function moments({ config, length, left, after, slope, dilated }, shifts, smooth, white) {
  const { points, max_translation, scale_coeff, shear_scale } = config;
  let [total, mean, square] = [0, 0, 0];
  for (let j = 0; j < length; j++) {
    const dot = (a, b) => a.reduce((sum, row, i) => sum + row[j] * b[i][j], 0);
    const [ll, rr, lr] = [dot(smooth.left, smooth.left), dot(smooth.right, smooth.right), dot(smooth.left, smooth.right)];
    const rest = white[0].weight[j] ** 2 + white[1].weight[j] ** 2 + (shear_scale ** 2 / 12) * slope[j] ** 2;
    for (const row of dilated.flat()) {
      for (let shift = 0; shift < shifts; shift++) {
        const times = shift ? 1 : 1 + max_translation - shifts;
        const place = around(left[j] - shift, points);
        const a = row[place];
        const b = row[place + 1 < points ? place + 1 : 0];
        const clean = a + after[j] * (b - a);
        total += times;
        mean += times * clean;
        const noise = (a === 0 ? ll : 0) + (b === 0 ? rr : 0) + (a === 0 && b === 0 ? 2 * lr : 0);
        square += times * (clean ** 2 * (1 + scale_coeff ** 2 / 12) + noise + rest);
      }
    }
  }
  mean /= total;
  const std = Math.sqrt(square / total - mean ** 2);
  if (!(std > 0)) throw new RangeError("config: the signals do not differ; expected noise or shear");
  return { mean: fround(mean), std: fround(std) };
}

/** Rounded to so few binary digits that sums of `terms` products with normals (23 digits) are exact: Float64Array. */
function fewDigits(factors, terms) {
  const largest = factors.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (largest === 0) return Float64Array.from(factors);
  const exponent = Math.floor(Math.log2(largest)) + 1; // largest = fraction * 2**exponent, 0.5 <= fraction < 1
  return Float64Array.from(factors, (value) => rounded(value, 30 - Math.ceil(Math.log2(terms)) - exponent));
}

// What a sample decides

const RUN = 16n; // samples whose words are made together: a multiple of 4, because a step of the counter makes 4 words

/** The words of RUN samples from index `first` on: Uint32Array, halves of 64-bit words, the lower first. */
function wordsOf(plan, key, first) {
  return philox(key, FOR_SAMPLES, (first * BigInt(plan.words)) / 4n, Number(RUN) * plan.words);
}

/** Class and latents from the first three words of a sample. */
function draw({ config, span }, [low0, high0, low1, high1, low2, high2]) {
  const wholeOf = (bits, count) => Math.floor((bits * count) / 2 ** 32);
  const centred = (bits) => (bits + 0.5) / 2 ** 32 - 0.5;
  return {
    label: wholeOf(high0, TEMPLATES.length),
    padding: config.padding[0] + wholeOf(low0, span),
    translation: wholeOf(high1, config.max_translation),
    scale: 1 + config.scale_coeff * centred(high2),
    shear: config.shear_scale * centred(low2),
  };
}

/** One signal, from its latents and its normal numbers, written into x. */
function fill(plan, drawn, normals, x) {
  const { config, length, left, after, terms, factors, slope, offset, std, white } = plan;
  const row = plan.dilated[drawn.label][drawn.padding - config.padding[0]];
  const shift = drawn.translation < plan.shifts ? drawn.translation : 0;
  const [scale, shear] = [fround(drawn.scale), fround(drawn.shear)];
  const smooth = (column) => {
    let sum = 0;
    for (let k = 0; k < terms; k++) sum += normals[k] * factors[column * terms + k];
    return fround(sum);
  };
  for (let j = 0; j < length; j++) {
    const place = around(left[j] - shift, config.points);
    const a = row[place];
    const b = row[place + 1 < config.points ? place + 1 : 0];
    let value = fround(fround((a + after[j] * (b - a)) / std) * scale);
    if (a === 0) value = fround(value + smooth(j)); // padding takes the correlated noise
    if (b === 0) value = fround(value + smooth(length + j));
    for (const { place: source, weight, start } of white) {
      if (j >= start) value = fround(value + fround(normals[terms + source[j]] * weight[j]));
    }
    x[j] = fround(value - fround(shear * slope[j])) - offset;
  }
}

/** A place on the circle of `points`, from one that may lie before its start. */
const around = (place, points) => (place < 0 ? place + points : place);

/** The permutation of the points that belongs to a seed. */
function positionOrder(key, length) {
  const words = philox(key, FOR_ORDER, 0n, 4 * Math.ceil(length / 4));
  const order = Array.from({ length }, (_, i) => i);
  return order.sort((a, b) => words[2 * a + 1] - words[2 * b + 1] || words[2 * a] - words[2 * b] || a - b);
}

function shuffle(x, order) {
  for (let start = 0; start < x.length; start += order.length) {
    const row = x.slice(start, start + order.length);
    order.forEach((source, j) => (x[start + j] = row[source]));
  }
}
