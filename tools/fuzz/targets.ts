/** The targets of fuzzing: every decoder of bytes that come from somebody else. */
import { boundModule, readModule } from "../../packages/agent/src/wasm/module.ts";
import { epochHeader, HeaderFinder, newToken } from "../../packages/machines/src/microvm/epoch-header.ts";
import { takeExitReport } from "../../packages/machines/src/microvm/exit-report.ts";
import { completeConfig } from "../../packages/node/src/config/config.ts";
import {
  parseAckSubject,
  readCounts,
} from "../../packages/node/src/functions/triggers/pulled/ack-subject.ts";
import { parseStatus } from "../../packages/node/src/functions/triggers/pulled/pull-status.ts";
import {
  decodeHostCall,
  decodeHostReply,
  encodeHostCall,
  encodeHostReply,
  FrameDecoder,
  PayloadAssembler,
  parseCallFailure,
  readInvocation,
  readResult,
} from "../../packages/protocol/src/agent/mod.ts";
import { NexError } from "../../packages/protocol/src/errors.ts";
import {
  canonicalJson,
  checkStaticElf,
  goUrlOf,
  objectLocation,
  parseJson,
  parseObjectLocation,
  parseStrictJson,
} from "../../packages/protocol/src/formats/mod.ts";
import {
  auctionRequestSchema,
  checkTriggers,
  decodeResponse,
  deployRequestSchema,
  infoResponseSchema,
  lameDuckRequestSchema,
  nameTriggers,
  parseDeployExtras,
  parseEgressRule,
  stopRequestSchema,
  triggerActionRequestSchema,
  triggersSchema,
} from "../../packages/protocol/src/messages/mod.ts";
import {
  createKey,
  curveKeyOfSeed,
  decodeClaims,
  encodeClaims,
  openEnvironment,
  sealEnvironment,
  signerOfSeed,
} from "../../packages/protocol/src/tokens/mod.ts";
import { assemble } from "../../packages/testing/src/compile-wasm.ts";

/** A decoder, and what it is given first. */
export interface Target {
  name: string;
  /** Throws a `NexError` for what it refuses; anything else that it throws is a find. */
  run(bytes: Buffer): void;
  seeds: readonly Buffer[];
}

const node = curveKeyOfSeed(createKey("curve").seed);
const publisher = curveKeyOfSeed(createKey("curve").seed);
const account = signerOfSeed(createKey("account").seed);
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const assemblyBytesMax = 1_048_576;
const machineToken = newToken();

const deploy = {
  argv: ["a"],
  description: "d",
  type: "v8",
  location: objectLocation("BUCKET", "key"),
  essential: false,
  workload_jwt: encodeClaims({ subject: "echo", issuedAt: 1, data: { hash: "00" } }, account),
  environment: sealEnvironment({ A: "1" }, publisher, node.publicKey),
  sender_public_key: publisher.publicKey,
  target_node: "N",
  trigger_subjects: ["a.b"],
  nex: {
    version: 1,
    requires: ["limits"],
    limits: { memory_bytes: 134_217_728, egress_allow: ["a:1"], network: "egress" },
  },
};

const modules = [
  `(import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (type $plain (func)) (table $t 2 9 funcref) (table 1 externref) (memory (export "memory") 1 2)
  (global $g (mut i32) (i32.const 5)) (global (mut f64) (f64.const 1)) (global i64 (i64.const -1))
  (elem (table $t) (i32.const 0) func 0) (data (i32.const 8) "data") (data $d "more")
  (func (export "_start") (local i32 i64)
    (block (br_table 0 0 (i32.const 1))) (drop (call $close (i32.const 1)))
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)) (i64.store offset=300 (i32.const 0) (i64.const 9))
    (if (i32.const 1) (then (global.set $g (i32.const -1)))) (drop (f64.const 2))
    (drop (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (v128.const i64x2 1 2) (v128.load (i32.const 0)))))`,
  `(memory 1) (func $begin) (start $begin) (table 1 funcref) (elem declare func $begin)
  (func (export "_start") (table.set 0 (i32.const 0) (ref.func $begin)))`,
];
const isValidWasm = (globalThis as unknown as { WebAssembly: { validate(bytes: Uint8Array): boolean } })
  .WebAssembly.validate;

/** All decoders. */
export const targets: readonly Target[] = [
  {
    name: "deploy request",
    seeds: [json(deploy), json({ ...deploy, location: "nats://BUCKET/key" }), Buffer.from("null")],
    run: (bytes) => {
      const request = parseJson(bytes, deployRequestSchema, "deploy");
      parseDeployExtras(request.nex);
      if (request.location !== undefined) parseObjectLocation(request.location);
    },
  },
  {
    name: "auction, stop and lame duck requests",
    seeds: [
      json({ nex: { version: 1, token: "a.b.c" } }),
      json({ os: "linux", tags: { a: "b" }, workload_types: ["v8"], nex: { version: 1, limits: {} } }),
      json({ workload_id: "x", workload_jwt: "y" }),
      json({ workload_id: "x", workload_jwt: "y", trigger: "t", action: "pause" }),
    ],
    run: (bytes) => {
      parseJson(bytes, lameDuckRequestSchema, "lameduck");
      parseJson(bytes, stopRequestSchema, "stop");
      parseJson(bytes, auctionRequestSchema, "auction");
    },
  },
  {
    name: "trigger request",
    seeds: [json({ workload_id: "x", workload_jwt: "y", trigger: "t", action: "pause" })],
    run: (bytes) => {
      parseJson(bytes, triggerActionRequestSchema, "trigger");
    },
  },
  {
    name: "triggers",
    seeds: [
      json([{ type: "stream", stream: "A", filters: ["a.*"], from: { seq: 3 }, backoff_ms: [1] }]),
      json([{ type: "cron", schedule: "*/5 1-3 * jan,mar mon-fri", zone: "Europe/Berlin" }]),
      json([{ type: "http", route: "a.example/b/:c/*", auth: { accounts: ["A"] }, cors: ["https://a.b"] }]),
      json([
        { type: "kv", bucket: "A", keys: ["a.>"] },
        { type: "subject", subject: "a.b", name: "x" },
      ]),
    ],
    run: (bytes) => {
      const triggers = parseJson(bytes, triggersSchema, "triggers");
      checkTriggers(triggers);
      nameTriggers(triggers);
    },
  },
  {
    name: "deliveries and statuses of JetStream",
    seeds: [
      "$JS.ACK.ORDERS.nex_a_b.3.17.20.1764500000123456789.42",
      "$JS.ACK.hub.ABCDEF.ORDERS.nex_a_b.3.17.20.1764500000123456789.42.x",
      "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 7\r\n\r\n",
      "NATS/1.0 409 Leadership Change\r\n\r\n",
    ].map((text) => Buffer.from(text)),
    run: (bytes) => {
      const text = Buffer.from(bytes).toString("latin1");
      parseAckSubject(text);
      parseStatus(text);
      readCounts(bytes, 0, bytes.length, { deliveries: 0, pending: 0 });
    },
  },
  {
    name: "location",
    seeds: ["nats://B/a/b%20c?x=1#f", "nats://u:p@B:1/k", "file:///tmp/x", "B", "%zz"].map((text) =>
      Buffer.from(text),
    ),
    run: (bytes) => void parseObjectLocation(goUrlOf(bytes.toString())),
  },
  {
    name: "canonical JSON",
    seeds: [json(deploy), Buffer.from('[1e5,-0.1,"\\u00e4\\ud83d\\ude00",{"a":[]}]')],
    run: (bytes) => {
      const text = canonicalJson(parseStrictJson(bytes.toString()));
      // One text for each value: writing what was read again changes nothing.
      if (canonicalJson(parseStrictJson(text)) !== text) throw new Error("the canonical form is not stable");
    },
  },
  {
    name: "token",
    seeds: [Buffer.from(deploy.workload_jwt), Buffer.from("a.b.c")],
    run: (bytes) => void decodeClaims(bytes.toString("latin1")),
  },
  {
    name: "envelope",
    seeds: [
      json({ type: "io.nats.nex.v1.info_response", data: { public_xkey: "X", machines: [] } }),
      json({ data: "", error: "No such workload" }),
    ],
    run: (bytes) => void decodeResponse(bytes, infoResponseSchema),
  },
  {
    name: "sealed environment",
    seeds: [Buffer.from(deploy.environment)],
    run: (bytes) => void openEnvironment(bytes.toString("latin1"), node, publisher.publicKey),
  },
  {
    name: "ELF headers",
    seeds: [elfSeed()],
    run: (bytes) => void checkStaticElf((offset, length) => bytes.subarray(offset, offset + length)),
  },
  {
    name: "agent frames",
    seeds: [
      frame(37, 0, Buffer.from("\x01line")),
      Buffer.concat([frame(36, 1, Buffer.alloc(65_524)), frame(36, 0, Buffer.from("end"))]),
    ],
    run: (bytes) => {
      const assembler = new PayloadAssembler(assemblyBytesMax);
      const decoder = new FrameDecoder((type, flags, id, payload) => {
        const whole = assembler.add(flags, id, payload);
        if (whole === undefined) return;
        if (type === 6) readInvocation(flags, whole, 0, whole.length);
        else if ((flags & 2) === 0) readResult(flags, whole, 0, whole.length);
        else parseCallFailure(flags, whole);
      });
      // In two parts, since a chunk of a stream ends anywhere.
      decoder.push(bytes.subarray(0, bytes.length >> 1));
      decoder.push(bytes.subarray(bytes.length >> 1));
    },
  },
  {
    name: "beginning of an epoch",
    seeds: [epochHeader(machineToken, 1), Buffer.concat([Buffer.from("old"), epochHeader(machineToken, 1)])],
    run: (bytes) => {
      const mark = epochHeader(machineToken, 1);
      const found = new HeaderFinder(mark);
      // In parts, since a guest may write a byte at a time.
      const parts: Buffer[] = [];
      let begun = false;
      for (let at = 0; at < bytes.length; at += 7) {
        const part = bytes.subarray(at, at + 7);
        const after = begun ? part : found.add(part);
        if (after === undefined) continue;
        begun = true;
        parts.push(after);
      }
      const start = bytes.indexOf(mark);
      if (begun !== start >= 0) throw new Error("a mark is found where there is none, or is not found");
      const whole = bytes.subarray(start + mark.length);
      if (begun && !Buffer.concat(parts).equals(whole)) throw new Error("bytes of an epoch are lost");
    },
  },
  {
    name: "end of a microVM",
    seeds: [Buffer.from("words\n[nex: the agent ended with 137, memory ran out 2 times]\r\nmore")],
    run: (bytes) => {
      const { console, report } = takeExitReport(bytes.toString());
      if (console.length > bytes.length || (report && !Number.isSafeInteger(report.outOfMemoryCount)))
        throw new Error("more comes out of a console than is in it");
    },
  },
  {
    name: "Wasm modules",
    seeds: await Promise.all(
      modules.map(async (fields) => Buffer.from(await assemble(`(module ${fields})`))),
    ),
    run: (bytes) => {
      const module = readModule(bytes);
      const bounded = boundModule(module, { memoryBytesMax: assemblyBytesMax });
      // A valid module stays valid.
      if (isValidWasm(bytes) && !isValidWasm(bounded)) throw new Error("the bounded module is not valid");
    },
  },
  {
    name: "host calls",
    seeds: [
      encodeHostCall(2, [Buffer.from("key"), Buffer.from("value")]),
      encodeHostReply({ kind: "list", items: [Buffer.from("a")] }),
    ],
    run: (bytes) => {
      try {
        decodeHostCall(bytes);
      } catch (error) {
        if (!(error instanceof NexError)) throw error;
      }
      decodeHostReply(bytes);
    },
  },
  {
    name: "configuration",
    seeds: [
      json({
        machine_pool_size: 2,
        limits: { max: { vcpus: 1 } },
        tags: { a: "b" },
        autostart: { workloads: [] },
      }),
    ],
    run: (bytes) => {
      let value: unknown;
      try {
        value = JSON.parse(bytes.toString());
      } catch {
        return;
      }
      completeConfig(value);
    },
  },
  {
    name: "allow-list entry",
    seeds: ["db.example:5432", "10.0.0.0/8:80", "[2001:db8::1]:443"].map((text) => Buffer.from(text)),
    run: (bytes) => void parseEgressRule(bytes.toString()),
  },
];

function frame(type: number, flags: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(12 + payload.length);
  bytes.writeUInt32LE(8 + payload.length, 0);
  bytes[4] = type;
  bytes[5] = flags;
  bytes.writeUInt32LE(7, 8);
  payload.copy(bytes, 12);
  return bytes;
}

/** A header of a 64-bit executable, and one program header. */
function elfSeed(): Buffer {
  const bytes = Buffer.alloc(120);
  bytes.write("\x7fELF\x02\x01\x01", 0, "latin1");
  bytes.writeUInt16LE(2, 16);
  bytes.writeUInt16LE(62, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(64, 52);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(1, 64);
  return bytes;
}
