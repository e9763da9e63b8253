import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import assert from "node:assert/strict";

interface Described {
  headers?: Record<string, { required?: boolean; schema?: object }>;
  content?: Record<string, unknown>;
}

/** Compares responses with their description in a server's `/openapi.json`: status, content type, headers and JSON. */
export class DescribedResponses {
  readonly #paths: {
    template: string;
    pattern: RegExp;
    item: Record<string, { responses: Record<string, Described> }>;
  }[];
  // Strict mode would refuse the document itself, which contains schemas but is not one.
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

  /** The responses that the server at this URL describes. */
  static async of(url: string): Promise<DescribedResponses> {
    const response = await fetch(`${url}/openapi.json`);
    return new DescribedResponses(await response.json());
  }

  /** Reads the whole response. @throws {AssertionError} that names the part of the response that is not described. */
  async check(method: string, path: string, response: Response): Promise<void> {
    const body = await response.text();
    const { pathname } = new URL(path, "http://localhost");
    // A literal path takes precedence over one with parameters.
    const matching = this.#paths.filter(({ pattern }) => pattern.test(pathname));
    const described = matching.find(({ template }) => template === pathname) ?? matching[0];
    const label = `${method} ${pathname} → ${response.status}`;
    const mediaType = response.headers.get("Content-Type")?.split(";")[0];
    if (described === undefined) {
      assert.equal(response.status, 404, `${label}: the path is not described`);
      return assert.equal(mediaType, "application/problem+json", label);
    }
    // CORS handles preflights, for every path (Fetch standard).
    if (method === "OPTIONS") return;
    const operation = described.item[method === "HEAD" ? "get" : method.toLowerCase()];
    if (operation === undefined) {
      assert.ok([401, 403, 405].includes(response.status), `${label}: the method is not described`);
      if (response.status === 405) assert.ok(response.headers.get("Allow"), `${label} has no Allow`);
      return;
    }
    const expected = operation.responses[response.status];
    assert.ok(expected, `${label}: the status is not described; ${body.slice(0, 200)}`);
    const pointer = [
      described.template,
      method === "HEAD" ? "get" : method.toLowerCase(),
      "responses",
      response.status,
    ];
    for (const [name, { required, schema }] of Object.entries(expected.headers ?? {})) {
      const value = response.headers.get(name);
      if (value === null) {
        assert.ok(!required, `${label} has no ${name}`);
        continue;
      }
      const integer = (schema as { type?: string } | undefined)?.type === "integer";
      this.#matches([...pointer, "headers", name, "schema"], integer ? Number(value) : value, `${label}, ${name}`);
    }
    if (expected.content === undefined) return assert.equal(body, "", `${label}: no body is described`);
    assert.ok(mediaType !== undefined && mediaType in expected.content, `${label}: ${mediaType} is not described`);
    if (method === "HEAD") return assert.equal(body, "", label);
    if (!/[/+]json$/.test(mediaType)) return;
    this.#matches([...pointer, "content", mediaType, "schema"], JSON.parse(body), label);
  }

  #matches(path: (string | number)[], value: unknown, label: string): void {
    const pointer = path.map((part) => encodeURIComponent(`${part}`.replaceAll("~", "~0").replaceAll("/", "~1")));
    const $ref = `openapi.json#/paths/${pointer.join("/")}`;
    const validate = this.#validators.get($ref) ?? this.#ajv.compile({ $ref });
    this.#validators.set($ref, validate);
    assert.ok(validate(value), `${label}: ${this.#ajv.errorsText(validate.errors)}`);
  }
}
