// The page: which part is shown, and the link to what is seen. Each part is a module of its own.
import * as drawing from "./draw.js";
import * as game from "./game.js";
import { load } from "./readers.js";
import * as signal from "./signal.js";
import { address, listen, restore, state, update, write } from "./state.js";
import * as training from "./training.js";

const parts = { signal, draw: drawing, game, train: training };
const started = new Set();
const $ = (id) => document.getElementById(id);

/** Each link opens its part with all that is set now, also in a new tab. */
function showLinks() {
  for (const link of document.querySelectorAll("nav a")) {
    link.href = write({ ...state, part: link.dataset.part });
    if (link.dataset.part === state.part) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function showPart() {
  for (const name of Object.keys(parts)) $(name).hidden = name !== state.part;
  if (started.has(state.part)) return;
  started.add(state.part);
  parts[state.part].start();
}

document.querySelector("nav").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab gets the address
  event.preventDefault();
  update({ part: link.dataset.part }, true);
});

// A button that has the focus is pressed once, however long Enter is held down.
document.addEventListener("keydown", (event) => {
  if (event.repeat && event.key === "Enter" && event.target.matches("button")) event.preventDefault();
});

$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(address());
    $("copied").textContent = "Copied.";
  } catch {
    $("copied").textContent = `The browser does not allow it; copy this: ${address()}`;
  }
  setTimeout(() => ($("copied").textContent = ""), 8000);
});

try {
  restore();
  await load();
  listen(showLinks);
  listen((names) => names.has("part") && showPart());
  showLinks();
  showPart();
} catch (error) {
  $("failure").hidden = false;
  $("failure").textContent = `The page could not start: ${error.message}. Load it through a web server, or reload it.`;
  throw error;
}
