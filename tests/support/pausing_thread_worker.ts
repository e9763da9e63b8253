/**
 * A thread of a compiled session that the machine holds up: `?random` for up to a millisecond at some blocks, `?hang`
 * within its second block.
 */
import { serveThread } from "../../src/inference/compiled/thread.ts";
import type { Pause } from "../../src/inference/compiled/team.ts";

const cell = new Int32Array(new SharedArrayBuffer(4));
const sleep = (milliseconds: number) => void Atomics.wait(cell, 0, 0, milliseconds);

/** Longer than any deadline of the tests. */
const HANG_MS = 8_000;

let blocks = 0;

const pauses: Record<string, Pause> = {
  "?random": () => {
    if (Math.random() < 0.02) sleep(Math.random());
  },
  "?hang": (moment) => {
    if (moment === "within" && ++blocks === 2) sleep(HANG_MS);
  },
};

const scope = globalThis as unknown as { onmessage: (event: MessageEvent<MessagePort>) => void; location: Location };

scope.onmessage = ({ data: port }) => serveThread(port, { pause: pauses[scope.location.search] });
