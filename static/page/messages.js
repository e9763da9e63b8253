import { Refusal, Unreachable } from "./server.js";

/** What is being done, in words. */
export function phaseWords({ state, place, position, part }) {
  switch (state) {
    case "queued":
      if (place === undefined) return "Waiting for the pictures before it";
      return `Waiting, ${place === 1 ? "next" : ordinal(place)} of your pictures to be sent`;
    case "hashing":
      return "Reading the picture";
    case "asking":
      return "Asking whether the server knows it";
    case "uploading":
      return `Uploading, ${Math.round(100 * part)} %`;
    case "waiting":
      if (position === undefined) return "Waiting for the server";
      return position === 1 ? "Waiting, next in line" : `Waiting, ${ordinal(position)} in line`;
    case "inferring":
      return "Finding the subject";
    case "rendering":
      return "Making the file";
    case "done":
      return "Done";
    case "failed":
      return "Failed";
  }
}

const FORMATS = "JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF";

/** What to do about an error of the API, by its code (`wrong_token` is our own); the rest is in the server's own words. */
const ADVICE = {
  invalid_image: ["This is no picture that can be read", `Choose a picture: ${FORMATS}.`],
  unsupported_format: [
    "Pictures of this format cannot be read",
    `Save it as one of ${FORMATS}, then choose that. Phones that take HEIC pictures can share them as JPEG.`,
  ],
  no_image: ["The file is empty", "Choose another one."],
  body_too_large: ["The picture is too large to send", "Make it smaller, then choose it again."],
  image_too_large: ["The picture has too many pixels", "Make it smaller, then choose it again."],
  invalid_background: ["The background picture cannot be read", `Choose another background: ${FORMATS}.`],
  body_timeout: ["The upload took too long", "Try again, or on a faster connection."],
  incomplete_body: ["The upload broke off", "Check the connection, then try again."],
  unauthorized: ["This server wants an access token", "Enter the one that its operator gave you."],
  wrong_token: ["This server does not take that token", "Compare it with the one that its operator gave you."],
  rate_limited: ["That was more than this server allows", "Try again later."],
  queue_full: ["The server has too many pictures to work on", "Try again later."],
  too_much_pending: ["The server has too many pictures to work on", "Try again later."],
  deadline_exceeded: ["The picture took too long", "Try again; a smaller one is quicker."],
  closed: ["The server is shutting down", "Try again in a moment."],
};

/** What has gone wrong and what to do about it. `again`: whether the same may work another time. */
export function failureWords(error) {
  if (error instanceof Unreachable) {
    return {
      title: navigator.onLine ? "The server cannot be reached" : "You are offline",
      advice: "Check the connection, then try again.",
      detail: "",
      again: true,
    };
  }
  if (!(error instanceof Refusal)) {
    // Such as a file that was removed after it was chosen.
    return { title: "The file cannot be read", advice: "Choose it again.", detail: error.message, again: true };
  }
  const { status, code, tokenSent, retrySeconds, requestId, message } = error;
  const [title, advice] = ADVICE[tokenSent && code === "unauthorized" ? "wrong_token" : code] ??
    (status >= 500
      ? [
        "Something went wrong at the server",
        `Try again. Its operator finds the cause under ${requestId ?? "the time"}.`,
      ]
      : ["The server did not take the picture", "Change what it names, then try again."]);
  return {
    title,
    advice: retrySeconds > 0 ? `Try again in ${seconds(retrySeconds)}.` : advice,
    detail: `The server says: ${message.replaceAll(/\d+ bytes/g, (bytes) => size(parseInt(bytes)))}.`,
    again: status >= 500 || [401, 408, 429].includes(status) || code === "incomplete_body",
  };
}

/** Where a cutout came from: a name, and what that means. */
export function sourceWords({ source, sentBytes, elapsedMs }) {
  const took = `${duration(elapsedMs)} in all`;
  const sent = sentBytes === 0 ? "the picture was not uploaded" : `${size(sentBytes)} uploaded`;
  const [name, meaning] = {
    browser: ["Browser", "Your browser still had it"],
    memory: ["Memory", "The server had it in memory"],
    sqlite: ["SQLite", "The server had it on its disk"],
    redis: ["Redis", "The servers had it in their Redis"],
    mask: ["Mask", "The server knew the mask and only made the file"],
    inference: ["Inference", "The model ran; from now on the server knows it"],
  }[source] ?? [source, "The server had it"];
  return { name, meaning: `${meaning}: ${took}, ${sent}.` };
}

/** A stage of `Server-Timing`. */
export function stageWords(name) {
  return {
    hash: "digest",
    cache: "cache",
    decode: "decode",
    infer: "model",
    render: "render",
    encode: "encode",
  }[name] ??
    name;
}

/** Milliseconds, for people. */
export function duration(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 10 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

/** Bytes, for people. */
export function size(bytes) {
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return bytes >= 1000 ? `${Math.round(bytes / 1000)} KB` : `${bytes} bytes`;
}

function seconds(count) {
  if (count > 90) return `${Math.ceil(count / 60)} minutes`;
  return count === 1 ? "a second" : `${count} seconds`;
}

function ordinal(number) {
  const ending = { one: "st", two: "nd", few: "rd" }[new Intl.PluralRules("en", { type: "ordinal" }).select(number)];
  return `${number}${ending ?? "th"}`;
}
