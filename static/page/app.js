import { compare } from "./compare.js";
import { setUpExport, showExport } from "./export.js";
import { addToGallery, markSelected, updateGallery } from "./gallery.js";
import { setUpInput } from "./input.js";
import { failureMessage, phaseMessage, provenanceMessage } from "./messages.js";
import { currentOptions, watchOptions } from "./options.js";
import { Picture } from "./picture.js";
import { showProvenance } from "./provenance.js";
import { setToken } from "./server.js";

const NOTICE_MS = 8000;

const byId = (id) => document.getElementById(id);

/** Everything added since the page was loaded. */
const pictures = [];
/** The picture on the stage. */
let selected;
let noticeTimer;

setUpInput(addFiles, notify);
setUpExport(notify);
watchOptions(() => selected?.render(currentOptions()));
byId("retry").addEventListener("click", retryFailed);
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(byId("token").value.trim());
  retryFailed();
});

function addFiles(files) {
  const added = files.map((file) => new Picture(file, onChange));
  pictures.push(...added);
  for (const picture of added) addToGallery(picture, select);
  document.body.classList.remove("empty");
  byId("work").hidden = false;
  select(added[0]);
  for (const picture of added) picture.render(currentOptions());
}

function select(picture) {
  selected = picture;
  markSelected(picture);
  show(picture);
  // The options may have changed since it was last rendered.
  if (picture.phase.state !== "failed") picture.render(currentOptions());
}

/** Retries every picture that failed for the same reason: all of them share the token and the connection. */
function retryFailed() {
  const code = selected.phase.error?.code;
  const failed = pictures.filter(({ phase }) => phase.state === "failed" && phase.error.code === code);
  // The pressed button is about to disappear, which would leave keyboard users without focus.
  byId("name").focus();
  for (const picture of failed) picture.render(currentOptions());
}

function onChange(picture) {
  updateGallery(picture);
  if (picture === selected) show(picture);
  const message = announcementOf(picture);
  if (message !== undefined) announce(message);
}

/** Screen readers hear how every picture ended. Of the selected one they also hear each step, but not each percent. */
function announcementOf(picture) {
  const { name, phase, result } = picture;
  if (phase.state === "done") return `${name}: done. ${provenanceMessage(result).text}`;
  if (phase.state === "failed") {
    const { title, advice } = failureMessage(phase.error);
    return `${name}: ${title}. ${advice}`;
  }
  if (picture !== selected) return undefined;
  if (phase.state === "uploading") return phase.fraction === 0 ? `${name}: Uploading` : undefined;
  return ["waiting", "inferring"].includes(phase.state) ? `${name}: ${phaseMessage(phase)}` : undefined;
}

function announce(message) {
  if (byId("status").textContent !== message) byId("status").textContent = message;
}

/** Shows a message that belongs to no picture. */
function notify(message) {
  byId("notice").textContent = message;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => byId("notice").textContent = "", NOTICE_MS);
}

function show(picture) {
  const { name, phase, result } = picture;
  const busy = !["done", "failed"].includes(phase.state);
  byId("name").textContent = name;
  byId("work").dataset.state = busy ? "busy" : phase.state;
  compare(picture);
  showProgress(phase, busy);
  showFailure(phase);
  showExport(picture);
  showProvenance(result);
}

function showProgress(phase, busy) {
  byId("progress").hidden = !busy;
  if (!busy) return;
  byId("progress-text").textContent = phaseMessage(phase);
  if (phase.state === "uploading") byId("progress-bar").value = phase.fraction;
  else byId("progress-bar").removeAttribute("value");
}

function showFailure({ state, error }) {
  byId("failure").hidden = state !== "failed";
  if (state !== "failed") return;
  const { title, advice, detail, canRetry } = failureMessage(error);
  byId("failure-title").textContent = title;
  byId("failure-advice").textContent = advice;
  byId("failure-detail").textContent = detail;
  byId("failure-detail").hidden = detail === "";
  byId("token-form").hidden = error.status !== 401;
  byId("retry").hidden = !canRetry || error.status === 401;
}
