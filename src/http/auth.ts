import { createHash, timingSafeEqual } from "node:crypto";

/** A token of which only the digest is kept, so that no dump of memory holds it. */
export class SecretToken {
  readonly #digest: Uint8Array;

  constructor(token: string) {
    this.#digest = digest(token);
  }

  /** In a time that tells nothing of the token, its length included. */
  equals(candidate: string | undefined): boolean {
    return candidate !== undefined && timingSafeEqual(digest(candidate), this.#digest);
  }
}

/** The token that a request brings: `Authorization: Bearer …` (RFC 6750, section 2.1) or `X-Api-Key`. */
export function tokenOf(headers: Headers): string | undefined {
  return /^Bearer +(\S+)$/i.exec(headers.get("Authorization") ?? "")?.[1] ?? headers.get("X-Api-Key") ?? undefined;
}

function digest(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}
