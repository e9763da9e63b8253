import { messageOf } from "./base/errors.ts";

/** Why the server cannot start, in a sentence that says what to do about it. */
export function startErrorMessage(error: unknown, { host, port }: { host: string; port: string }): string {
  if (error instanceof Deno.errors.AddrInUse) {
    return `port ${port} is taken by another program. Stop it, or choose another port, for example PORT=8001.`;
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    return `this machine does not have the address HOST=${host}. HOST=0.0.0.0 listens on all addresses.`;
  }
  if (error instanceof Deno.errors.PermissionDenied && /os error 13/.test(error.message) && Number(port) < 1024) {
    return `port ${port} needs the rights of root. Choose a port from 1024, for example PORT=8000.`;
  }
  return messageOf(error);
}
