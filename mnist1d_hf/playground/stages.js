// One sample's way from template to signal, step by step: what the first part of the page draws.

import { gaussianFilter, grid, resample } from "./filters.js";
import { normalTable, philox } from "./philox.js";
import { standardize, whole } from "./stream.js";
import { TEMPLATES, complete, pad } from "./templates.js";

const FOR_STAGES = 0x737461676573n; // second word of Philox's key: "stages"

/**
 * The signal after each step: nine {name, drawn, values: Float64Array}, as in Python's transformation_stages.
 *
 * options: label (0 .. 9) or template (12 numbers, as TEMPLATES has them); padding, scale, translation, shear; seed of
 * the noise (Number or BigInt); and the arguments of DEFAULTS. `normals`: 2 * points standard normals instead of the
 * seed's, first those that are smoothed.
 */
export function stages(options = {}) {
  const { label = 0, template = TEMPLATES[label], padding = 48, scale = 1, translation = 0, shear = 0, seed = 0 } = options;
  const { normals, ...config } = options;
  for (const name of ["label", "template", "padding", "scale", "translation", "shear", "seed"]) delete config[name];
  const { points, corr_noise_scale, iid_noise_scale, final_seq_length } = complete(config);
  const noise = normals ?? standardNormals(whole("seed", seed, 2n ** 63n - 1n), 2 * points);

  const raised = pad(template, 0);
  const dilated = resample(pad(template, padding), points);
  const scaled = dilated.map((value) => value * scale);
  const shift = translation < points ? translation : 0; // longer ones leave the signal where it is
  const translated = scaled.map((_, i) => scaled[(i - shift + points) % points]);
  const smooth = gaussianFilter(noise.slice(0, points).map((value) => corr_noise_scale * value));
  const filled = translated.map((value, i) => (value !== 0 ? value : smooth[i]));
  const noisy = filled.map((value, i) => value + iid_noise_scale * noise[points + i]);
  const slope = grid(points, -0.5, 0.5);
  const sheared = noisy.map((value, i) => value - shear * slope[i]);
  return [
    { name: "template", drawn: options.template ? "your own" : `digit ${label}`, values: raised },
    { name: "pad", drawn: `${padding} zeros`, values: pad(template, padding) },
    { name: "dilate", drawn: `to ${points} points`, values: dilated },
    { name: "scale", drawn: `by ${scale.toFixed(2)}`, values: scaled },
    { name: "translate", drawn: `by ${translation} points`, values: translated },
    { name: "fill the padding", drawn: "smooth noise", values: filled },
    { name: "add noise", drawn: `white, std ${iid_noise_scale}`, values: noisy },
    { name: "shear", drawn: `slope ${(-shear).toFixed(2)}`, values: sheared },
    { name: "subsample", drawn: `to ${final_seq_length} points`, values: resample(sheared, final_seq_length) },
  ];
}

/** The finished signal of `stages(options)` on the scale of the data: Float32Array(40), what the networks take. */
export function transform(options = {}) {
  return standardize(stages(options).at(-1).values);
}

/** `count` standard normals of a seed: 16 random bits each choose one of the table. Float64Array. */
function standardNormals(seed, count) {
  const table = normalTable();
  const words = philox(seed, FOR_STAGES, 0n, 4 * Math.ceil(count / 16));
  return Float64Array.from(new Uint16Array(words.buffer, 0, count), (bits) => table[bits]);
}
