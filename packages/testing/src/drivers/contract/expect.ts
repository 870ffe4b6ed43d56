import assert from "node:assert/strict";
import {
  holdsWithin,
  MachineError,
  type MachineErrorCode,
  settlesWithin,
} from "@nexengine/machines/internal";

/** Waits for a promise. Fails the test after the timeout. */
export async function within<Value>(
  promise: Promise<Value>,
  timeoutMs: number,
  what: string,
): Promise<Value> {
  if (!(await settlesWithin(promise, timeoutMs))) assert.fail(`Waited ${timeoutMs} ms for ${what}`);
  return await promise;
}

/** Waits for a condition. Fails the test after the timeout. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  what: string,
): Promise<void> {
  if (!(await holdsWithin(condition, timeoutMs))) assert.fail(`Waited ${timeoutMs} ms until ${what}`);
}

/** Fails the test unless the promise rejects with a machine error of this code. */
export async function rejectsWith(promise: Promise<unknown>, code: MachineErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof MachineError, `Expected a machine error, got ${String(error)}`);
    assert.equal(error.code, code, error.message);
    return true;
  });
}
