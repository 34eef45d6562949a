// The exact p(class | x) of Bayes' rule. (Stub: the signatures are final.)

/** Make the tables of a configuration now (about a second), so that the first `posterior` is fast. */
export function prepare(config = {}) {}

/** p(class | x) of one standardised signal, Float32Array(length): Float64Array(10). */
export function posterior(x, config = {}) {
  return new Float64Array(10).fill(0.1);
}
