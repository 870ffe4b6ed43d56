/**
 * A program that boots a machine like a node. It prints a line when the guest has answered or made a call, then the
 * machine's record, and runs until it is killed. Arguments: the module with `makeDriver`, the machine's directory, a
 * guest command, and the timeout for a lost node.
 */
import { ByteReader } from "../guest/byte-reader.ts";
import { makeSpec } from "./spec.ts";

const [, , driverModule = "", directory = "", command = "hello", nodeLostTimeoutMs = "1000"] = process.argv;
const { makeDriver } = (await import(driverModule)) as typeof import("../process.ts");
const spec = await makeSpec({ directory, nodeLostTimeoutMs: Number(nodeLostTimeoutMs) });
const machine = await makeDriver().boot(spec);
const { frames, calls } = await machine.attach(1);
frames.write(`attach 1\n${command}\n`);
const answer = await new ByteReader(command.startsWith("call") ? calls : frames).line();
process.stdout.write(`${answer}\n${JSON.stringify(machine.record?.() ?? {})}\n`);
await machine.exited;
