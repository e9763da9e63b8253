import { NetworkError, ProblemError } from "./server.js";

/** The step a picture is in, for the progress bar, its thumbnail and screen readers. */
export function phaseMessage({ state, position, fraction }) {
  switch (state) {
    case "queued":
      return position === undefined ? "Waiting for your other images" : `Waiting to upload, ${placeInLine(position)}`;
    case "hashing":
      return "Reading the image";
    case "looking-up":
      return "Checking the cache";
    case "uploading":
      return `Uploading, ${Math.round(100 * fraction)}%`;
    case "waiting":
      return position === undefined ? "Waiting for the server" : `Waiting for the server, ${placeInLine(position)}`;
    case "inferring":
      return "Finding the subject";
    case "rendering":
      return "Creating the file";
    case "done":
      return "Done";
    case "failed":
      return "Failed";
  }
}

const FORMATS = "JPEG, PNG, WebP, AVIF, HEIC, JPEG XL, GIF, BMP or TIFF";

/** Title and advice for each error code of the API that users can act on. `wrong_token` exists only here. */
const ADVICE = {
  invalid_image: ["The file is not an image, or it is damaged", `Choose a ${FORMATS} image.`],
  unsupported_format: [
    "This image format is not supported",
    `Save the image as ${FORMATS}, then choose that file.`,
  ],
  no_image: ["The file is empty", "Choose another file."],
  body_too_large: ["The image is too large to upload", "Resize or compress it, then choose it again."],
  image_too_large: ["The image has too many pixels", "Resize it, then choose it again."],
  invalid_background: ["The background image cannot be read", `Choose a ${FORMATS} image as the background.`],
  body_timeout: ["The upload took too long", "Try again, or use a faster connection."],
  incomplete_body: ["The upload was interrupted", "Check your connection, then try again."],
  unauthorized: ["This server requires an access token", "Enter the token you received from its administrator."],
  wrong_token: ["The access token is not accepted", "Check the token, or ask the administrator for a new one."],
  rate_limited: ["You have sent too many requests", "Try again later."],
  queue_full: ["The server is busy", "Try again later."],
  too_much_pending: ["The server is busy", "Try again later."],
  deadline_exceeded: ["Processing the image took too long", "Try again, or use a smaller image."],
  closed: ["The server is shutting down", "Try again in a moment."],
};

/**
 * What went wrong and what the user can do.
 * @returns {{title: string, advice: string, detail: string, canRetry: boolean}} `canRetry` is true if the same request
 *   may succeed later.
 */
export function failureMessage(error) {
  if (error instanceof NetworkError) {
    return {
      title: navigator.onLine ? "The server cannot be reached" : "You are offline",
      advice: "Check your connection, then try again.",
      detail: "",
      canRetry: true,
    };
  }
  if (!(error instanceof ProblemError)) {
    // Reading fails, for example, if the file was deleted after it was chosen.
    return { title: "The file cannot be read", advice: "Choose it again.", detail: error.message, canRetry: true };
  }
  const { status, code, tokenSent, retrySeconds, requestId, message } = error;
  const [title, advice] = ADVICE[tokenSent && code === "unauthorized" ? "wrong_token" : code] ??
    (status >= 500
      ? ["Something went wrong on the server", `Try again. ${supportAdvice(requestId)}`]
      : ["The server rejected the request", "Change the options or choose another image."]);
  return {
    title,
    advice: retrySeconds > 0 ? `Try again in ${formatSeconds(retrySeconds)}.` : advice,
    // About tokens and limits, the server's message tells API clients what the advice tells people.
    detail: [401, 429].includes(status) ? "" : `Server message: ${withReadableSizes(message)}.`,
    canRetry: status >= 500 || [401, 408, 429].includes(status) || code === "incomplete_body",
  };
}

function withReadableSizes(message) {
  return message.replaceAll(/\d+ bytes/g, (bytes) => formatBytes(parseInt(bytes)));
}

function supportAdvice(requestId) {
  return requestId === undefined
    ? "If it fails again, contact the server's administrator."
    : `If it fails again, send the server's administrator this request ID: ${requestId}`;
}

/** Where a cutout came from: a name, and a text with an explanation, the time and the size of the upload. */
export function provenanceMessage({ source, sentBytes, elapsedMs }) {
  const [name, explanation] = {
    browser: ["Browser", "Your browser still had this cutout."],
    memory: ["Memory", "The server had this cutout in memory."],
    sqlite: ["SQLite", "The server had this cutout on disk."],
    redis: ["Redis", "The server found this cutout in Redis, its shared cache."],
    cutout: ["Cutout", "The server rendered the cached cutout with other options, without an upload."],
    mask: ["Mask", "The server reused the cached mask, so the model did not run."],
    inference: ["Inference", "The model found the subject, and the result is now cached."],
  }[source] ?? [source, "The server had this cutout in its cache."];
  const sent = sentBytes === 0 ? "nothing" : formatBytes(sentBytes);
  return { name, text: `${explanation} It took ${formatDuration(elapsedMs)}, with ${sent} uploaded.` };
}

/** The label of a stage in `Server-Timing`. */
export function stageLabel(name) {
  return name === "infer" ? "model" : name;
}

/** Milliseconds with a unit that suits them: `8.2 ms`, `2.7 s`. */
export function formatDuration(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 10 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

/** Bytes with a unit that suits them: `950 bytes`, `80 KB`, `2.1 MB`. */
export function formatBytes(bytes) {
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return bytes >= 1000 ? `${Math.round(bytes / 1000)} KB` : `${bytes} bytes`;
}

function formatSeconds(seconds) {
  if (seconds > 90 * 60) return `${Math.ceil(seconds / 3600)} hours`;
  if (seconds > 90) return `${Math.ceil(seconds / 60)} minutes`;
  return seconds === 1 ? "1 second" : `${seconds} seconds`;
}

function placeInLine(position) {
  return position === 1 ? "next in line" : `${ordinal(position)} in line`;
}

function ordinal(number) {
  const suffixes = { one: "st", two: "nd", few: "rd" };
  return `${number}${suffixes[new Intl.PluralRules("en", { type: "ordinal" }).select(number)] ?? "th"}`;
}
