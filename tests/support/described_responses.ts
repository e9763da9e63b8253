import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import assert from "node:assert/strict";

interface Described {
  headers?: Record<string, { required?: boolean; schema?: object }>;
  content?: Record<string, unknown>;
}

/** Compares responses with what a server's `/openapi.json` says of them: status, content type, headers and JSON. */
export class DescribedResponses {
  readonly #paths: {
    template: string;
    pattern: RegExp;
    item: Record<string, { responses: Record<string, Described> }>;
  }[];
  // Strict would refuse the document itself, which is no schema though it holds them.
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true, coerceTypes: false });
  readonly #validators = new Map<string, ValidateFunction>();

  constructor(document: { paths: Record<string, Record<string, { responses: Record<string, Described> }>> }) {
    addFormats.default(this.#ajv);
    this.#ajv.addSchema(document, "openapi.json");
    this.#paths = Object.entries(document.paths).map(([template, item]) => {
      const pattern = template.split(/\{[^}]+\}/).map(RegExp.escape).join("[^/]+");
      return { template, pattern: new RegExp(`^${pattern}$`), item };
    });
  }

  /** What the server at this address describes. */
  static async of(url: string): Promise<DescribedResponses> {
    const response = await fetch(`${url}/openapi.json`);
    return new DescribedResponses(await response.json());
  }

  /** Reads the response to its end. @throws {AssertionError} that says what is answered and not described. */
  async check(method: string, path: string, response: Response): Promise<void> {
    const body = await response.text();
    const { pathname } = new URL(path, "http://localhost");
    // A literal path goes before one with parameters.
    const matching = this.#paths.filter(({ pattern }) => pattern.test(pathname));
    const found = matching.find(({ template }) => template === pathname) ?? matching[0];
    const what = `${method} ${pathname} → ${response.status}`;
    const mediaType = response.headers.get("Content-Type")?.split(";")[0];
    if (found === undefined) {
      assert.equal(response.status, 404, `${what}: the path is not described`);
      return assert.equal(mediaType, "application/problem+json", what);
    }
    // A preflight is the business of CORS, for every path (the Fetch standard).
    if (method === "OPTIONS") return;
    const operation = found.item[method === "HEAD" ? "get" : method.toLowerCase()];
    if (operation === undefined) {
      assert.ok([401, 403, 405].includes(response.status), `${what}: the method is not described`);
      if (response.status === 405) assert.ok(response.headers.get("Allow"), `${what} has no Allow`);
      return;
    }
    const described = operation.responses[response.status];
    assert.ok(described, `${what}: the status is not described; ${body.slice(0, 200)}`);
    const pointer = [found.template, method === "HEAD" ? "get" : method.toLowerCase(), "responses", response.status];
    for (const [name, { required, schema }] of Object.entries(described.headers ?? {})) {
      const value = response.headers.get(name);
      if (value === null) {
        assert.ok(!required, `${what} has no ${name}`);
        continue;
      }
      const integer = (schema as { type?: string } | undefined)?.type === "integer";
      this.#matches([...pointer, "headers", name, "schema"], integer ? Number(value) : value, `${what}, ${name}`);
    }
    if (described.content === undefined) return assert.equal(body, "", `${what}: no body is described`);
    assert.ok(mediaType !== undefined && mediaType in described.content, `${what}: ${mediaType} is not described`);
    if (method === "HEAD") return assert.equal(body, "", what);
    if (!/[/+]json$/.test(mediaType)) return;
    this.#matches([...pointer, "content", mediaType, "schema"], JSON.parse(body), what);
  }

  #matches(path: (string | number)[], value: unknown, what: string): void {
    const pointer = path.map((part) => encodeURIComponent(`${part}`.replaceAll("~", "~0").replaceAll("/", "~1")));
    const $ref = `openapi.json#/paths/${pointer.join("/")}`;
    const validate = this.#validators.get($ref) ?? this.#ajv.compile({ $ref });
    this.#validators.set($ref, validate);
    assert.ok(validate(value), `${what}: ${this.#ajv.errorsText(validate.errors)}`);
  }
}
