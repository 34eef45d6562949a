// Training beside the page. In: {options, until} begins or goes on, {pause: true} stops. Out: how it went so far.
import { sample } from "./stream.js";
import { createTrainer } from "./train.js";

const STEPS = 50; // between two reports: the curve of a seed is always made of the same points
let trainer = null;
let test = null;
let seconds = 0;
let running = 0; // raised to stop the loop that is under way

onmessage = ({ data }) => {
  running += 1;
  if (data.pause) return;
  if (data.options) {
    trainer = createTrainer(data.options);
    test = sample(Array.from({ length: data.test.count }, (_, i) => i), data.test.seed);
    seconds = 0;
  }
  run(running, data.until);
};

async function run(mine, until) {
  while (mine === running && trainer.steps < until) {
    const started = performance.now();
    const loss = trainer.step(Math.min(STEPS - (trainer.steps % STEPS), until - trainer.steps));
    const predictions = trainer.predict(test.x);
    const accuracy = predictions.filter((digit, i) => digit === test.label[i]).length / predictions.length;
    seconds += (performance.now() - started) / 1000;
    const { steps, parameters } = trainer;
    postMessage({ steps, parameters, loss, accuracy, seconds, predictions, done: steps >= until });
    await new Promise((resolve) => setTimeout(resolve)); // lets a message in
  }
}
