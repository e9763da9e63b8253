import { UpstashGateway } from "../tests/support/upstash_gateway.ts";

interface Address {
  readonly url: string;
  readonly token: string;
}

/**
 * The Upstash REST protocol in front of a Redis, in a separate process, as in production: in the bench's own process, the
 * work of the gateway would be measured too.
 */
export class GatewayProcess implements Address {
  private constructor(readonly url: string, readonly token: string, readonly process: Deno.ChildProcess) {}

  static async start({ redisUrl }: { redisUrl: string }): Promise<GatewayProcess> {
    const args = ["run", "--quiet", "-A", import.meta.filename!, redisUrl];
    const process = new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "piped" }).spawn();
    const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await reader.read();
    if (value === undefined) throw new Error("the gateway exited before it listened");
    const { url, token } = JSON.parse(value) as Address;
    return new GatewayProcess(url, token, process);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stdin.close();
    await this.process.status;
  }
}

if (import.meta.main) {
  await using gateway = await UpstashGateway.start({ redisUrl: Deno.args[0] });
  console.log(JSON.stringify({ url: gateway.url, token: gateway.token } satisfies Address));
  // Runs until the parent process closes standard input, or ends.
  for await (const _ of Deno.stdin.readable) { /* nothing is sent */ }
}
