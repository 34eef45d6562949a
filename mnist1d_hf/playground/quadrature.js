// The average of a Gaussian function of two variables over a rectangle, which may be narrow, wide, or far from its peak.
//
// The function is exp(-d2(u, v) / 2), d2(u, v) = d2 - 2 (b1 u + b2 v) + g11 u² + 2 g12 u v + g22 v²; the rectangle
// |u| <= width1 / 2, |v| <= width2 / 2. With its peak (u0, v0), and t and s along which it falls off alike,
//     t = sqrt(g11 - g12² / g22) (u - u0),   s = sqrt(g22) (v - v0) + k t,   k = g12 / sqrt(g11 g22 - g12²),
// d2(u, v) = d2(u0, v0) + t² + s². For each t the range of s is an interval that moves with k t. Both integrals are taken
// by Gauss-Legendre quadrature where the function is above e**-18 of its largest value in the rectangle.

const REACH = 6; // standard deviations from the peak beyond which nothing counts
const INNER = 20; // points in s; in t as many for k = 0, and 4 |k| more
const FLAT = 1e-8; // added to d2 at the ends of an axis, so that a peak exists where a direction is flat
const NEWTON = 8; // steps, on functions of three quadratic pieces

const clip = (value, low, high) => Math.min(Math.max(value, low), high);

/** The log of the average; its relative error is below 1e-7. A width may be 0. */
export function average({ d2, b1, b2, g11, g12, g22 }, width1, width2) {
  const raised = (g, width) => g + (width > 0 ? FLAT / (width / 2) ** 2 : 1);
  [g11, g22] = [raised(g11, width1), raised(g22, width2)];
  const determinant = g11 * g22 - g12 * g12;
  const [u0, v0] = [(g22 * b1 - g12 * b2) / determinant, (g11 * b2 - g12 * b1) / determinant];
  const [unit1, unit2] = [Math.sqrt(g22 / determinant), 1 / Math.sqrt(g22)]; // standard deviations of t and s
  const [first, last] = [(-width1 / 2 - u0) / unit1, (width1 / 2 - u0) / unit1];
  const strip = { low: (-width2 / 2 - v0) / unit2, high: (width2 / 2 - v0) / unit2, slope: g12 / Math.sqrt(determinant) };
  const least = height(strip, clip(lowest(strip), first, last));
  const [start, stop] = [-1, 1].map((side) => clip(level(strip, least + REACH ** 2, side), first, last));
  const { nodes, weights } = legendre(INNER + Math.min(4 * Math.ceil(Math.abs(strip.slope)), 1000));
  let total = 0;
  nodes.forEach((node, i) => {
    const t = start + (stop - start) * node;
    total += weights[i] * across(strip, t, least - t * t);
  });
  return Math.log(total * fraction(start, stop, first, last)) - (d2 - u0 * b1 - v0 * b2 + least) / 2;
}

/** The log of an upper bound of the average of exp(-precision (u - u0)² / 2) over an interval, for every u0. */
export function logUpperBound(precision, width) {
  if (width === 0) return 0;
  return Math.min(0, 0.5 * Math.log((2 * Math.PI) / Math.max(precision, 1e-300)) - Math.log(width));
}

/** The s nearest to 0 in the range that belongs to t. */
const nearest = ({ low, high, slope }, t) => clip(0, low + slope * t, high + slope * t);

/** t² + s² at that s. */
const height = (strip, t) => t * t + nearest(strip, t) ** 2;

/** The t of the least height, by Newton's method, which is exact on a quadratic piece. */
function lowest(strip) {
  let t = 0;
  for (let i = 0; i < NEWTON; i++) {
    const s = nearest(strip, t);
    t -= (t + s * strip.slope) / (1 + (s === 0 ? 0 : strip.slope ** 2));
  }
  return t;
}

/** A t on this side of the lowest beyond which all is higher: Newton's method, from outside. */
function level(strip, value, side) {
  let t = side * Math.sqrt(value);
  for (let i = 0; i < NEWTON; i++) t -= (height(strip, t) - value) / (2 * (t + nearest(strip, t) * strip.slope));
  return t;
}

/** The average of exp((log - s²) / 2) over the range of s that belongs to t. */
function across(strip, t, log) {
  const [low, high] = [strip.low + strip.slope * t, strip.high + strip.slope * t];
  const reach = Math.sqrt(clip(0, low, high) ** 2 + REACH ** 2);
  const [start, stop] = [Math.max(low, -reach), Math.min(high, reach)];
  const { nodes, weights } = legendre(INNER);
  let sum = 0;
  for (let i = 0; i < INNER; i++) {
    const s = start + (stop - start) * nodes[i];
    sum += weights[i] * Math.exp((log - s * s) / 2);
  }
  return sum * fraction(start, stop, low, high);
}

/** How much of the interval from `low` to `high` is used; all of it where it has no width. */
const fraction = (start, stop, low, high) => (high > low ? (stop - start) / (high - low) : 1);

const rules = new Map();

/** Points from 0 to 1 and weights that sum to 1: the roots of the Legendre polynomial, by Newton's method. */
function legendre(count) {
  if (rules.has(count)) return rules.get(count);
  const [nodes, weights] = [new Float64Array(count), new Float64Array(count)];
  for (let i = 0; i < count; i++) {
    let [x, derivative] = [Math.cos((Math.PI * (i + 0.75)) / (count + 0.5)), 1];
    for (let step = 0; step < 10; step++) {
      let [before, value] = [1, x];
      for (let k = 2; k <= count; k++) [before, value] = [value, ((2 * k - 1) * x * value - (k - 1) * before) / k];
      derivative = (count * (x * value - before)) / (x * x - 1);
      x -= value / derivative;
    }
    nodes[i] = (x + 1) / 2;
    weights[i] = 1 / ((1 - x * x) * derivative * derivative);
  }
  rules.set(count, { nodes, weights });
  return rules.get(count);
}
