// The MLP and the CNN, trained in the page. (Stub: the signatures are final.)

/**
 * options: {architecture: "mlp" | "cnn", width, learningRate, batchSize, trainingSamples (Number | Infinity), seed}.
 * Training samples are those of the stream of `seed`, from index 0 on; Infinity: each is used once.
 * Returns {parameters, steps, step(count) -> mean loss of these steps, predict(x) -> Float32Array(n * 10) of logits,
 * accuracy(x, label) -> fraction}. x: Float32Array(n * 40) as `sample` gives it, n any.
 */
export function createTrainer(options = {}) {
  const predict = (x) => new Float32Array((x.length / 40) * 10);
  const trainer = { parameters: 0, steps: 0, predict, accuracy: () => 0.1 };
  trainer.step = (count) => {
    trainer.steps += count;
    return 2.3;
  };
  return trainer;
}
