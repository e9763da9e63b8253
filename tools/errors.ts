/** Prints the README's table of errors: `deno run tools/errors.ts`. */
import { errorsTable } from "../src/base/errors.ts";

console.log(errorsTable());
