import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { pattern } from "../../guest/guest-commands.ts";
import type { Subject } from "../abilities.ts";
import { eventually, within } from "../expect.ts";
import { actMs, TestMachine } from "../test-machine.ts";

const sizes = { "1 byte": 1, "64 KiB": 65_536, "5 MB": 5_000_000 };
/** Maximum number of bytes buffered in one end of a channel. More means that there is no backpressure. */
const waitingBytesMax = 1_048_576;
const floodBytes = 8_388_608;

export function channelCases(subject: Subject): void {
  sizeCases(subject);
  callCases(subject);
  pressureCases(subject);
}

function sizeCases({ driver, abilities }: Subject): void {
  for (const [name, size] of Object.entries(sizes)) {
    test(`frames carry ${name} both ways`, async () => {
      await using machine = await TestMachine.ready(driver, abilities);
      machine.frames.write(`echo ${size}\n`);
      machine.frames.write(pattern(size));
      assert.ok((await machine.bytes(size)).equals(pattern(size)));
    });

    test(`calls carry ${name} both ways`, async () => {
      await using machine = await TestMachine.ready(driver, abilities);
      machine.frames.write(`call ${size}\n`);
      const { request, answer } = await machine.takeCall();
      assert.ok(request.equals(pattern(size)));
      answer();
      assert.equal(await machine.line(), `called ${size}`);
    });
  }
}

function callCases({ driver, abilities }: Subject): void {
  test("a blocking call holds the guest until it is answered", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    machine.frames.write("call 100\nhello\n");
    const { answer } = await machine.takeCall();
    answer();
    assert.equal(await machine.line(), "called 100");
    assert.match(await machine.line(), /^\d+$/);
  });

  test("frames and calls run side by side and keep their order", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    const rounds = 20;
    for (let round = 0; round < rounds; round++) {
      machine.frames.write(`echo 65536\n`);
      machine.frames.write(pattern(65_536, round));
      machine.frames.write(`call ${1000 + round}\n`);
    }
    const served = (async () => {
      for (let round = 0; round < rounds; round++) (await machine.takeCall()).answer();
    })();
    for (let round = 0; round < rounds; round++) {
      assert.ok((await machine.bytes(65_536)).equals(pattern(65_536, round)), `Round ${round}`);
      assert.equal(await machine.line(), `called ${1000 + round}`);
    }
    await served;
  });

  test("two machines can't see each other's channels", async () => {
    await using one = await TestMachine.ready(driver, abilities);
    await using other = await TestMachine.ready(driver, abilities);
    const ofOne = pattern(300_000, 1);
    const ofOther = pattern(300_000, 2);
    for (const [machine, bytes] of [
      [one, ofOne],
      [other, ofOther],
    ] as const) {
      machine.frames.write(`echo ${bytes.length}\n`);
      machine.frames.write(bytes);
    }
    assert.ok((await one.bytes(ofOne.length)).equals(ofOne));
    assert.ok((await other.bytes(ofOther.length)).equals(ofOther));
    await one.machine.destroy();
    assert.match(await other.ask("hello"), /^\d+$/);
  });
}

function pressureCases({ driver, abilities }: Subject): void {
  test("a host that does not read blocks the guest", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    machine.frames.write(`flood ${floodBytes}\n`);
    const { answer } = await machine.takeCall();
    assert.ok(
      machine.frames.readableLength <= waitingBytesMax,
      `${machine.frames.readableLength} bytes wait`,
    );
    answer();
    assert.ok((await machine.bytes(floodBytes)).equals(pattern(floodBytes)));
    const waited = Number(/^flooded (\d+)$/.exec(await machine.line())?.[1]);
    assert.ok(waited <= waitingBytesMax, `${waited} bytes waited in the guest`);
  });

  test("a guest that does not read blocks the host", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    machine.frames.write("call 1\n");
    const { answer } = await machine.takeCall();
    let sent = 0;
    machine.frames.write(`echo ${floodBytes}\n`);
    const bytes = pattern(floodBytes);
    const send = (): boolean => {
      const chunk = bytes.subarray(sent, sent + 65_536);
      sent += chunk.length;
      return chunk.length === 0 || machine.frames.write(chunk);
    };
    await eventually(() => !send(), actMs, "a write says that it has to wait");
    assert.ok(sent < floodBytes, "All was taken though nobody reads");
    const drained = within(once(machine.frames, "drain"), actMs, "drain");
    answer();
    assert.equal(await machine.line(), "called 1");
    const received = machine.bytes(floodBytes);
    await drained;
    while (sent < floodBytes) if (!send()) await within(once(machine.frames, "drain"), actMs, "drain");
    assert.ok((await received).equals(bytes));
  });
}
