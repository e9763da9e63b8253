/** Prints the README's table of settings: `deno run tools/settings.ts`. */
import { settingsTable } from "../src/config.ts";

console.log(settingsTable());
