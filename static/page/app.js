import { compare } from "./compare.js";
import { addToGallery, markSelected, updateGallery } from "./gallery.js";
import { takeIn } from "./input.js";
import { offerToKeep, showKeep } from "./export.js";
import { currentOptions, watchOptions } from "./options.js";
import { showOrigin } from "./provenance.js";
import { Picture } from "./picture.js";
import { useToken } from "./server.js";
import { failureWords, phaseWords, sourceWords } from "./messages.js";

const part = (id) => document.querySelector(`#${id}`);

/** The pictures of this session. */
const pictures = [];
/** The one that is shown. */
let selected;
let noticed;

/** How long a notice is shown, in milliseconds. */
const NOTICE_MS = 8000;

takeIn(addFiles, notify);
watchOptions(() => selected?.render(currentOptions()));
offerToKeep(notify);
part("retry").addEventListener("click", retryFailed);
part("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(part("token").value.trim());
  retryFailed();
});

function addFiles(files) {
  const added = files.map((file) => new Picture(file, onChange));
  pictures.push(...added);
  for (const picture of added) addToGallery(picture, select);
  document.body.classList.remove("empty");
  part("work").hidden = false;
  select(added[0]);
  for (const picture of added) picture.render(currentOptions());
}

function select(picture) {
  selected = picture;
  markSelected(picture);
  show(picture);
  // It may have been made with other options than those that are set now.
  if (picture.phase.state !== "failed") picture.render(currentOptions());
}

/** The picture that is shown, and what failed for the same reason: one token, or one connection, is for all. */
function retryFailed() {
  const code = selected.phase.error?.code;
  const failed = pictures.filter(({ phase }) => phase.state === "failed" && phase.error.code === code);
  // What was pressed is about to vanish, and whoever uses the keyboard would be nowhere.
  part("name").focus();
  for (const picture of failed) picture.render(currentOptions());
}

function onChange(picture) {
  updateGallery(picture);
  if (picture === selected) show(picture);
  const words = announcement(picture);
  if (words !== undefined) say(words);
}

/** What a reader of screens is told: how each picture ended, and of the one that is shown the steps, not each percent. */
function announcement(picture) {
  const { name, phase, result } = picture;
  if (phase.state === "done") return `${name}: done. ${sourceWords(result).meaning}`;
  if (phase.state === "failed") {
    const { title, advice } = failureWords(phase.error);
    return `${name}: ${title}. ${advice}`;
  }
  if (picture !== selected) return undefined;
  if (phase.state === "uploading") return phase.part === 0 ? `${name}: Uploading` : undefined;
  return ["waiting", "inferring"].includes(phase.state) ? `${name}: ${phaseWords(phase)}` : undefined;
}

function say(words) {
  if (part("status").textContent !== words) part("status").textContent = words;
}

/** For what has no place of its own on the page. */
function notify(words) {
  part("notice").textContent = words;
  clearTimeout(noticed);
  noticed = setTimeout(() => part("notice").textContent = "", NOTICE_MS);
}

function show(picture) {
  const { name, phase, result } = picture;
  const busy = !["done", "failed"].includes(phase.state);
  part("name").textContent = name;
  part("work").dataset.state = busy ? "busy" : phase.state;
  compare(picture);
  showProgress(phase, busy);
  showFailure(phase);
  showKeep(picture);
  showOrigin(result);
}

function showProgress(phase, busy) {
  part("progress").hidden = !busy;
  if (!busy) return;
  part("progress-words").textContent = phaseWords(phase);
  if (phase.state === "uploading") part("progress-bar").value = phase.part;
  else part("progress-bar").removeAttribute("value");
}

function showFailure({ state, error }) {
  part("failure").hidden = state !== "failed";
  if (state !== "failed") return;
  const { title, advice, detail, again } = failureWords(error);
  part("failure-title").textContent = title;
  part("failure-advice").textContent = advice;
  part("failure-detail").textContent = detail;
  part("token-form").hidden = error.status !== 401;
  part("retry").hidden = !again || error.status === 401;
}
