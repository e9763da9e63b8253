import { Redis, type RedisConfigNodejs } from "@upstash/redis";
import { z } from "zod";

/** A Redis behind the Upstash REST protocol. */
export interface RedisEndpoint {
  url: string;
  token: string;
  /** How long one HTTP request may take, in milliseconds. */
  timeoutMs: number;
}

/** The SDK's client for a server: it sends each command in a request of its own, once, with a deadline. */
export function connectRedis({ timeoutMs, ...options }: RedisEndpoint & RedisConfigNodejs): Redis {
  return new Redis({
    // `retry: false` still tries twice.
    retry: { retries: 0 },
    // A function, because with a plain signal an aborted command does not throw but resolves to the text "Aborted".
    signal: () => AbortSignal.timeout(timeoutMs),
    // Values are numbers or contain base64. The default would encode them once more.
    responseEncoding: false,
    enableTelemetry: false,
    // Pipelining puts all commands of a tick into one request, with one deadline and one failure.
    enableAutoPipelining: false,
    readYourWrites: false,
    ...options,
  });
}

/** Removes the command from a message of the SDK, which quotes it in full, with images and scripts. */
export function withoutCommand(message: string): string {
  return message.replace(/,? command was: [^]*$/, "");
}

const VALUE_PREFIX = '{"result":"';
const VALUE_SUFFIX = '"}';

/**
 * Sends a command whose answer is a text, and parses that straight from the bytes of the response. The SDK makes a string of
 * the response and another of the value, which for some hundred kilobytes costs as much as the transfer.
 * @param parse returns undefined if the text is invalid. It is then called once more with the value decoded from JSON,
 *   because the gateway may have escaped characters.
 * @param onLength receives the length of the answer as soon as it begins.
 * @returns null if there is no value, undefined if `parse` accepts neither text.
 * @throws {Error} if there is no answer in time, or Redis or the gateway answers with an error.
 */
export async function sendForText<T>(
  { url, token, timeoutMs }: RedisEndpoint,
  command: readonly (string | number)[],
  parse: (text: Uint8Array<ArrayBuffer>) => T | undefined,
  onLength?: (bytes: number) => void,
): Promise<T | undefined | null> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Authorization": `Bearer ${token}` },
    body: JSON.stringify(command),
    signal: AbortSignal.timeout(timeoutMs),
  });
  onLength?.(Number(response.headers.get("Content-Length") ?? 0));
  const body = await response.bytes();
  const parsed = response.ok ? parse(body.subarray(VALUE_PREFIX.length, -VALUE_SUFFIX.length)) : undefined;
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
