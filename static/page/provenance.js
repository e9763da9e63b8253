import { formatDuration, provenanceMessage, stageLabel } from "./messages.js";

const section = document.querySelector("#provenance");
const source = document.querySelector("#source");
const sourceText = document.querySelector("#source-text");
const timing = document.querySelector("#timing");
const stages = document.querySelector("#stages");

/** Shows where a cutout came from and how the server spent its time on it. */
export function showProvenance(result) {
  section.hidden = result === undefined;
  if (result === undefined) return;
  const { name, text } = provenanceMessage(result);
  source.textContent = name;
  sourceText.textContent = text;
  // A response from the browser's cache carries the timings of an earlier request.
  const shown = result.source === "browser" ? [] : result.stages;
  timing.hidden = stages.hidden = shown.length === 0;
  timing.replaceChildren(...shown.map(timingBar));
  stages.replaceChildren(...shown.map(stageEntry));
}

function timingBar({ name, ms }) {
  const bar = document.createElement("span");
  bar.dataset.stage = name;
  // Factors that add up to less than 1 would not fill the row.
  bar.style.flexGrow = 1000 * ms;
  return bar;
}

function stageEntry({ name, ms }) {
  const [entry, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  entry.dataset.stage = name;
  term.textContent = stageLabel(name);
  value.textContent = formatDuration(ms);
  entry.append(term, value);
  return entry;
}
