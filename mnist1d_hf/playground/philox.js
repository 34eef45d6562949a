// Philox4x64-10 (Salmon et al. 2011): random words as a function of (key, counter), and normal numbers made of them.
//
// JavaScript has no fast 64-bit integers, so that a 64-bit word is two halves of 32 bits, each an exact double.

const HALF = 2 ** 32; // `x >>> 0` is the remainder of x by it
const MULTIPLIERS = [0xd2e7470e, 0xe14c6c93, 0xca5a8263, 0x95121157]; // high and low half of both
const STEPS = [0x9e3779b9, 0x7f4a7c15, 0xbb67ae85, 0x84caa73b]; // added to the key in each round

/** The upper 32 bits of a product of two numbers below 2**32: the second is cut in two, so that products are exact. */
function upper(a, b) {
  return Math.floor((a * (b >>> 16) + Math.floor((a * (b & 0xffff)) / 65536)) / 65536);
}

/** The product of two 64-bit words, 128 bits: `out` gets four halves, the lowest first. */
function multiply(high, low, byHigh, byLow, out) {
  const middle = upper(low, byLow) + (Math.imul(low, byHigh) >>> 0) + (Math.imul(high, byLow) >>> 0);
  const top = upper(low, byHigh) + upper(high, byLow) + (Math.imul(high, byHigh) >>> 0) + Math.floor(middle / HALF);
  out[0] = Math.imul(low, byLow) >>> 0;
  out[1] = middle >>> 0;
  out[2] = top >>> 0;
  out[3] = upper(high, byHigh) + Math.floor(top / HALF);
}

/**
 * `count` words (a multiple of 4) from a place on, as NumPy's Philox with this key and counter gives them: it counts
 * up before it makes the first four. Returns Uint32Array(2 * count): of each word the lower half, then the upper.
 *
 * seed, purpose: the two words of the key.  counter: below 2**128; one step makes four words. All BigInts.
 */
export function philox(seed, purpose, counter, count) {
  const halves = (word) => [Number((word >> 32n) & 0xffffffffn), Number(word & 0xffffffffn)];
  const key = [...halves(seed), ...halves(purpose)];
  const words = new Uint32Array(2 * count);
  const [first, second] = [new Float64Array(4), new Float64Array(4)];
  for (let place = 0; place < words.length; place += 8) {
    const step = counter + 1n + BigInt(place / 8);
    let [h0, l0] = halves(step);
    let [h1, l1] = halves(step >> 64n);
    let [h2, l2, h3, l3] = [0, 0, 0, 0];
    let [keyHigh, keyLow, otherHigh, otherLow] = key;
    for (let round = 0; round < 10; round++) {
      multiply(h0, l0, MULTIPLIERS[0], MULTIPLIERS[1], first);
      multiply(h2, l2, MULTIPLIERS[2], MULTIPLIERS[3], second);
      h0 = (second[3] ^ h1 ^ keyHigh) >>> 0;
      l0 = (second[2] ^ l1 ^ keyLow) >>> 0;
      h1 = second[1];
      l1 = second[0];
      h2 = (first[3] ^ h3 ^ otherHigh) >>> 0;
      l2 = (first[2] ^ l3 ^ otherLow) >>> 0;
      h3 = first[1];
      l3 = first[0];
      keyLow += STEPS[1];
      keyHigh = (keyHigh + STEPS[0] + Math.floor(keyLow / HALF)) >>> 0;
      keyLow >>>= 0;
      otherLow += STEPS[3];
      otherHigh = (otherHigh + STEPS[2] + Math.floor(otherLow / HALF)) >>> 0;
      otherLow >>>= 0;
    }
    [l0, h0, l1, h1, l2, h2, l3, h3].forEach((half, i) => (words[place + i] = half));
  }
  return words;
}

/** x rounded to `digits` binary digits after the point, halves to even. |x| * 2**digits must be below 2**51. */
export function rounded(x, digits) {
  const shift = 1.5 * 2 ** 52; // numbers of this size have no digits after the point
  return (x * 2 ** digits + shift - shift) * 2 ** -digits;
}

let table = null;

/** 65,536 equally likely values of a normal distribution with variance one: 16 random bits choose one. */
export function normalTable() {
  if (table) return table;
  const half = Float64Array.from({ length: 32768 }, (_, i) => normalQuantile(0.5 + (i + 0.5) / 65536));
  const std = Math.sqrt(half.reduce((sum, value) => sum + value * value, 0) / 32768);
  table = new Float32Array(65536);
  half.forEach((value, i) => {
    table[32768 + i] = rounded(value / std, 20);
    table[32767 - i] = -table[32768 + i];
  });
  return table;
}

/** The quantile of the normal distribution for p from 0.5 to 1 - 1e-11 (Wichura 1988, algorithm AS 241). */
function normalQuantile(p) {
  const q = p - 0.5;
  if (q <= 0.425) return q * ratio(CENTRAL, 0.180625 - q * q);
  return ratio(TAIL, Math.sqrt(-Math.log(1 - p)) - 1.6);
}

const ratio = ([above, below], x) => polynomial(above, x) / polynomial(below, x);
const polynomial = (coefficients, x) => coefficients.reduce((sum, coefficient) => sum * x + coefficient);

// Coefficients of numerators and denominators, that of the highest power first.
const CENTRAL = [
  [
    2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
    1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.387132872796366608,
  ],
  [
    5.226495278852854561e3, 2.8729085735721942674e4, 3.930789580009271061e4, 2.1213794301586595867e4,
    5.3941960214247511077e3, 6.871870074920579083e2, 4.2313330701600911252e1, 1,
  ],
];
const TAIL = [
  [
    7.7454501427834140764e-4, 2.27238449892691845833e-2, 2.4178072517745061177e-1, 1.27045825245236838258,
    3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734,
  ],
  [
    1.05075007164441684324e-9, 5.475938084995344946e-4, 1.51986665636164571966e-2, 1.4810397642748007459e-1,
    6.8976733498510000455e-1, 1.6763848301838038494, 2.05319162663775882187, 1,
  ],
];
