/** What `--help` prints. Loads nothing, so that it prints at once. */
export const USAGE = `Usage: deno task start

Starts Cutcache, which removes the background of images over HTTP. Environment variables set it up; all have defaults:

  PORT=8000             port to listen on
  CACHE_DIR=.cutcache   folder of the cache
  MODEL=u2netp          model; \`deno task model list\` shows more
  API_TOKENS=…          tokens that clients need, separated by commas
  UPSTASH_REDIS_REST_URL=… UPSTASH_REDIS_REST_TOKEN=…   Redis that several servers share

docs/configuration.md describes all of them. Then open http://localhost:8000.`;
