import { Redis, type RedisConfigNodejs } from "@upstash/redis";
import { z } from "zod";

/** The SDK's client with what a server needs of it: each command tried once, within a deadline, by itself. */
export function connectRedis(
  { timeoutMs, ...options }: { url: string; token: string; timeoutMs: number } & RedisConfigNodejs,
): Redis {
  return new Redis({
    // `retry: false` would still try twice.
    retry: { retries: 0 },
    // A function: the SDK throws at an abort; with a plain signal it would resolve to the text "Aborted".
    signal: () => AbortSignal.timeout(timeoutMs),
    // Our values are base64 already, or numbers; the default would wrap them a second time.
    responseEncoding: false,
    enableTelemetry: false,
    // It would wait for other commands of the same tick and share one deadline and one failure with them.
    enableAutoPipelining: false,
    readYourWrites: false,
    ...options,
  });
}

/** The SDK's errors quote the whole command, image bytes, scripts and all: what went wrong, without the quotation. */
export function withoutCommand(message: string): string {
  return message.replace(/,? command was: [^]*$/, "");
}

const VALUE_FROM = '{"result":"';
const VALUE_TO = '"}';

/**
 * Reads a value by `GET`, once, within a deadline, and resolves to what `parse` makes of the bytes of its text, out of the
 * answer as it came. The SDK makes a string of the answer and another of the value in it, which for some hundred kilobytes
 * is as dear as sending them.
 * @param parse undefined where the text is not what it should be; it is then asked again, in case JSON had escaped it.
 * @returns null where there is no value.
 * @throws {Error} where there is no answer, or it is an error of Redis or of what is in front of it.
 */
export async function getValue<T>(
  { url, token, timeoutMs }: { url: string; token: string; timeoutMs: number },
  key: string,
  parse: (text: Uint8Array<ArrayBuffer>) => T | undefined,
): Promise<T | undefined | null> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Authorization": `Bearer ${token}` },
    body: JSON.stringify(["GET", key]),
    signal: AbortSignal.timeout(timeoutMs),
  });
  const body = await response.bytes();
  const parsed = response.ok ? parse(body.subarray(VALUE_FROM.length, -VALUE_TO.length)) : undefined;
  if (parsed !== undefined) return parsed;
  const { result, error } = parseAnswer(response.status, body);
  if (error !== undefined) throw new Error(error);
  return typeof result === "string" ? parse(new TextEncoder().encode(result)) : null;
}

function parseAnswer(status: number, body: Uint8Array): { result?: unknown; error?: string } {
  const text = new TextDecoder().decode(body);
  try {
    return z.object({ result: z.unknown(), error: z.string().optional() }).parse(JSON.parse(text));
  } catch {
    return { error: `answered ${status} with ${JSON.stringify(text.slice(0, 200))}` };
  }
}
