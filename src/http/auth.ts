import { createHash, timingSafeEqual } from "node:crypto";
import { HttpError } from "./errors.ts";

/** A token of which only the digest is kept, so that no dump of memory holds it. */
export class SecretToken {
  readonly #digest: Uint8Array;

  constructor(token: string) {
    this.#digest = digest(token);
  }

  /** Names the token without telling it: the same in every instance. */
  get id(): string {
    return this.#digest.subarray(0, 8).toHex();
  }

  /** In a time that tells nothing of the token, its length included. */
  equals(candidate: string | undefined): boolean {
    return candidate !== undefined && this.matches(digest(candidate));
  }

  /** Whether this is the digest of the token; in constant time. */
  matches(candidateDigest: Uint8Array): boolean {
    return timingSafeEqual(candidateDigest, this.#digest);
  }
}

/** The one of `tokens` that a request brought. All are compared, so that the time does not tell which one it was. */
export function findToken(tokens: readonly SecretToken[], candidate: string | undefined): SecretToken | undefined {
  if (candidate === undefined || tokens.length === 0) return undefined;
  const candidateDigest = digest(candidate);
  return tokens.filter((token) => token.matches(candidateDigest)).at(0);
}

/** The token that a request brings: `Authorization: Bearer …` (RFC 6750, section 2.1) or `X-Api-Key`. */
export function tokenOf(headers: Headers): string | undefined {
  return /^Bearer +(\S+)$/i.exec(headers.get("Authorization") ?? "")?.[1] ?? headers.get("X-Api-Key") ?? undefined;
}

/** @throws {HttpError} 401 where the request does not bring the operator's token. */
export function requireAdmin(headers: Headers, adminToken: SecretToken): void {
  if (adminToken.equals(tokenOf(headers))) return;
  throw new HttpError(401, "unauthorized", "send ADMIN_TOKEN as Authorization: Bearer … or X-Api-Key", {
    "WWW-Authenticate": 'Bearer realm="Cutcache\'s operator"',
  });
}

function digest(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}
