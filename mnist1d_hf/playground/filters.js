// How a signal is resampled and smoothed.

/** `count` equally spaced numbers from `first` to `last`. */
export function grid(count, first = 0, last = 1) {
  const step = (last - first) / (count - 1);
  return Float64Array.from({ length: count }, (_, i) => (i === count - 1 ? last : i * step + first));
}

/** For each of `count` equally spaced points: the point of a grid of `points` to its left, and how far it lies beyond. */
export function places(count, points) {
  const [fine, coarse] = [grid(count), grid(points)];
  const left = Int32Array.from(fine, (place) => {
    let i = Math.min(Math.floor(place * (points - 1)) + 1, points - 1);
    while (coarse[i] > place) i--;
    return Math.min(i, points - 2);
  });
  const offset = fine.map((place, j) => place - coarse[left[j]]);
  const width = offset.map((_, j) => coarse[left[j] + 1] - coarse[left[j]]);
  return { left, offset, width };
}

/** `values` on `count` equally spaced points, linearly interpolated: Float64Array(count). */
export function resample(values, count) {
  const { left, offset, width } = places(count, values.length);
  return offset.map((beyond, j) => {
    const [before, after] = [values[left[j]], values[left[j] + 1]];
    if (beyond === 0) return before;
    return beyond === width[j] ? after : ((after - before) / width[j]) * beyond + before;
  });
}

/** Weights of the Gaussian filter: standard deviation of 2 points, cut at 8. */
export function gaussianKernel() {
  const weights = Float64Array.from({ length: 17 }, (_, i) => Math.exp(-((i - 8) ** 2) / 8));
  const total = weights.reduce((sum, value) => sum + value);
  return weights.map((value) => value / total);
}

/** A Gaussian filter of standard deviation 2; beyond its ends the signal is reflected (c b a | a b c | c b a). */
export function gaussianFilter(values) {
  const [kernel, n] = [gaussianKernel(), values.length];
  const at = (i) => values[i < 0 ? -1 - i : i < n ? i : 2 * n - 1 - i];
  return values.map((_, i) => kernel.reduce((sum, weight, j) => sum + weight * at(i + j - 8), 0));
}
