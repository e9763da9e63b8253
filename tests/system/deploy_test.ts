import assert from "node:assert/strict";
import { parse, parseAllDocuments } from "yaml";
import denoJson from "../../deno.json" with { type: "json" };
import { readConfig, settingNames } from "../../src/config.ts";

const ROOT = new URL("../../", import.meta.url);
const read = (name: string) => Deno.readTextFileSync(new URL(name, ROOT));

interface Service {
  image?: string;
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: object;
  profiles?: string[];
  volumes?: string[];
  stop_grace_period?: string;
  mem_limit?: string;
  command?: string[];
  deploy?: { replicas: number };
}

interface Compose {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
}

const compose = parse(read("docker-compose.yml"), { merge: true }) as Compose;
// deno-lint-ignore no-explicit-any -- Kubernetes' own validators check the schemas
const kubernetes: any[] = parseAllDocuments(read("deploy/kubernetes.yaml")).map((document) => document.toJS());
const ofKind = (kind: string) => kubernetes.find((object) => object.kind === kind);
const pod = ofKind("Deployment").spec.template.spec;
const [container] = pod.containers;

/** A token of a test's own: neither deployment has one. */
const TOKEN = "test-token";

/** Expands variables in an environment with the required ones only: `${NAME:-fallback}` becomes the fallback. */
const inEmptyShell = (value: string) => {
  return value.replaceAll(/\$\{\w+:-([^}]*)\}/g, "$1").replaceAll(/\$\{\w+:\?[^}]*\}/g, TOKEN);
};

/** The user id that the image runs as. */
const USER = Number(/^USER (\d+)$/m.exec(read("Dockerfile"))![1]);

Deno.test("deploy › compose and Kubernetes set existing settings to valid values", () => {
  const environments: Record<string, Record<string, string>> = {
    app: compose.services.app.environment!,
    fleet: compose.services.fleet.environment!,
    kubernetes: {
      ...ofKind("Secret").stringData,
      UPSTASH_REDIS_REST_TOKEN: TOKEN,
      ...Object.fromEntries(container.env.map(({ name, value }: { name: string; value: string }) => [name, value])),
    },
  };
  for (const [deployment, environment] of Object.entries(environments)) {
    for (const [name, value] of Object.entries(environment)) {
      assert.ok((settingNames as string[]).includes(name), `${deployment} sets ${name}, which is not a setting`);
      assert.equal(typeof value, "string", `${deployment}: ${name} is not a string`);
    }
    const config = readConfig((name) => environment[name] && inEmptyShell(environment[name]));
    assert.equal(config.CACHE_STORE, "auto");
    assert.ok(config.UPSTASH_REDIS_REST_URL, `${deployment} has no Redis`);
    assert.equal(config.PORT, 8000, "the published port");
  }
});

Deno.test("deploy › nothing is killed before it has drained for DRAIN_SECONDS", () => {
  const { DRAIN_SECONDS } = readConfig(() => undefined);
  for (const name of ["app", "fleet"]) {
    const { stop_grace_period, environment } = compose.services[name];
    const [, seconds] = /^(\d+)s$/.exec(stop_grace_period!)!;
    const delaySeconds = Number(inEmptyShell(environment!.DRAIN_DELAY_SECONDS));
    assert.ok(delaySeconds > 0 && Number(seconds) > DRAIN_SECONDS + delaySeconds, `${name}: ${seconds} s`);
  }
  const { value: delaySeconds } = container.env.find(({ name }: { name: string }) => name === "DRAIN_DELAY_SECONDS");
  const { periodSeconds, failureThreshold } = container.readinessProbe;
  assert.ok(Number(delaySeconds) > periodSeconds * failureThreshold, "by then the pod is known not to be ready");
  assert.ok(pod.terminationGracePeriodSeconds > DRAIN_SECONDS + Number(delaySeconds));
});

Deno.test("deploy › compose starts dependencies first, and waits until they are healthy", () => {
  const { services, volumes } = compose;
  for (const [name, { depends_on = {}, profiles = [] }] of Object.entries(services)) {
    for (const [needed, { condition }] of Object.entries(depends_on)) {
      assert.equal(condition, "service_healthy", `${name} needs ${needed}`);
      assert.ok(needed in services, needed);
      // The app's health check is in the Dockerfile.
      const checked = services[needed].healthcheck ??
        (services[needed].image === "cutcache" ? read("Dockerfile").match(/^HEALTHCHECK/m) : undefined);
      assert.ok(checked, `${needed} has no health check`);
      // A service that always starts cannot depend on one that does not.
      assert.ok((services[needed].profiles ?? []).every((profile) => profiles.includes(profile)), `${name}, ${needed}`);
    }
  }
  assert.ok(services.fleet.deploy!.replicas > 1);
  assert.deepEqual([services.fleet.profiles, services.balancer.profiles], [["fleet"], ["fleet"]]);
  for (const flag of ["--appendonly", "--maxmemory", "--maxmemory-policy"]) {
    assert.ok(services.redis.command!.includes(flag), flag);
  }
  assert.ok(services.redis.volumes!.some((volume) => volume.split(":")[0] in volumes), "its data is on a volume");
  for (const name of ["app", "fleet", "redis"]) assert.ok(services[name].mem_limit, `${name} has no memory limit`);
});

Deno.test("deploy › Kubernetes uses the probes, selects its own pods, and runs as the image's user", () => {
  assert.equal(container.startupProbe.httpGet.path, "/readyz");
  assert.equal(container.readinessProbe.httpGet.path, "/readyz");
  assert.equal(container.livenessProbe.httpGet.path, "/livez");
  const [port] = container.ports;
  for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
    assert.equal(container[probe].httpGet.port, port.name);
  }
  assert.equal(ofKind("Service").spec.ports[0].targetPort, port.name);
  const { labels } = ofKind("Deployment").spec.template.metadata;
  for (const kind of ["Deployment", "PodDisruptionBudget"]) {
    assert.deepEqual(ofKind(kind).spec.selector.matchLabels, labels, kind);
  }
  assert.deepEqual(ofKind("Service").spec.selector, labels);
  assert.equal(ofKind("HorizontalPodAutoscaler").spec.scaleTargetRef.name, ofKind("Deployment").metadata.name);
  assert.equal(container.envFrom[0].secretRef.name, ofKind("Secret").metadata.name);
  assert.equal(pod.securityContext.runAsUser, USER);
  assert.equal(pod.securityContext.runAsNonRoot, true);
  assert.equal(container.securityContext.readOnlyRootFilesystem, true);
  assert.ok(container.resources.limits.memory && container.resources.limits.cpu);
  const volumes = pod.volumes.map(({ name }: { name: string }) => name);
  for (const { name } of container.volumeMounts) assert.ok(volumes.includes(name), name);
});

Deno.test("deploy › images are pinned by version, and no token has a default", () => {
  const images = [...Object.values(compose.services).map(({ image }) => image!), container.image as string];
  for (const image of images) assert.match(image, /^cutcache(?::native)?$|:\d+\.\d+\.\d+(?:-\w+)?$/, image);
  assert.equal(container.image, `cutcache:${denoJson.version}`);
  for (const text of [read("docker-compose.yml"), read("deploy/kubernetes.yaml")]) {
    for (const [, value] of text.matchAll(/TOKENS?: (.*)$/gm)) assert.match(value, /^(?:""|\$\{\w+(?::-|:\?[^}]*)\})$/);
  }
});

Deno.test("deploy › the network is limited to the server's port, names and Redis", () => {
  const { podSelector, policyTypes, ingress, egress } = ofKind("NetworkPolicy").spec;
  assert.deepEqual(podSelector.matchLabels, ofKind("Deployment").spec.template.metadata.labels);
  assert.deepEqual(policyTypes, ["Ingress", "Egress"]);
  assert.deepEqual(ingress, [{ ports: [{ port: container.ports[0].name }] }]);
  const redis = new URL(ofKind("Secret").stringData.UPSTASH_REDIS_REST_URL);
  const ports = egress.flatMap((rule: { ports: { port: number }[] }) => rule.ports.map(({ port }) => port));
  assert.deepEqual([...new Set(ports)], [53, Number(redis.port || 80)]);
  const { networks } = compose as unknown as { networks: Record<string, { internal: boolean }> };
  assert.equal(networks.store.internal, true);
  for (const name of ["redis", "serverless-redis-http"]) {
    assert.deepEqual((compose.services[name] as { networks?: string[] }).networks, ["store"], name);
  }
});
