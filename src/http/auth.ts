import { createHash, timingSafeEqual } from "node:crypto";
import { HttpError } from "./errors.ts";

/** A token. Only its digest is kept, so that a memory dump does not reveal it. */
export class SecretToken {
  readonly #digest: Uint8Array;

  constructor(token: string) {
    this.#digest = digest(token);
  }

  /** Identifies the token without revealing it. All instances have the same id for a token. */
  get id(): string {
    return this.#digest.subarray(0, 8).toHex();
  }

  /** Takes a time that depends neither on the token nor on its length. */
  equals(candidate: string | undefined): boolean {
    return candidate !== undefined && this.matches(digest(candidate));
  }

  /** Whether this is the digest of the token. Takes constant time. */
  matches(candidateDigest: Uint8Array): boolean {
    return timingSafeEqual(candidateDigest, this.#digest);
  }
}

/** Finds the token that a request sent. Compares all of them, so that the time does not reveal which one matched. */
export function findToken(tokens: readonly SecretToken[], candidate: string | undefined): SecretToken | undefined {
  if (candidate === undefined || tokens.length === 0) return undefined;
  const candidateDigest = digest(candidate);
  return tokens.filter((token) => token.matches(candidateDigest)).at(0);
}

/** The token of a request: `Authorization: Bearer …` (RFC 6750, section 2.1) or `X-Api-Key`. */
export function tokenOf(headers: Headers): string | undefined {
  return /^Bearer +(\S+)$/i.exec(headers.get("Authorization") ?? "")?.[1] ?? headers.get("X-Api-Key") ?? undefined;
}

/** @throws {HttpError} 401 `unauthorized` if the request does not have the operator's token. */
export function requireAdmin(headers: Headers, adminToken: SecretToken): void {
  if (adminToken.equals(tokenOf(headers))) return;
  throw new HttpError(
    401,
    "unauthorized",
    "missing or invalid token; send ADMIN_TOKEN as Authorization: Bearer … or X-Api-Key",
    {
      "WWW-Authenticate": 'Bearer realm="Cutcache\'s operator"',
    },
  );
}

function digest(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}
