/**
 * A program that boots a machine as a node would, writes a line when the guest has answered, and lives on until it is
 * killed. Arguments: the module with `makeDriver`, the machine's directory, a command for the guest.
 */
import { ByteReader } from "./byte-reader.ts";
import { makeSpec } from "./spec.ts";

const [, , driverModule = "", directory = "", command = "hello"] = process.argv;
const { makeDriver } = (await import(driverModule)) as typeof import("../process/contract-driver.ts");
const machine = await makeDriver().boot(await makeSpec({ directory }));
const { frames } = await machine.attach(1);
frames.write(`attach 1\n${command}\n`);
process.stdout.write(`${await new ByteReader(frames).line()}\n`);
await machine.exited;
