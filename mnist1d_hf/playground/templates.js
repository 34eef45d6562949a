// The ten digits, and the arguments of the generator.

/** The arguments that shape a signal, under the names of Python's GeneratorConfig, with the values of the paper. */
export const DEFAULTS = Object.freeze({
  template_len: 12, // points of a template
  padding: Object.freeze([36, 60]), // least and greatest number of zeros after it, both inclusive
  scale_coeff: 0.4, // scale is uniform in 1 ± scale_coeff / 2
  max_translation: 48, // the circular shift is uniform in 0 .. max_translation - 1
  corr_noise_scale: 0.25, // std of the white noise that is smoothed to fill the padding
  iid_noise_scale: 0.02, // std of the white noise everywhere
  shear_scale: 0.75, // shear is uniform in ± shear_scale / 2
  shuffle_seq: false, // whether to permute the points of a signal
  final_seq_length: 40, // points of a finished signal
});

/** DEFAULTS with the given arguments in their place, and `points`, the length of the working grid. */
export function complete(config = {}) {
  const unknown = Object.keys(config).filter((name) => !(name in DEFAULTS) && name !== "points");
  if (unknown.length) throw new RangeError(`config: unknown ${unknown[0]}; choose from ${Object.keys(DEFAULTS).join(", ")}`);
  const all = { ...DEFAULTS, ...config };
  if (all.max_translation > 2 ** 21) throw new RangeError("config: max_translation: expected at most 2**21"); // exact doubles
  return { ...all, points: all.template_len + all.padding[1] };
}

const HEIGHTS = [
  [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
  [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
  [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
  [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
  [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
  [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
  [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
  [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
  [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
  [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
];

/** Heights (any unit) as a template: standardised, shifted to start at 0, divided by 6. Level heights give zeros. */
export function asTemplate(heights) {
  const count = heights.length;
  const mean = sum(heights) / count;
  const centred = Float64Array.from(heights, (height) => height - mean);
  const rest = sum(centred) / count; // all but zero
  const std = Math.sqrt(sum(centred.map((value) => (value - rest) ** 2)) / count) || 1;
  return centred.map((value) => (value / std - centred[0] / std) / 6);
}

/** A sum in NumPy's order, so that not even the last bit differs: eight partial sums, then the rest (n < 16). */
function sum(values) {
  if (values.length < 8) return values.reduce((total, value) => total + value, 0);
  const [a, b, c, d, e, f, g, h] = values;
  return values.slice(8).reduce((total, value) => total + value, a + b + (c + d) + (e + f + (g + h)));
}

/** The templates of the ten digits, Float64Array(12) each. */
export const TEMPLATES = HEIGHTS.map(asTemplate);

// A signal is zero where it is padding, and there only: every template is lifted by a little.
const LIFT = 1e-8;

/** A template with `padding` zeros after it, lifted: Float64Array. */
export function pad(template, padding) {
  const padded = new Float64Array(template.length + padding);
  template.forEach((value, i) => (padded[i] = value + LIFT));
  return padded;
}
