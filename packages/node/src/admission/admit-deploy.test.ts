import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { LimitName, MachineNetwork } from "@nexengine/machines";
import { type ErrorCode, NexError } from "@nexengine/protocol/errors";
import { parseJson } from "@nexengine/protocol/formats";
import { deployRequestSchema, placeholderHash } from "@nexengine/protocol/messages";
import {
  type CurveKey,
  createKey,
  curveKeyOfSeed,
  encodeClaims,
  requestDigest,
  type Signer,
  sealEnvironment,
  sealRequest,
  signDeployToken,
  signerOfSeed,
  signStopToken,
} from "@nexengine/protocol/tokens";
import type { NamespaceRules } from "../config/namespaces.ts";
import { type AdmittedDeploy, admitDeploy, type DeployFacts, isFull } from "./admit-deploy.ts";
import type { LimitFacts } from "./limits.ts";

const nowMs = Date.UTC(2026, 10, 30);
const now = nowMs / 1_000;
const nodeId = createKey("node").publicKey;
const sha256 = createHash("sha256").update("artifact").digest("hex");
const [issuer, stranger] = [newSigner(), newSigner()];
const [publisher, nodeXkey] = [newXkey(), newXkey()];
const environment = { HELLO: "world" };

function newSigner(): Signer {
  return signerOfSeed(createKey("account").seed);
}

function newXkey(): CurveKey {
  return curveKeyOfSeed(createKey("curve").seed);
}

const container: LimitFacts["driver"] = {
  kind: "container",
  enforces: new Set<LimitName>(["memoryBytes", "vcpus", "processes", "diskBytes"]),
  networks: new Set<MachineNetwork>(["none", "nats", "egress"]),
  ownLoopback: true,
  carriesIpv6: false,
};
/** A sandbox that holds no limit. */
const plain: LimitFacts["driver"] = { ...container, kind: "process", enforces: new Set() };

const openRules: NamespaceRules = {
  isListed: true,
  validIssuers: [],
  workloadCountMax: 0,
  machineCountMax: 0,
  totalBytesMax: 0,
  workloadBytesMax: Number.POSITIVE_INFINITY,
  limits: { default: {}, max: {} },
  denyTriggerSubjects: [],
  denyTriggerStreams: [],
};

/** Changes a draft, mostly so that one check refuses it. */
type Change = (draft: Draft) => void;

/** A DEPLOY to be made, and the node that gets it. Without a change it is admitted. */
class Draft {
  namespace = "default";
  name = "echo";
  issuer = issuer;
  /** Members of the request. */
  request: Record<string, unknown> = {
    type: "v8",
    location: { Host: "bucket", Path: "/key" },
    target_node: nodeId,
    sender_public_key: publisher.publicKey,
    trigger_subjects: ["echo"],
  };
  /** Our members of the request. */
  nex: Record<string, unknown> = {};
  seal: () => { environment?: string; sealed?: string };
  sign: (request: string) => string;
  /** Changes the body after it was signed. */
  tamper = (body: string): string => body;
  facts: Partial<DeployFacts> = {};
  rules: Partial<NamespaceRules> = {};
  limits: Partial<LimitFacts> = {};
  /** Number of boxes that the node has opened. */
  opened = 0;

  constructor(...changes: Change[]) {
    this.seal = () => sealRequest(this.who, environment, publisher, nodeXkey.publicKey);
    this.sign = (request) => signDeployToken({ name: this.name, sha256, request }, this.issuer, nowMs);
    for (const change of changes) change(this);
  }

  get who(): Parameters<typeof sealRequest>[0] {
    return { issuer: this.issuer.publicKey, namespace: this.namespace, name: this.name };
  }

  admit(): AdmittedDeploy {
    const { environment: box, sealed } = this.seal();
    const unsigned = { environment: box, ...this.request, nex: { version: 1, sealed, ...this.nex } };
    const token = this.sign(requestDigest(this.namespace, JSON.stringify(unsigned)));
    const body = Buffer.from(this.tamper(JSON.stringify({ workload_jwt: token, ...unsigned })));
    const request = parseJson(body, deployRequestSchema, "deploy");
    return admitDeploy({ namespace: this.namespace, request, body }, this.allFacts());
  }

  allFacts(): DeployFacts {
    const counts = { workloadCount: 0, machineCount: 0, namespaceCount: 0, namespaceMachineCount: 0 };
    return {
      ...counts,
      workloadCountMax: 0,
      machineCountMax: 0,
      nodeId,
      nowMs,
      requireBoundClaims: false,
      isUsed: () => false,
      replaceable: () => undefined,
      lameDuck: false,
      isConnected: true,
      workloadTypes: ["v8", "wasm", "native"],
      inboxPrefixes: ["_NODE"],
      login: { servers: ["nats://a.example"] },
      requestConnections: "node-servers",
      functionConcurrency: 64,
      artifactBytesMax: 1_000,
      rules: { ...openRules, ...this.rules },
      limits: { defaults: {}, max: {}, driver: container, hostNetworks: [], ...this.limits },
      xkey: {
        ...nodeXkey,
        open: (box, sender) => {
          this.opened++;
          return nodeXkey.open(box, sender);
        },
      },
      ...this.facts,
    };
  }
}

const into =
  <Name extends "request" | "nex" | "facts" | "rules" | "limits">(name: Name) =>
  (members: Draft[Name]): Change =>
  (draft) =>
    Object.assign(draft[name], members);
const [request, nex] = [into("request"), into("nex")];
const [facts, rules, limits] = [into("facts"), into("rules"), into("limits")];
const set =
  (members: Partial<Draft>): Change =>
  (draft) =>
    Object.assign(draft, members);
const all =
  (...changes: Change[]): Change =>
  (draft) => {
    for (const change of changes) change(draft);
  };
const triggers = (...subjects: string[]): Change => request({ trigger_subjects: subjects });
const sign =
  (token: (draft: Draft, request: string) => string): Change =>
  (draft) =>
    Object.assign(draft, { sign: (digest: string) => token(draft, digest) });
const seal =
  (boxes: (draft: Draft) => ReturnType<Draft["seal"]>): Change =>
  (draft) =>
    Object.assign(draft, { seal: () => boxes(draft) });
/** Adds members to the body after it was signed. */
const tamper = (members: string): Change => set({ tamper: (body) => body.replace("{", `{${members},`) });

/** Nothing binds this token to its request, as with Go Nex. */
const legacyToken = (claims: Partial<Parameters<typeof encodeClaims>[0]> = {}): Change =>
  sign(({ name, issuer: by }) => encodeClaims({ subject: name, issuedAt: now, ...claims }, by));
const plainBox = sealEnvironment(environment, publisher, nodeXkey.publicKey);
/** A request of Go Nex: a legacy token, and a box that names no issuer. */
const legacy: Change = all(
  legacyToken(),
  seal(() => ({ environment: plainBox })),
);
const sealedFor = (other: Partial<Draft["who"]>): Change =>
  seal(({ who }) => sealRequest({ ...who, ...other }, environment, publisher, nodeXkey.publicKey));
const service: Change = request({ type: "native", trigger_subjects: undefined });
/** The signature under the claims is one of another key. */
const forged: Change = (draft) => {
  const { sign: own } = draft;
  draft.sign = (digest) => {
    const other = signDeployToken({ name: "x", sha256, request: digest }, stranger, nowMs);
    return [...own(digest).split(".").slice(0, 2), other.split(".")[2]].join(".");
  };
};
/** The deploy replaces a workload that runs on the node. */
const replacing = (by: Signer, replicas = 1, namespace = "default"): Change =>
  all(
    nex({ replace: "old" }),
    facts({
      replaceable: (id) => (id === "old" ? { namespace, issuer: by.publicKey, replicas } : undefined),
    }),
  );
const elsewhere = { nats_url: "nats://elsewhere.example:4222" };

/** Every check in its order: its refusal, and a change that it refuses. */
const checks: [code: ErrorCode, change: Change][] = [
  ["namespace_invalid", set({ namespace: "system" })],
  ["namespace_unlisted", rules({ isListed: false })],
  ["feature_missing", nex({ requires: ["unheard-of"] })],
  ["lame_duck", facts({ lameDuck: true })],
  ["workload_limit", facts({ workloadCount: 9, workloadCountMax: 9 })],
  ["unsupported_type", facts({ workloadTypes: [] })],
  ["limit_too_high", all(nex({ replicas: 3 }), limits({ max: { replicas: 2 } }))],
  ["limit_not_enforced", all(nex({ limits: { vcpus: 1 } }), limits({ driver: plain }))],
  ["trigger_denied", triggers("$SYS.REQ")],
  ["workload_rejected", request({ essential: true })],
  ["field_missing", request({ location: undefined })],
  ["token_invalid", forged],
  ["name_invalid", set({ name: "no name" })],
  ["issuer_not_allowed", rules({ validIssuers: [stranger.publicKey] })],
  ["token_for_another", request({ target_node: "another" })],
  ["field_missing", request({ sender_public_key: undefined })],
  ["sealed_for_another", sealedFor({ name: "another" })],
  ["connection_not_allowed", request({ trigger_connection: elsewhere })],
];

test("admitDeploy checks in its order: the cheap before the signature, and the signature before the environment", () => {
  const opening = checks.findIndex(([code]) => code === "sealed_for_another");
  checks.forEach(([code], at) => {
    // Everything from here on is wrong, so this check must be the first of them.
    const draft = new Draft(...checks.slice(at).map(([, change]) => change));
    assert.throws(() => draft.admit(), { code }, `check ${at}`);
    assert.equal(draft.opened > 0, at >= opening, `${code} came after ${draft.opened} boxes were opened`);
  });
});

/** Every refusal: the code, a part of the message that tells it from others of the code, and the changes. */
const refusals: [code: ErrorCode, message: RegExp, ...changes: Change[]][] = [
  ["namespace_invalid", /"a\.b" as a namespace/, set({ namespace: "a.b" })],
  ["namespace_invalid", /reserved for nodes/, set({ namespace: "System" })],
  ["namespace_unlisted", /does not take its workloads/, rules({ isListed: false })],
  ["feature_missing", /"unheard-of", which this node does not know/, nex({ requires: ["unheard-of"] })],
  ["feature_missing", /\(unheard_of\)/, nex({ unheard_of: 1 })],
  ["limits_invalid", /nex\.limits\.vcpus/, nex({ limits: { vcpus: 0 } })],
  ["limits_invalid", /the allow-list is empty/, nex({ limits: { network: "egress" } })],
  ["limits_invalid", /only services listen/, nex({ limits: { publish: [{ machine_port: 80 }] } })],
  ["lame_duck", /lame duck mode/, facts({ lameDuck: true })],
  ["workload_limit", /maximum workload limit/, facts({ workloadCount: 2, workloadCountMax: 2 })],
  ["unsupported_type", /on this node: cobol$/, request({ type: "cobol" })],
  ["unsupported_type", /on this node: wasm$/, request({ type: "wasm" }), facts({ workloadTypes: ["v8"] })],
  ["unsupported_type", /on this node: $/, request({ type: undefined })],
  ["limit_too_high", /2 replicas/, nex({ replicas: 2 }), limits({ max: { replicas: 1 } })],
  ["limit_too_high", /2 processors/, nex({ limits: { vcpus: 2 } }), limits({ max: { vcpus: 1 } })],
  ["limit_not_enforced", /vcpus/, nex({ limits: { vcpus: 2 } }), limits({ driver: plain })],
  ["triggers_not_supported", /: native$/, service, triggers("echo")],
  ["triggers_required", /at least one trigger subject/, triggers()],
  ["trigger_invalid", /a\.\.b is not a NATS subject/, triggers("echo", "a..b")],
  ["trigger_denied", /: \$JS\.>$/, triggers("echo", "$JS.API.>")],
  ["trigger_denied", /: \$KV\.>$/, triggers("$KV.a")],
  ["trigger_denied", /: _INBOX\.>$/, triggers("_INBOX.a")],
  ["trigger_denied", /: _NODE\.>$/, triggers("_NODE.*")],
  ["trigger_denied", /: \$SYS\.>, \$JS\.>, \$NEX\.>$/, triggers(">")],
  ["trigger_denied", /: private\.>$/, triggers("private.a"), rules({ denyTriggerSubjects: ["private.>"] })],
  ["workload_rejected", /essential/, request({ essential: true })],
  ["field_missing", /location is missing/, request({ location: undefined })],
  ["field_missing", /must name a bucket/, request({ location: { Host: "bucket" } })],
  ["field_missing", /workload_jwt is missing/, sign(() => "")],
  ["field_missing", /sender_public_key is missing/, request({ sender_public_key: "" })],
  ["field_missing", /environment is missing/, seal(() => ({}))],
  ["token_invalid", /expected 3 chunks/, sign(() => "a.b")],
  ["token_invalid", /signature verification/, forged],
  ["token_invalid", /has expired/, facts({ nowMs: nowMs + 120_000 })],
  [
    "token_invalid",
    /by its SHA-256/,
    sign(({ name }, digest) =>
      signDeployToken({ name, sha256: placeholderHash, request: digest }, issuer, nowMs),
    ),
  ],
  ["token_invalid", /claims within JWT are not valid/, legacy, legacyToken({ expires: now - 60 })],
  [
    "token_wrong_use",
    /one for stop/,
    sign(({ name, namespace }) =>
      signStopToken({ name, workloadId: "w", node: nodeId, namespace }, issuer, nowMs),
    ),
  ],
  ["token_wrong_use", /one of NATS itself/, legacy, legacyToken({ data: { type: "user" } })],
  ["token_unbound", /the token is not bound/, legacy, facts({ requireBoundClaims: true })],
  ["token_unbound", /nex\.sealed is opened/, legacyToken()],
  [
    "token_unbound",
    /environment is not bound/,
    seal(() => ({ environment: plainBox })),
    facts({ requireBoundClaims: true }),
  ],
  ["token_already_used", /used before/, facts({ isUsed: () => true })],
  ["token_for_another", /another node/, request({ target_node: undefined })],
  ["token_for_another", /not the one that was signed/, tamper('"argv":["x"]')],
  [
    "token_for_another",
    /not the one that was signed/,
    (draft) => {
      // Captured, and sent into another namespace.
      const token = draft.sign(requestDigest("other", "{}"));
      draft.sign = () => token;
    },
  ],
  ["request_not_canonical", /./, tamper('"unknown":1,"unknown":2')],
  ["name_invalid", /'no name'/, set({ name: "no name" })],
  ["issuer_not_allowed", /invalid workload issuer: A/, rules({ validIssuers: [stranger.publicKey] })],
  ["replace_refused", /gone: no workload of this id/, nex({ replace: "gone" })],
  ["replace_refused", /old: no workload of this id/, replacing(stranger)],
  ["replace_refused", /old: no workload of this id/, replacing(issuer, 1, "other")],
  ["replace_refused", /takes a token that is bound/, replacing(issuer), legacy],
  [
    "environment_unreadable",
    /could not decrypt/,
    seal(({ who }) => sealRequest(who, environment, publisher, newXkey().publicKey)),
  ],
  ["environment_unreadable", /illegal base64/, legacy, request({ environment: "!" })],
  ["malformed_request", /both hold an environment/, request({ environment: plainBox })],
  ["sealed_for_another", /issuer, namespace or name/, sealedFor({ issuer: stranger.publicKey })],
  ["sealed_for_another", /issuer, namespace or name/, sealedFor({ namespace: "other" })],
  ["connection_not_allowed", /trigger_connection/, request({ trigger_connection: elsewhere })],
  [
    "malformed_request",
    /stands in clear and in nex\.sealed/,
    request({ host_services: elsewhere }),
    seal(({ who }) =>
      sealRequest(who, environment, publisher, nodeXkey.publicKey, { host_services: elsewhere }),
    ),
  ],
];

for (const [code, message, ...changes] of refusals) {
  test(`admitDeploy refuses with ${code}: ${message.source}`, () => {
    assert.throws(() => new Draft(...changes).admit(), { code, message });
  });
}

test("admitDeploy gives the spec of a function, and the token to remember", () => {
  const own = { nats_url: "nats://a.example", nats_user_jwt: "j", nats_user_seed: "s" };
  const draft = new Draft(
    request({
      ...{ argv: ["a"], description: "d", jsdomain: "hub", trigger_subjects: ["echo", "in.*", "echo"] },
      location: { Host: "bucket", Path: "/a/key/" },
    }),
    nex({
      globals: "keep",
      concurrency: 2,
      replicas: 3,
      limits: { call_time_ms: 5 },
      restart: { policy: "always" },
    }),
    rules({ totalBytesMax: 7 }),
    seal(({ who }) =>
      sealRequest(who, environment, publisher, nodeXkey.publicKey, { trigger_connection: own }),
    ),
  );
  const { spec, token } = draft.admit();
  const { claims, limits: granted, perRequestConnections, request: body, ...rest } = spec;
  assert.deepEqual(rest, {
    ...{ namespace: "default", name: "echo", issuer: issuer.publicKey, type: "v8", description: "d" },
    ...{ argv: ["a"], environment, bucket: "bucket", key: "a/key", jsDomain: "hub", sha256 },
    triggers: [
      { type: "subject", name: "subject", subject: "echo" },
      { type: "subject", name: "subject-2", subject: "in.*" },
    ],
    ...{ essential: false, restart: { policy: "always" }, globals: "keep", concurrency: 2, replicas: 3 },
    ...{ artifactBytesMax: 1_000, namespaceBytesMax: 7 },
  });
  assert.equal(claims.nats.nex?.use, "deploy");
  assert.match(Buffer.from(body).toString(), /"description":"d"/);
  assert.deepEqual([granted.callTimeMs, granted.network], [5, "none"]);
  assert.deepEqual(
    perRequestConnections.map(({ what, login }) => [what, login.servers, login.userJwt]),
    [["trigger_connection", ["nats://a.example"], "j"]],
  );
  assert.deepEqual([token?.issuer, token?.until], [issuer.publicKey, now + 60 + 30]);
});

test("admitDeploy gives a service its essential flag, and no triggers or connections", () => {
  const { spec } = new Draft(
    service,
    request({ essential: true, host_services: { nats_user_seed: "s" } }),
  ).admit();
  assert.deepEqual([spec.essential, spec.triggers, spec.perRequestConnections], [true, [], []]);
  assert.deepEqual([spec.concurrency, spec.replicas, spec.limits.network], [64, 1, "nats"]);
});

test("admitDeploy takes a legacy token without an end, a digest or a target, as often as it comes", () => {
  const { spec, token } = new Draft(
    legacy,
    legacyToken({ issuedAt: 1, data: { hash: placeholderHash } }),
    request({ target_node: undefined }),
    tamper('"argv":["x"]'),
    facts({ isUsed: () => true }),
  ).admit();
  assert.deepEqual(
    [token, spec.sha256, spec.argv, spec.environment],
    [undefined, undefined, ["x"], environment],
  );
});

test("admitDeploy takes a legacy token's digest where it names one", () => {
  const { spec } = new Draft(legacy, legacyToken({ data: { hash: sha256.toUpperCase() } })).admit();
  assert.equal(spec.sha256, sha256);
});

test("admitDeploy takes an empty environment in a plain box, also where boxes must name their issuer", () => {
  const empty = sealEnvironment(null, publisher, nodeXkey.publicKey);
  const { spec } = new Draft(
    facts({ requireBoundClaims: true }),
    seal(() => ({ environment: empty })),
  ).admit();
  assert.deepEqual(spec.environment, {});
});

test("admitDeploy holds an autostarted workload to everything but the binding of its token", () => {
  // The node signs these itself, so its facts don't demand bound tokens.
  const autostarted = all(
    legacy,
    service,
    request({ essential: true }),
    facts({ requireBoundClaims: false }),
  );
  assert.equal(new Draft(autostarted).admit().spec.essential, true);
  for (const [code, change] of [
    ["namespace_unlisted", rules({ isListed: false })],
    ["workload_limit", facts({ namespaceCount: 1 })],
    ["issuer_not_allowed", rules({ validIssuers: [stranger.publicKey] })],
    ["unsupported_type", facts({ workloadTypes: ["v8"] })],
  ] as const) {
    const draft = new Draft(autostarted, rules({ workloadCountMax: 1 }), change);
    assert.throws(() => draft.admit(), { code });
  }
});

/** Counts on a node with at most four workloads and eight machines, and in a namespace with two and four. */
const rooms: [
  what: string,
  counts: Partial<DeployFacts>,
  replicas: number,
  replaced: number,
  full: boolean,
][] = [
  ["the last workload of the node", { workloadCount: 3 }, 1, 0, false],
  ["one workload too many for the node", { workloadCount: 4 }, 1, 0, true],
  ["one that replaces another on a full node", { workloadCount: 4 }, 1, 1, false],
  ["the last workload of the namespace", { namespaceCount: 1 }, 1, 0, false],
  ["one workload too many for the namespace", { namespaceCount: 2 }, 1, 0, true],
  ["one that replaces another in a full namespace", { namespaceCount: 2 }, 1, 1, false],
  ["the last machines of the node", { machineCount: 6 }, 2, 0, false],
  ["one machine too many for the node", { machineCount: 6 }, 3, 0, true],
  ["one that gets the machines of another", { machineCount: 8 }, 3, 3, false],
  ["one with more machines than it replaces", { machineCount: 8 }, 3, 2, true],
  ["the last machines of the namespace", { namespaceMachineCount: 2 }, 2, 0, false],
  ["one machine too many for the namespace", { namespaceMachineCount: 2 }, 3, 0, true],
  ["one that gets the namespace's machines", { namespaceMachineCount: 4 }, 4, 4, false],
  ["one with one more of the namespace's machines", { namespaceMachineCount: 4 }, 4, 3, true],
];

for (const [what, counts, replicas, replaced, full] of rooms) {
  test(`admitDeploy ${full ? "refuses" : "takes"} ${what}`, () => {
    const draft = new Draft(
      nex({ replicas }),
      facts({ workloadCountMax: 4, machineCountMax: 8, ...counts }),
      rules({ workloadCountMax: 2, machineCountMax: 4 }),
      replaced === 0 ? () => undefined : replacing(issuer, replaced),
    );
    if (full) assert.throws(() => draft.admit(), { code: "workload_limit" });
    else assert.equal(draft.admit().spec.replaces, replaced === 0 ? undefined : "old");
    assert.equal(
      isFull(draft.allFacts(), replicas, replaced === 0 ? undefined : { replicas: replaced }),
      full,
    );
    // Zero is no limit.
    draft.facts = { ...counts };
    draft.rules = {};
    assert.equal(isFull(draft.allFacts(), replicas), false);
  });
}

test("admitDeploy tells nobody whether another issuer's workload runs, also on a full node", () => {
  for (const counts of [{}, { workloadCount: 1, workloadCountMax: 1 }]) {
    for (const token of [all(), forged, legacy]) {
      const codeOf = (change: Change): ErrorCode | undefined => {
        try {
          new Draft(change, token, facts(counts)).admit();
        } catch (error) {
          assert.ok(error instanceof NexError);
          return error.code;
        }
        return undefined;
      };
      const unknown = codeOf(nex({ replace: "old" }));
      assert.equal(codeOf(replacing(stranger)), unknown);
      assert.equal(codeOf(replacing(issuer, 1, "other")), unknown);
      assert.notEqual(unknown, undefined);
    }
  }
});
