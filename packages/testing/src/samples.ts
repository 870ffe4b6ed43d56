/** Sample workloads: the echo service of the examples, and a service that does what a test tells it. */
import { join } from "node:path";
import { type Compiled, compileC, compileGo } from "./compile.ts";
import type { Report } from "./install.ts";

const root = join(import.meta.dirname, "../../..");

/** The echo function of the examples. */
export const echoFunctionPath = join(root, "examples/echo/echo.js");

/**
 * The echo service of the examples, built in C or in Go.
 *
 * @returns `undefined` when neither can be built here.
 */
export async function echoService(report?: Report): Promise<Compiled | undefined> {
  const c = join(root, "examples/echo/service-c/echo.c");
  return (await compileC(c, report)) ?? (await compileGo(join(root, "examples/echo/service-go"), report));
}

/** A service that does what its arguments say, see fixtures/probe.c. @returns `undefined` without a C compiler. */
export async function probeService(report?: Report): Promise<Compiled | undefined> {
  return await compileC(join(import.meta.dirname, "fixtures/probe.c"), report);
}

/** A service that visits places on the network, see fixtures/visitor. @returns `undefined` without Go. */
export function visitorService(report?: Report): Promise<Compiled | undefined> {
  return compileGo(join(import.meta.dirname, "fixtures/visitor"), report);
}
