import { duration, sourceWords, stageWords } from "./messages.js";

const section = document.querySelector("#origin");
const source = document.querySelector("#source");
const words = document.querySelector("#source-words");
const timing = document.querySelector("#timing");
const stages = document.querySelector("#stages");

/** Shows where a cutout came from, and what the server spent its time on. */
export function showOrigin(result) {
  section.hidden = result === undefined;
  if (result === undefined) return;
  const { name, meaning } = sourceWords(result);
  source.textContent = name;
  source.dataset.source = result.source;
  words.textContent = meaning;
  // What the browser still had was made another time.
  const shown = result.source === "browser" ? [] : result.stages;
  timing.hidden = stages.hidden = shown.length === 0;
  timing.replaceChildren(...shown.map(({ name, ms }) => {
    const bar = document.createElement("span");
    bar.dataset.stage = name;
    // Together less than 1, they would not fill the bar.
    bar.style.flexGrow = 1000 * ms;
    return bar;
  }));
  stages.replaceChildren(...shown.map(({ name, ms }) => {
    const [entry, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
    entry.dataset.stage = name;
    term.textContent = stageWords(name);
    value.textContent = duration(ms);
    entry.append(term, value);
    return entry;
  }));
}
