/* Calls a server by a client that openapi-typescript generated. Arguments: the address and a token. */
import createClient from "openapi-fetch";
import type { paths } from "./generated.d.ts";

const [baseUrl, token] = Deno.args;
const client = createClient<paths>({ baseUrl, headers: { "X-Api-Key": token } });
const image = await Deno.readFile("photo.png");
const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", image)).toHex();
const image_base64 = image.toBase64();
const file = image as unknown as string;
const bytes = { parseAs: "arrayBuffer" } as const;

const octets = { "Content-Type": "application/octet-stream" };
const responses = {
  bytes: client.POST("/cutouts", { body: file, bodySerializer: () => image, headers: octets, ...bytes }),
  json: client.POST("/cutouts", {
    body: { image_base64, crop: true },
    params: { query: { format: "webp" } },
    ...bytes,
  }),
  predict: client.POST("/predict", {
    body: { file_path: "a.png", img_base64: image_base64, options: { quality: 90, format: "jpeg" } },
  }),
  removebg: client.POST("/v1.0/removebg", {
    body: { image_file_b64: image_base64 },
    params: { header: { Accept: "application/json" } },
  }),
  account: client.GET("/v1.0/account"),
  job: client.GET("/jobs/{id}", { params: { path: { id: crypto.randomUUID() } } }),
  health: client.GET("/health"),
  metadata: client.GET("/metadata"),
  live: client.GET("/livez"),
  ready: client.GET("/readyz"),
  metrics: client.GET("/metrics", { parseAs: "text" }),
  greeting: client.GET("/", { parseAs: "text" }),
  openapi: client.GET("/openapi.json"),
  docs: client.GET("/docs", { parseAs: "text" }),
  file: client.GET("/page/{file}", { params: { path: { file: "app.js" } }, parseAs: "text" }),
};
for (const [name, response] of Object.entries(responses)) console.log(name, (await response).response.status);

const address = { params: { path: { image: digest }, query: { background: "white" } }, ...bytes };
console.log("cutout", (await client.GET("/cutouts/{image}", address)).response.status);
console.log("list", (await client.GET("/cache", { params: { query: { limit: 1 } } })).response.status);
console.log("forget", (await client.DELETE("/cache/{image}", { params: { path: { image: digest } } })).response.status);
console.log("clear", (await client.DELETE("/cache")).response.status);
