import { NetworkThread, type Seat, type TeamOptions } from "./network.ts";
import type { Programs } from "./program.ts";

/** What a session posts to its threads. */
export type ThreadMessage =
  /** A network to be run from now on; answered by {@link ThreadReady}. */
  | { readonly network: string; readonly seat: Seat }
  | { readonly network: string; readonly run: number; readonly program: keyof Programs };

export interface ThreadReady {
  readonly ready: string;
}

/** Serves a session as one of its threads. Between two runs it waits for a message, so that it can be ended. */
export function serveThread(port: MessagePort, options?: TeamOptions): void {
  const networks = new Map<string, NetworkThread>();
  port.onmessage = ({ data }: MessageEvent<ThreadMessage>) => {
    const { network } = data;
    if ("run" in data) return networks.get(network)!.run(data.run, data.program);
    networks.set(network, new NetworkThread(data.seat, options));
    port.postMessage({ ready: network } satisfies ThreadReady);
  };
}
