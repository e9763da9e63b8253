import { Redis, type RedisConfigNodejs } from "@upstash/redis";

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
