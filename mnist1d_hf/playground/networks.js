// The forward pass of the bundled networks. A network is a list of layers that weights.json names, with their weights
// in weights.bin; a layer is one of the functions below.
//
// What goes from layer to layer is {values, channels, length}: the numbers of the first channel, then of the second ...

/**
 * weights: ArrayBuffer of weights.bin.  manifest: object of weights.json.
 * Returns {name: {parameters, accuracy, forward(x) -> Float64Array(10) of logits}} in the order of the manifest;
 * x: Float32Array(40), standardised. `accuracy` is the fraction right on the paper's test split.
 */
export function loadNetworks(weights, manifest) {
  const nextTensor = reader(weights);
  const load = ([name, { parameters, accuracy, layers }]) => {
    const network = layers.map((layer) => loadLayer(layer, nextTensor));
    const forward = (x) => run(network, { values: Float64Array.from(x), channels: 1, length: x.length }).values;
    return [name, { parameters, accuracy, forward }];
  };
  return Object.fromEntries(Object.entries(manifest).map(load));
}

/** Probabilities from logits: Float64Array. */
export function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

function run(layers, input) {
  return layers.reduce((signal, layer) => LAYERS[layer.kind](signal, layer), input);
}

const each = (signal, f) => ({ ...signal, values: signal.values.map(f) });

const LAYERS = {
  convolution,
  gru,
  relu: (signal) => each(signal, (value) => Math.max(value, 0)),
  silu: (signal) => each(signal, (value) => value / (1 + Math.exp(-value))),
  /** All channels as those of a single point. */
  flatten: ({ values }) => ({ values, channels: values.length, length: 1 }),
  /** What batch normalisation comes to after training: one factor and one summand a channel. */
  affine: (signal, { scale, shift }) =>
    each(signal, (value, i) => value * scale.values[Math.floor(i / signal.length)] + shift.values[Math.floor(i / signal.length)]),
  /** The sum of two ways; the second is often empty, and hands its input on. */
  residual(signal, { body, shortcut }) {
    const other = run(shortcut, signal).values;
    return each(run(body, signal), (value, i) => value + other[i]);
  },
  /** Two ways one beside the other, step by step: the two directions of a recurrent network, flattened. */
  both(signal, { body, shortcut }) {
    const [one, other] = [run(body, signal), run(shortcut, signal)];
    const values = [];
    for (let step = 0; step < one.length; step++) {
      for (const { values: all, channels, length } of [one, other]) {
        for (let channel = 0; channel < channels; channel++) values.push(all[channel * length + step]);
      }
    }
    return { values: Float64Array.from(values), channels: values.length, length: 1 };
  },
};

/** weight: (channels out, channels in, kernel). Beyond its ends a signal is zero, or, if circular, it begins again. */
function convolution({ values, channels, length }, { weight, bias, stride = 1, padding = 0, circular = false }) {
  const [out, , kernel] = weight.shape;
  const padded = length + 2 * padding;
  const wide = new Float64Array(channels * padded);
  for (let channel = 0; channel < channels; channel++) {
    for (let i = circular ? -padding : 0; i < (circular ? length + padding : length); i++) {
      wide[channel * padded + padding + i] = values[channel * length + ((i + length) % length)];
    }
  }
  const points = Math.floor((padded - kernel) / stride) + 1;
  const result = new Float64Array(out * points);
  for (let target = 0; target < out; target++) {
    const start = target * points;
    if (bias) result.fill(bias.values[target], start, start + points);
    for (let read = 0; read < channels * kernel; read++) {
      const factor = weight.values[target * channels * kernel + read];
      const from = Math.floor(read / kernel) * padded + (read % kernel);
      for (let point = 0; point < points; point++) result[start + point] += factor * wide[from + point * stride];
    }
  }
  return { values: result, channels: out, length: points };
}

/**
 * One direction of a gated recurrent unit (Cho et al. 2014) over a signal of one channel. The rows of its weights
 * are those of the reset gate, the update gate and the candidate for the new state, as in PyTorch.
 */
function gru({ values, length }, { reverse, weight_ih, weight_hh, bias_ih, bias_hh }) {
  const width = weight_hh.shape[1];
  const result = new Float64Array(width * length);
  const sigmoid = (value) => 1 / (1 + Math.exp(-value));
  let state = new Float64Array(width);
  for (let i = 0; i < length; i++) {
    const step = reverse ? length - 1 - i : i;
    const fromInput = (row) => weight_ih.values[row] * values[step] + bias_ih.values[row];
    const fromState = (row) =>
      state.reduce((sum, value, k) => sum + weight_hh.values[row * width + k] * value, bias_hh.values[row]);
    state = state.map((value, unit) => {
      const reset = sigmoid(fromInput(unit) + fromState(unit));
      const update = sigmoid(fromInput(width + unit) + fromState(width + unit));
      const candidate = Math.tanh(fromInput(2 * width + unit) + reset * fromState(2 * width + unit));
      return (1 - update) * candidate + update * value;
    });
    state.forEach((value, unit) => (result[unit * length + step] = value));
  }
  return { values: result, channels: width, length };
}

/** A layer with its tensors in place of their descriptions. */
function loadLayer(layer, nextTensor) {
  const load = (value) => {
    if (Array.isArray(value)) return value.map((inner) => loadLayer(inner, nextTensor));
    return value.shape ? { shape: value.shape, values: nextTensor(value) } : value;
  };
  return Object.fromEntries(Object.entries(layer).map(([key, value]) => [key, load(value)]));
}

/**
 * A function that reads one tensor after the other, in the order of the manifest: float32, or integers of up to 24 bits
 * that each row multiplies by a scale of its own.
 */
function reader(weights) {
  let offset = 0;
  const take = (bytes) => {
    offset += 4 * Math.ceil(bytes / 4);
    return offset - 4 * Math.ceil(bytes / 4);
  };
  return ({ shape, bits }) => {
    const count = shape.reduce((product, size) => product * size, 1);
    if (!bits) return Float64Array.from(new Float32Array(weights, take(4 * count), count));
    const scale = new Float32Array(weights, take(4 * shape[0]), shape[0]);
    const packed = new Uint8Array(weights, take((count * bits) / 8));
    return Float64Array.from({ length: count }, (_, i) => {
      const [byte, bit] = [Math.floor((i * bits) / 8), (i * bits) % 8];
      const four = packed[byte] | (packed[byte + 1] << 8) | (packed[byte + 2] << 16) | (packed[byte + 3] << 24);
      return (((four >>> bit) & (2 ** bits - 1)) - 2 ** (bits - 1)) * scale[Math.floor((i * shape[0]) / count)];
    });
  };
}
