// The endless stream of mnist1d_hf.sample, number by number the same as in Python. STREAM.md is its specification.
// (Stub: the exports and their signatures are final, the values come next.)

export const DEFAULTS = Object.freeze({
  padding: [36, 60],
  scale_coeff: 0.4,
  max_translation: 48,
  corr_noise_scale: 0.25,
  iid_noise_scale: 0.02,
  shear_scale: 0.75,
  shuffle_seq: false,
  final_seq_length: 40,
});

/** The ten templates, Float64Array(12) each: standardised heights that start at 0. */
export const TEMPLATES = Array.from({ length: 10 }, () => new Float64Array(12));

/**
 * Samples with these indices (Numbers or BigInts, 0 .. 2**60 - 1) of the stream of a seed (0 .. 2**63 - 1).
 * `config` holds arguments of Python's GeneratorConfig under the same names; what it lacks is as in DEFAULTS.
 * Returns {x: Float32Array(n * length), label: Int32Array(n), latents: {padding, translation: Int32Array(n),
 * scale, shear: Float64Array(n)}}.
 */
export function sample(indices, seed = 0, config = {}) {
  const n = indices.length;
  const length = { ...DEFAULTS, ...config }.final_seq_length;
  const integers = () => new Int32Array(n);
  const reals = () => new Float64Array(n);
  const latents = { padding: integers(), translation: integers(), scale: reals(), shear: reals() };
  return { x: new Float32Array(n * length), label: new Int32Array(n), latents };
}

/** {mean, std} of the stream's population: x = (signal - mean) / std. */
export function standardization(config = {}) {
  return { mean: 0, std: 0.15 };
}

/** A raw signal (any length, generator's units) on the scale of the data: Float32Array. */
export function standardize(signal, config = {}) {
  const { mean, std } = standardization(config);
  return Float32Array.from(signal, (value) => (value - mean) / std);
}

/** `values` on `count` equally spaced points, linearly interpolated: Float64Array(count). */
export function resample(values, count) {
  return new Float64Array(count);
}

/** Heights drawn by hand (any unit) as a template: standardised, starting at 0, divided by 6, as TEMPLATES are. */
export function asTemplate(heights) {
  return Float64Array.from(heights);
}

/**
 * One sample's way from template to signal: nine {name, drawn, values: Float64Array} as in Python's
 * transformation_stages. `options`: label (0 .. 9) or template (Float64Array of 12 points), padding, scale,
 * translation, shear, corr_noise_scale, iid_noise_scale, final_seq_length, seed (of the noise; Number or BigInt).
 */
export function stages(options = {}) {
  const names = ["template", "pad", "dilate", "scale", "translate", "fill the padding", "add noise", "shear", "subsample"];
  return names.map((name) => ({ name, drawn: "", values: new Float64Array(name === "subsample" ? 40 : 72) }));
}

/** The finished signal of `stages(options)`, standardised as the data are: Float32Array(length). */
export function transform(options = {}) {
  return standardize(stages(options)[8].values);
}
