// The forward pass of the bundled networks, from the weights that build.py wrote. (Stub: the signatures are final.)

/**
 * `weights`: ArrayBuffer of weights.bin; `manifest`: object of weights.json.
 * Returns {name: {parameters, accuracy, forward(x: Float32Array(40)) -> Float32Array(10) of logits}} in the order
 * logistic, mlp, cnn, gru, resnet. `accuracy` is the fraction on the paper's test split.
 */
export function loadNetworks(weights, manifest) {
  const names = ["logistic", "mlp", "cnn", "gru", "resnet"];
  return Object.fromEntries(names.map((name) => [name, { parameters: 0, accuracy: 0, forward: () => new Float32Array(10) }]));
}

/** Probabilities from logits: Float64Array. */
export function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}
