// Bayes' rule beside the page, so that the page goes on while it counts.
import { posterior, prepare } from "./bayes.js";

prepare();
onmessage = ({ data: { id, x, config } }) => postMessage({ id, probabilities: Array.from(posterior(x, config)) });
