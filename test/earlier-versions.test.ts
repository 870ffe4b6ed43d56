/** Nodes and clients of earlier versions in one nexus with ours, as far as recorded messages show it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NexError } from "@nexengine/protocol/errors";
import { parseJson } from "@nexengine/protocol/formats";
import {
  auctionRequestSchema,
  decodeEvent,
  decodeLogLine,
  decodeResponse,
  deployRequestSchema,
  infoResponseSchema,
  lameDuckRequestSchema,
  lameDuckResponseSchema,
  pingResponseSchema,
  runResponseSchema,
  stopRequestSchema,
  stopResponseSchema,
  workloadPingResponseSchema,
} from "@nexengine/protocol/messages";
import { parseEventSubject, parseLogSubject } from "@nexengine/protocol/subjects";
import { type Claims, curveKeyOfSeed, decodeClaims } from "@nexengine/protocol/tokens";
import type { z } from "zod";
import { startBench } from "../packages/client/src/testing/client.ts";
import { admitDeploy, type DeployFacts } from "../packages/node/src/admission/admit-deploy.ts";
import { admitLameDuck } from "../packages/node/src/admission/admit-lame-duck.ts";
import { admitStop } from "../packages/node/src/admission/admit-stop.ts";
import { completeConfig } from "../packages/node/src/config/config.ts";
import { rulesOf } from "../packages/node/src/config/namespaces.ts";
import recording from "./fixtures/earlier-versions.json" with { type: "json" };

interface Message {
  subject: string;
  request: unknown;
  atMs?: number;
  reply?: { data: unknown; error?: string };
}

interface Version {
  commit: string;
  node: string;
  xkeySeed: string;
  knows: { features: string[]; deploy: string[]; auction: string[]; limits: string[] };
  messages: Message[];
}

const versions: readonly Version[] = recording.versions;
const bytesOf = (body: unknown): Buffer => Buffer.from(body === "" ? "" : JSON.stringify(body));

const of = ({ messages }: Version, verb: string): Message[] => {
  const found = messages.filter(({ subject }) => subject.startsWith(`$NEX.${verb}`));
  assert.ok(found.length > 0, verb);
  return found;
};

/** The node of the recording, at that time, with the code of today. */
function factsAt({ node, xkeySeed }: Version, nowMs: number): DeployFacts {
  return {
    nodeId: node,
    // With it, a node of today also refuses an environment that names no issuer.
    requireBoundClaims: false,
    isUsed: () => false,
    nowMs,
    lameDuck: false,
    workloadCount: 0,
    workloadCountMax: 0,
    workloadTypes: ["native", "v8"],
    rules: rulesOf(completeConfig({}), "default"),
    namespaceCount: 0,
    machineCount: 0,
    machineCountMax: 0,
    namespaceMachineCount: 0,
    isConnected: true,
    inboxPrefixes: [],
    xkey: curveKeyOfSeed(xkeySeed),
    functionConcurrency: 64,
    limits: {
      defaults: {},
      max: {},
      hostNetworks: [],
      driver: {
        kind: "process",
        enforces: new Set(),
        networks: new Set(["nats"]),
        ownLoopback: false,
        carriesIpv6: false,
      },
    },
    artifactBytesMax: 1_000_000,
    login: {},
    requestConnections: "node-servers",
    replaceable: () => undefined,
  };
}

for (const version of versions) {
  describe(`a client of ${version.commit}`, () => {
    test("gets its DEPLOY accepted by a node of today, or refused as it was then", () => {
      for (const { request: body, atMs = 0, reply } of of(version, "DEPLOY")) {
        const bytes = bytesOf(body);
        const request = parseJson(bytes, deployRequestSchema, "deploy");
        const admit = (): ReturnType<typeof admitDeploy> =>
          admitDeploy({ namespace: "default", request, body: bytes }, factsAt(version, atMs));
        if (reply?.error !== undefined) {
          assert.throws(admit, (error: Error) => error.message === reply.error);
          continue;
        }
        const { spec, token } = admit();
        const { name } = Object(reply?.data) as { name: string };
        assert.ok(token !== undefined && spec.name === name);
        assert.deepEqual(spec.environment, name === "earlier" ? { SECRET: "kept" } : {});
        assert.equal(spec.limits.callTimeMs, name === "limited" ? 1_000 : undefined);
      }
    });

    test("gets its STOP accepted", () => {
      const started = of(version, "DEPLOY").map(({ request, reply }) => {
        const claims = decodeClaims((request as { workload_jwt: string }).workload_jwt);
        const { id } = Object(reply?.data) as { id?: string };
        return { id, namespace: "default", claims };
      });
      for (const { request: body, atMs = 0 } of of(version, "STOP")) {
        const request = parseJson(bytesOf(body), stopRequestSchema, "stop");
        const target = started.find(({ id }) => id === request.workload_id);
        const known = target as { id: string; namespace: string; claims: Claims } | undefined;
        const { token } = admitStop("default", request, known, factsAt(version, atMs));
        assert.ok(known !== undefined && token !== undefined);
      }
    });

    test("gets its AUCTION and LAMEDUCK read", () => {
      for (const { request } of of(version, "AUCTION")) {
        assert.deepEqual(parseJson(bytesOf(request), auctionRequestSchema, "auction").workload_types, ["v8"]);
      }
      for (const { request } of of(version, "LAMEDUCK")) {
        const read = request === "" ? {} : parseJson(bytesOf(request), lameDuckRequestSchema, "lameduck");
        const facts = { ...factsAt(version, 0), operators: [], requiresOperator: false };
        assert.equal(admitLameDuck(read, facts), undefined);
      }
    });
  });

  describe(`a node of ${version.commit}`, () => {
    test("has its answers read by a client of today", () => {
      const schemas: [string, z.ZodType<unknown>][] = [
        ["PING", pingResponseSchema],
        ["AUCTION", pingResponseSchema],
        ["INFO", infoResponseSchema],
        ["WPING", workloadPingResponseSchema],
        ["DEPLOY", runResponseSchema],
        ["STOP", stopResponseSchema],
        ["LAMEDUCK", lameDuckResponseSchema],
      ];
      for (const [verb, schema] of schemas) {
        for (const { reply } of of(version, verb)) {
          const read = (): unknown => decodeResponse(bytesOf(reply), schema);
          if (reply?.error === undefined) assert.ok(read());
          else assert.throws(read, (error) => error instanceof NexError && error.code === "trigger_denied");
        }
      }
      const info = decodeResponse(bytesOf(of(version, "INFO")[0]?.reply), infoResponseSchema);
      assert.equal(info.machines[0]?.workload.name, "earlier");
      assert.deepEqual(info.nex?.features, version.knows.features);
    });

    test("has its events and log lines read", () => {
      for (const { subject, request } of of(version, "events.")) {
        assert.equal(decodeEvent(bytesOf(request))?.type, parseEventSubject(subject)?.type);
      }
      for (const { subject, request } of of(version, "logs.")) {
        assert.equal(decodeLogLine(bytesOf(request))?.id, parseLogSubject(subject)?.workloadId);
      }
    });

    test("is sent nothing by a client of today that it does not know", async () => {
      const { knows } = version;
      await using bench = await startBench({ client: { allowGoNodes: true } });
      const node = await bench.node({
        auction: (own) => ({ nex: { ...own.extras, features: knows.features } }),
        info: (own) => ({ nex: { ...own.extras, features: knows.features } }),
      });
      await bench.client.deploy(
        bench.functionOptions({
          environment: { SECRET: "kept" },
          limits: { callTimeMs: 1_000, logBytesPerSecond: 10_000 },
          replaces: [{ id: "dc2f2m1ksdudki293gng", nodeId: node.id }],
        }),
      );
      const nex = node.deploys[0]?.["nex"] as { requires: string[]; limits: object; sealed?: string };
      assert.deepEqual(
        Object.keys(nex).filter((name) => !knows.deploy.includes(name)),
        [],
      );
      assert.deepEqual(
        nex.requires.filter((name) => !knows.features.includes(name)),
        [],
      );
      assert.deepEqual(
        Object.keys(nex.limits).filter((name) => !knows.limits.includes(name)),
        [],
      );
      assert.equal(nex.sealed !== undefined, knows.features.includes("sealed-request"));
      const asked = node.auctions[0]?.["nex"] as object;
      assert.deepEqual(
        Object.keys(asked).filter((name) => !knows.auction.includes(name)),
        [],
      );
    });
  });
}
