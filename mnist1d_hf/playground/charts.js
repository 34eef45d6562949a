// Small helpers to make HTML and SVG. A chart is an <svg role="img"> with a sentence for those who do not see it.

/** An HTML element: `make("p", {class: "note"}, "text", child)`. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element, in the same way. */
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Points "x,y x,y ..." as a path through all of them; `values` from low to high become y from `height` to 0. */
export function path(values, [low, high], width = 100, height = 100, gap = 0) {
  const step = (width - 2 * gap) / Math.max(values.length - 1, 1);
  const y = (value) => height - ((Math.min(high, Math.max(low, value)) - low) / (high - low)) * height;
  return Array.from(values, (value, i) => `${i ? "L" : "M"}${(gap + i * step).toFixed(2)} ${y(value).toFixed(2)}`).join("");
}

/** A range that holds all values, symmetric around zero; it grows in steps, so that charts seldom change their scale. */
export function rangeOf(values, step) {
  const most = step * Math.ceil(Math.max(...Array.from(values, Math.abs), step / 2) / step);
  return [-most, most];
}

/**
 * A line chart of one signal, as wide as its place.
 *
 * values: numbers, drawn from left to right.  range: [low, high] of the vertical axis.
 * label: what the chart shows, for screen readers.  dots: mark every value.  kind: a class for the style sheet.
 */
export function signalChart({ values, range, label, dots = false, kind = "" }) {
  const line = path(values, range);
  const zero = path([0, 0], range);
  const svg = draw(
    "svg",
    { class: `signal ${kind}`, role: "img", "aria-label": label, viewBox: "0 0 100 100", preserveAspectRatio: "none" },
    draw("path", { class: "zero", d: zero }),
    draw("path", { class: "line", d: line }),
  );
  // A path of length zero with round ends is a round dot, however the chart is stretched.
  if (dots) svg.append(draw("path", { class: "dots", d: line.replace(/[ML]([^ML]+)/g, "M$1l0 0") }));
  return svg;
}

/** Words for a signal: how many points, between which values, where it is highest. */
export function describe(values) {
  const list = Array.from(values);
  const high = Math.max(...list);
  const low = Math.min(...list);
  return `${list.length} values from ${low.toFixed(2)} to ${high.toFixed(2)}, highest at number ${list.indexOf(high)}`;
}

/** The place of the largest value. */
export function argmax(values) {
  return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
}

/** A fraction as "93.4 %"; narrow no-break space, so that number and sign stay together. */
export function percent(fraction, digits = 0) {
  return `${(100 * fraction).toFixed(digits)}\u202f%`;
}

/** Ten bars for the probabilities of the classes, of one reader. */
export function classBars(name, probabilities) {
  const best = argmax(probabilities);
  const bars = probabilities.map((value, digit) =>
    make(
      "span",
      { class: digit === best ? "bar best" : "bar" },
      make("span", { class: "fill", style: `--value: ${value.toFixed(4)}` }),
    ),
  );
  const second = argmax(probabilities.map((value, digit) => (digit === best ? -1 : value)));
  const label = `${name}: ${best} with ${percent(probabilities[best])}, then ${second} with ${percent(probabilities[second])}`;
  return make("div", { class: "bars", role: "img", "aria-label": label }, ...bars);
}

/** Remember at most one call, and make it before the next picture: for events that come faster than pictures. */
export function onFrame(function_) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      function_();
    });
  };
}
