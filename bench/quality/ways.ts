import { Buffer } from "node:buffer";
import { PNG } from "pngjs";
import { decode } from "../../src/image/decode.ts";
import type { TestServer } from "../../tests/support/server.ts";
import type { Scene } from "./scenes.ts";

/** The ways to make a cutout that are compared. */
export const WAYS = {
  none: "/cutouts?format=png",
  refine: "/cutouts?format=png&matting=refine",
  hair: "/cutouts?format=png&matting=hair",
  "a=true": "/api/remove?a=true",
} as const;

export type Way = keyof typeof WAYS;

/** The cutout of a scene by a real server: RGBA, height×width×4. */
export async function cutout(server: TestServer, { image }: Scene, way: Way): Promise<Uint8Array> {
  const png = new PNG({ width: image.width, height: image.height });
  png.data = Buffer.from(image.data);
  const file = new Uint8Array(PNG.sync.write(png));
  const form = new FormData();
  form.set("file", new File([file], "scene.png"));
  const response = await server.fetch(WAYS[way], { method: "POST", body: way === "a=true" ? form : file });
  if (response.status !== 200) throw new Error(`${way}: ${response.status} ${await response.text()}`);
  return (await decode(await response.bytes(), { maxPixels: 1e6 })).data;
}
