// The exact p(class | x), by Bayes' rule, as Python's mnist1d_hf.posterior has it.
//
// Given class, padding and translation (a combination; 12,000 by default) a signal is
//     scale * clean - shear * slope + noise,   noise ~ N(0, C),   scale and shear uniform on a rectangle.
// C depends on where the padding lies, which many combinations have in common (a group; 384 by default). A matrix W with
// C = inverse(W' W) makes the noise white. After that, all that a likelihood needs are products of three vectors:
// the signal W x, the clean signal W c and the slope W s.

import { gaussianFilter } from "./filters.js";
import { average, logUpperBound } from "./quadrature.js";
import { planOf } from "./stream.js";
import { DEFAULTS, TEMPLATES } from "./templates.js";

const ROUNDING = 1e-6; // std of the rounding error of float32 signals, in standard deviations of the signals
const LEFT_OUT = 26; // combinations below e**-26 of the best one's likelihood do not count
const keys = new Map();

/** Make the tables of a configuration now, so that the first `posterior` is as fast as the others. */
export function prepare(config = {}) {
  keyOf(config);
}

/** p(class | x) of one standardised signal, Float32Array(length): Float64Array(10). */
export function posterior(x, config = {}) {
  const key = keyOf(config);
  if (x.length !== key.length || !x.every(Number.isFinite)) throw new RangeError(`x: expected ${key.length} finite numbers`);
  const { scale_coeff, shear_scale } = key.config;
  const found = screen(key, x);
  const likelihood = [];
  let best = -Infinity;
  for (const { combination, bound, yy, yc, ys } of found) {
    if (bound < best - LEFT_OUT) break; // the bounds fall from here on
    const group = key.group[combination];
    const [cc, cs, ss] = [key.cc[combination], key.cs[combination], key.ss[group]];
    // Squared distance of the signal from (1 + u) * clean - v * slope.
    const distance = { d2: yy - 2 * yc + cc, b1: yc - cc, b2: cs - ys, g11: cc, g12: -cs, g22: ss };
    const log = average(distance, scale_coeff, shear_scale) + key.logScale[group] + key.logPrior[combination];
    likelihood.push({ label: key.label[combination], log });
    best = Math.max(best, log);
  }
  const probability = new Float64Array(TEMPLATES.length);
  for (const { label, log } of likelihood) probability[label] += Math.exp(log - best);
  const total = probability.reduce((sum, value) => sum + value);
  return probability.map((value) => value / total);
}

/**
 * Combinations with an upper bound of their likelihood, the largest first: the best scale within its range and the best
 * shear anywhere. Only those that come into question are sorted, and they are few.
 */
function screen(key, x) {
  const { length, count, white, group, mean, std } = key;
  const signal = Float64Array.from(x, (value) => value * std + mean);
  const all = key.whiten.map((matrix) => product(matrix, signal));
  const yy = all.map((y) => dot(y, y));
  const ys = all.map((y, g) => dot(y, key.slope[g]));
  const yc = new Float64Array(count);
  const bound = new Float64Array(count);
  let top = -Infinity;
  for (let c = 0; c < count; c++) {
    const y = all[group[c]];
    let sum = 0;
    for (let i = 0; i < length; i++) sum += y[i] * white[c * length + i];
    yc[c] = sum;
    bound[c] = upperBound(key, c, yy[group[c]], sum, ys[group[c]]);
    top = Math.max(top, bound[c]);
  }
  const entry = (c) => ({ combination: c, bound: bound[c], yy: yy[group[c]], yc: yc[c], ys: ys[group[c]] });
  return inOrder(bound, top, entry);
}

/** Entries in the order of their bounds, sorted in slices, as far as somebody asks for them. */
function* inOrder(bound, top, entry) {
  let [above, least] = [Infinity, top - LEFT_OUT];
  for (let left = bound.length; left > 0; ) {
    const slice = [];
    for (let c = 0; c < bound.length; c++) if (bound[c] < above && bound[c] >= least) slice.push(c);
    yield* slice.sort((a, b) => bound[b] - bound[a]).map(entry);
    left -= slice.length;
    [above, least] = [least, top - 4 * (top - least)];
  }
}

function upperBound(key, c, yy, yc, ys) {
  const { config, group, ss, cs, cc, constant } = key;
  const g = group[c];
  const along = config.shear_scale > 0 ? 1 / ss[g] : 0; // what lies along the slope does not count
  const clean = cc[c] - cs[c] * cs[c] * along;
  const both = yc - ys * cs[c] * along;
  const half = config.scale_coeff / 2;
  const scale = clean > 0 ? Math.min(Math.max(both / clean, 1 - half), 1 + half) : 1;
  return constant[c] - (yy - ys * ys * along - scale * (2 * both - scale * clean)) / 2;
}

// The tables

function keyOf(config) {
  const name = JSON.stringify({ ...DEFAULTS, ...config });
  if (!keys.has(name)) {
    keys.clear(); // each has some megabytes
    keys.set(name, makeKey(planOf(config)));
  }
  return keys.get(name);
}

function makeKey(plan) {
  const { config, length } = plan;
  if (length > config.points || config.shuffle_seq) {
    throw new RangeError(`posterior: expected up to ${config.points} points that are not shuffled`);
  }
  const key = { config, length, mean: plan.mean, std: plan.std, ...combinations(plan) };
  const slope = plan.slope.map((value) => value * plan.std);
  const noise = noiseCovariance(plan);
  key.whiten = key.patterns.map((pattern) => inverse(cholesky(noise(pattern), length), length));
  key.logScale = key.whiten.map((matrix) => matrix.reduce((sum, row, i) => sum + Math.log(row[i]), 0));
  key.slope = key.whiten.map((matrix) => product(matrix, slope));
  key.ss = key.slope.map((s) => dot(s, s));
  key.cc = new Float64Array(key.count);
  key.cs = new Float64Array(key.count);
  key.white = new Float64Array(key.count * length);
  key.clean.forEach((clean, c) => {
    const white = product(key.whiten[key.group[c]], clean);
    key.white.set(white, c * length);
    key.cc[c] = dot(white, white);
    key.cs[c] = dot(white, key.slope[key.group[c]]);
  });
  delete key.clean;
  key.constant = key.logPrior.map((prior, c) => prior + logFactor(key, c));
  return key;
}

/** What the upper bound of a combination needs beside the prior. */
function logFactor({ config, group, logScale, cc, cs, ss }, c) {
  const g = group[c];
  const clean = config.shear_scale > 0 ? cc[c] - cs[c] ** 2 / ss[g] : cc[c];
  return logScale[g] + logUpperBound(clean, config.scale_coeff) + logUpperBound(ss[g], config.shear_scale);
}

/** Class, prior, group and clean signal of each combination, and the pattern of each group: 1 where padding lies. */
function combinations({ config, length, left, after, dilated, shifts }) {
  const { points, max_translation } = config;
  const key = { label: [], logPrior: [], group: [], clean: [], patterns: [] };
  const groups = new Map();
  dilated.forEach((rows, label) => rows.forEach((row) => {
    for (let shift = 0; shift < shifts; shift++) {
      const moved = row.map((_, i) => row[(i - shift + points) % points]);
      const [a, b] = [left.map((i) => +(moved[i] === 0)), left.map((i) => +(moved[i + 1] === 0))];
      const pattern = [...a, ...b];
      const name = pattern.join("");
      if (!groups.has(name)) groups.set(name, key.patterns.push(pattern) - 1);
      key.group.push(groups.get(name));
      key.label.push(label);
      key.clean.push(after.map((weight, j) => moved[left[j]] + weight * (moved[left[j] + 1] - moved[left[j]])));
      const times = shift ? 1 : 1 + max_translation - shifts; // shifts by the whole signal or more count as none
      key.logPrior.push(Math.log(times / (TEMPLATES.length * rows.length * max_translation)));
    }
  }));
  return { ...key, count: key.label.length };
}

/** A function from the pattern of a group to the covariance of its noise: rows of Float64Array. */
function noiseCovariance({ config, length, left, after, std }) {
  const { points, corr_noise_scale, iid_noise_scale } = config;
  const unit = (i) => gaussianFilter(Float64Array.from({ length: points }, (_, k) => (k === i ? corr_noise_scale : 0)));
  const filters = Array.from({ length: points }, (_, i) => unit(i));
  const smooth = Array.from({ length: points }, (_, i) =>
    Float64Array.from({ length: points }, (_, j) => filters.reduce((sum, column) => sum + column[i] * column[j], 0)),
  );
  const neighbours = (j) => [[left[j], 1 - after[j], j], [left[j] + 1, after[j], length + j]];
  const at = (pattern, i, j) => {
    let sum = i === j ? (ROUNDING * std) ** 2 : 0;
    for (const [a, one, first] of neighbours(i)) {
      for (const [b, other, second] of neighbours(j)) {
        sum += one * other * (pattern[first] * pattern[second] * smooth[a][b] + (a === b ? iid_noise_scale ** 2 : 0));
      }
    }
    return sum;
  };
  return (pattern) => Array.from({ length }, (_, i) => Float64Array.from({ length }, (_, j) => at(pattern, i, j)));
}

/** The lower triangular L with L L' = matrix. */
function cholesky(matrix, n) {
  const lower = Array.from({ length: n }, () => new Float64Array(n));
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i][j];
      for (let k = 0; k < j; k++) sum -= lower[i][k] * lower[j][k];
      lower[i][j] = i === j ? Math.sqrt(sum) : sum / lower[j][j];
    }
  }
  return lower;
}

/** The inverse of a lower triangular matrix. */
function inverse(lower, n) {
  const result = Array.from({ length: n }, () => new Float64Array(n));
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? 1 : 0;
      for (let k = j; k < i; k++) sum -= lower[i][k] * result[k][j];
      result[i][j] = sum / lower[i][i];
    }
  }
  return result;
}

/** A lower triangular matrix times a vector. */
function product(lower, vector) {
  const result = new Float64Array(vector.length);
  for (let i = 0; i < result.length; i++) {
    const row = lower[i];
    for (let j = 0; j <= i; j++) result[i] += row[j] * vector[j];
  }
  return result;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
