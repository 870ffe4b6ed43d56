import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkLimits, limitsSchema, parseEgressRule } from "./limits.ts";

const port = fc.integer({ min: 1, max: 65_535 });
const bits = fc.integer({ min: 0, max: 32 });
const refusal = { code: "limits_invalid" };

function addressOf(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
}

test("parseEgressRule reads every IPv4 network that starts at its first address, and refuses any other", () => {
  fc.assert(
    fc.property(fc.nat(0xffff_ffff), bits, port, (number, prefixBits, portNumber) => {
      const mask = prefixBits === 0 ? 0 : (-1 << (32 - prefixBits)) >>> 0;
      const first = (number & mask) >>> 0;
      assert.deepEqual(parseEgressRule(`${addressOf(first)}/${prefixBits}:${portNumber}`), {
        kind: "address",
        address: addressOf(first),
        prefixBits,
        port: portNumber,
      });
      if (first !== number)
        assert.throws(() => parseEgressRule(`${addressOf(number)}/${prefixBits}:${portNumber}`), refusal);
    }),
  );
});

test("parseEgressRule reads every IPv6 address, and every host name in lower case", () => {
  fc.assert(
    fc.property(fc.ipV6(), port, (address, portNumber) => {
      const rule = parseEgressRule(`[${address}]:${portNumber}`);
      assert.deepEqual(rule, {
        kind: "address",
        address: address.toLowerCase(),
        prefixBits: 128,
        port: portNumber,
      });
    }),
  );
  fc.assert(
    fc.property(fc.domain(), port, (name, portNumber) => {
      const rule = parseEgressRule(`${name.toUpperCase()}:${portNumber}`);
      assert.deepEqual(rule, { kind: "name", name: name.toLowerCase(), port: portNumber });
    }),
  );
});

test("parseEgressRule refuses with its code only, whatever the text", () => {
  const near = fc.string({ unit: fc.constantFrom(..."0123456789abf:./[]-* é"), maxLength: 30 });
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ unit: "binary" })), (text) => {
      try {
        const { port: found } = parseEgressRule(text);
        assert.ok(found >= 1 && found <= 65_535);
      } catch (error) {
        assert.equal((error as { code: string }).code, refusal.code, text);
      }
    }),
    { numRuns: 500 },
  );
});

test("checkLimits refuses exactly the ports that are published twice", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 6 }), (ports) => {
      const limits = limitsSchema.parse({ publish: ports.map((machine_port) => ({ machine_port })) });
      if (new Set(ports).size === ports.length) checkLimits(limits);
      else assert.throws(() => checkLimits(limits), refusal);
    }),
  );
});
