import { serveThread } from "./thread.ts";

/* One of a compiled session's threads. The first message brings the port to the session. */
const scope = globalThis as unknown as { onmessage: (event: MessageEvent<MessagePort>) => void };

scope.onmessage = ({ data: port }) => serveThread(port);
