/** Features of containers beyond those of every machine: a private network, published ports, limits that hold. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { hostname, networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { describe, test } from "node:test";
import { NexError } from "@nexengine/protocol";
import {
  eventOf,
  logsOf,
  startTestNatsServer,
  startTestNexus,
  type TestDeployOptions,
  type TestNexus,
  unmetSandboxRequirement,
  visitorService,
} from "@nexengine/testing";
import { TestAuthority } from "./support/certificates.ts";

const unmet = await unmetSandboxRequirement("container");
const visitor = unmet === undefined ? await visitorService() : undefined;
const noVisitor = visitor === undefined ? "no Go builds the visiting service here" : undefined;
const inContainer = unmet === undefined ? {} : { skip: unmet };
const withVisitor = (unmet ?? noVisitor) === undefined ? {} : { skip: unmet ?? noVisitor ?? "" };

/** Deploys the visiting service, and gives what it says of each of its errands. */
async function visit(
  nexus: TestNexus,
  errands: readonly string[],
  options: TestDeployOptions = {},
): Promise<Map<string, string>> {
  const argv = errands.flatMap((errand) => errand.split(" "));
  const lines = await logsOf(nexus, errands.length, async () => {
    await nexus.deploy(
      { path: visitor?.path ?? "" },
      { name: "visitor", type: "native", argv: [...argv, "wait"], ...options },
    );
  });
  return new Map(
    lines.map((line) => {
      const [, errand = "", outcome = ""] = /^\S+ (.*?): (.*)$/.exec(line) ?? [];
      return [errand, outcome];
    }),
  );
}

/** Something of this host that listens. */
async function listener(host: string): Promise<{ port: number } & AsyncDisposable> {
  const server = createServer((socket) => socket.end("host\n"));
  server.listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return { port, [Symbol.asyncDispose]: async () => void server.close() };
}

async function freePort(): Promise<number> {
  await using free = await listener("127.0.0.1");
  return free.port;
}

function hostAddress(): string | undefined {
  return Object.values(networkInterfaces())
    .flat()
    .find((one) => one?.family === "IPv4" && !one.internal)?.address;
}

describe("the network of a container (S9)", withVisitor, () => {
  test("finds the node's NATS server where its user would look for it, and nothing else", async () => {
    await using nexus = await startTestNexus({ sandbox: "container" });
    await using other = await listener("127.0.0.1");
    const address = hostAddress();
    await using outside = await listener(address ?? "127.0.0.1");
    const { port } = nexus.server;
    const nowhere = [
      `dial 127.0.0.1:${other.port}`,
      `dial ${address ?? "127.0.0.1"}:${outside.port}`,
      "dial 169.254.169.254:80",
      "dial 8.8.8.8:53",
      `dial ${hostname()}:${port}`,
      "dial example.com:80",
    ];
    const outcomes = await visit(nexus, [`greet 127.0.0.1:${port}`, `greet localhost:${port}`, ...nowhere]);
    assert.match(outcomes.get(`greet 127.0.0.1:${port}`) ?? "", /^INFO \{/);
    assert.match(outcomes.get(`greet localhost:${port}`) ?? "", /^INFO \{/);
    for (const errand of nowhere) assert.match(outcomes.get(errand) ?? "", /^failed/, errand);
  });

  test("finds every server of the node, at its own port and at 127.0.0.k", async () => {
    const leafPort = await freePort();
    const remotes = `leafnodes { remotes: [{ url: "nats-leaf://127.0.0.1:${leafPort}" }] }`;
    await using second = await startTestNatsServer({ jetstream: false, config: remotes });
    // The node may take either of them; by its domain JetStream is found through the leaf too.
    const store = mkdtempSync(join(tmpdir(), "nex-hub-"));
    const hub = `jetstream { domain: hub, store_dir: "${store}" }, leafnodes { listen: "127.0.0.1:${leafPort}" }`;
    await using nexus = await startTestNexus({
      sandbox: "container",
      natsServer: { jetstream: false, config: hub },
      login: { servers: [second.url] },
    });
    while ((await nexus.client.nodes({ timeoutMs: 200 })).length === 0);
    const errands = [
      `greet 127.0.0.1:${nexus.server.port}`,
      `greet 127.0.0.1:${second.port}`,
      `greet 127.0.0.2:${second.port}`,
    ];
    const outcomes = await visit(nexus, errands, { jsDomain: "hub" });
    rmSync(store, { recursive: true });
    for (const errand of errands) {
      const port = errand.split(":")[1];
      assert.match(outcomes.get(errand) ?? "", new RegExp(`"port":${port}`), errand);
    }
  });

  test("lets TLS through untouched, so that the service sees the server's own certificate", async () => {
    using authority = new TestAuthority();
    const { cert, key } = authority.issue("server", "IP:127.0.0.1,DNS:nats.example");
    const config = `tls { cert_file: "${cert}", key_file: "${key}" }`;
    const login = { tls: { ca: authority.caText } };
    await using nexus = await startTestNexus({ sandbox: "container", natsServer: { config }, login });
    const errand = `nats-tls 127.0.0.1:${nexus.server.port}`;
    const environment = { TLS_CA: authority.caText, TLS_NAME: "nats.example" };
    assert.equal((await visit(nexus, [errand], { environment })).get(errand), "PONG");
  });

  test("carries hundreds of connections at once", async () => {
    await using nexus = await startTestNexus({ sandbox: "container" });
    const errand = `rush 127.0.0.1:${nexus.server.port} 300`;
    const outcomes = await visit(nexus, [errand]);
    assert.equal(outcomes.get(errand.slice(0, -4)), "300 greeted");
  });

  test("with egress reaches NATS as ever, and is turned away at once from what is not listed", async (t) => {
    // The host of a test may be in that network, which the node must name then.
    const config = { limits: { max: { egress_allow: ["192.0.2.1:80", "localhost:80"] } } };
    await using nexus = await startTestNexus({ sandbox: "container", config });
    const node = nexus.node.id;
    const limits = { network: "egress", egressAllow: ["192.0.2.1:80"] } as const;
    const errands = [`greet 127.0.0.1:${nexus.server.port}`, "dial 192.0.2.2:80", "dial 192.0.2.1:81"];
    let outcomes: Map<string, string>;
    try {
      outcomes = await visit(nexus, errands, { limits, node });
    } catch (error) {
      if (error instanceof NexError && error.code === "limit_not_enforced") return t.skip(error.message);
      throw error;
    }
    assert.match(outcomes.get(errands[0] ?? "") ?? "", /^INFO/);
    for (const errand of errands.slice(1)) assert.equal(outcomes.get(errand), "failed, no route to host");
    // A name that leads inside is no way to what must be written itself.
    const inward = { network: "egress", egressAllow: ["localhost:80"] } as const;
    await assert.rejects(nexus.function("() => 1", { limits: inward, node }), { code: "egress_refused" });
  });

  test("with egress has no address of the host's networks or of metadata that the node does not name", async (t) => {
    await using nexus = await startTestNexus({ sandbox: "container" });
    const own = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
    const address = own.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
    const entries = ["169.254.169.254:80", ...(address === undefined ? [] : [`${address}:80`])];
    for (const entry of entries) {
      const limits = { network: "egress", egressAllow: [entry] } as const;
      try {
        await nexus.function("() => 1", { limits, node: nexus.node.id });
        assert.fail(`${entry} was allowed`);
      } catch (error) {
        if (!(error instanceof NexError)) throw error;
        if (error.code === "limit_not_enforced") return t.skip(error.message);
        assert.equal(error.code, "limit_too_high");
        assert.match(error.message, /this node's limits\.max\.egress_allow does not name it$/);
      }
    }
  });

  test("is nothing at all for a service that asks for none", async () => {
    await using nexus = await startTestNexus({ sandbox: "container" });
    const errand = `dial 127.0.0.1:${nexus.server.port}`;
    const outcomes = await visit(nexus, [errand], { limits: { network: "none" } });
    assert.equal(outcomes.get(errand), "failed, connection refused");
  });
});

describe("published ports", withVisitor, () => {
  test("are reached on the host while the service runs, with all that is sent", async () => {
    await using nexus = await startTestNexus({ sandbox: "container" });
    let deployment: Awaited<ReturnType<TestNexus["deploy"]>> | undefined;
    await logsOf(nexus, 1, async () => {
      deployment = await nexus.deploy(
        { path: visitor?.path ?? "" },
        { type: "native", argv: ["serve", "80", "wait"], limits: { publish: [{ machinePort: 80 }] } },
      );
    });
    const [port] = deployment?.published ?? [];
    assert.equal(port?.machine_port, 80);
    assert.equal(port?.host, "127.0.0.1");
    const sent = randomBytes(1_000_000);
    const socket = connect({ port: port.host_port, host: port.host, allowHalfOpen: true });
    socket.end(sent);
    assert.ok((await buffer(socket)).equals(sent));
    const [listed] = await nexus.client.workloadDetails();
    assert.deepEqual(listed?.nex?.published, [port]);
    await nexus.stop(deployment as NonNullable<typeof deployment>);
    await assert.rejects(once(connect(port.host_port, port.host), "connect"), { code: "ECONNREFUSED" });
  });

  test("that are taken, or of a function, are refused, and nothing is left", async () => {
    await using nexus = await startTestNexus({ sandbox: "container" });
    await using taken = await listener("127.0.0.1");
    const publish = [{ machinePort: 80, hostPort: taken.port }];
    const service = { type: "native", argv: ["wait"], limits: { publish } } as const;
    await assert.rejects(nexus.deploy({ path: visitor?.path ?? "" }, service), { code: "port_taken" });
    await assert.rejects(nexus.function("() => 1", { node: nexus.node.id, limits: { publish } }), {
      code: "limits_invalid",
    });
    assert.deepEqual(await nexus.client.workloadDetails(), []);
  });
});

describe("the limits of a container (S9)", inContainer, () => {
  test("on memory end a function that takes more, which comes back", async () => {
    await using nexus = await startTestNexus({ sandbox: "container" });
    const source =
      "export default (s, p) => { if (p.length === 0) return 1; const all = []; for (;;) all.push(new Uint8Array(1 << 24).fill(1)); }";
    await nexus.function(source, { name: "hungry", limits: { memoryBytes: 128 * 2 ** 20 } });
    const restarted = await eventOf(nexus, "workload_restarting", () =>
      assert.rejects(nexus.client.call("hungry", "x"), { code: "function_stopped" }),
    );
    assert.equal(restarted["reason"], "out of memory");
    assert.equal(await nexus.call("hungry"), "1");
  });

  test("on the time of a call are the deploy's own", async () => {
    await using nexus = await startTestNexus({ sandbox: "container" });
    await nexus.function("export default () => new Promise(() => {})", {
      name: "slow",
      limits: { callTimeMs: 200 },
    });
    await assert.rejects(nexus.client.call("slow"), { code: "function_timed_out" });
  });

  test("on the disk refuse an artifact that does not fit", withVisitor, async () => {
    await using nexus = await startTestNexus({ sandbox: "container" });
    await assert.rejects(
      nexus.deploy(
        { path: visitor?.path ?? "" },
        { type: "native", argv: ["wait"], limits: { diskBytes: 2 ** 20 } },
      ),
      { code: "artifact_too_large", message: /its machine's disk 1048576/ },
    );
    assert.deepEqual(await nexus.client.workloadDetails(), []);
  });

  test("above what the node gives are refused, and nobody bids for them", async () => {
    const config = { limits: { max: { memory_bytes: 2 ** 28, network: "nats" } } } as const;
    await using nexus = await startTestNexus({ sandbox: "container", config });
    const limits = { memoryBytes: 2 ** 29 };
    await assert.rejects(nexus.function("() => 1", { limits }), { code: "no_node", message: /memory_bytes/ });
    await assert.rejects(nexus.function("() => 1", { limits, node: nexus.node.id }), {
      code: "limit_too_high",
      message: /at most 268435456/,
    });
    const egress = { network: "egress", egressAllow: ["192.0.2.1:80"] } as const;
    await assert.rejects(nexus.function("() => 1", { limits: egress, node: nexus.node.id }), {
      code: "limit_too_high",
    });
    await nexus.function("() => 1", { limits: { memoryBytes: 2 ** 28 } });
  });
});

test("machines that hold no limit refuse what asks for one", async () => {
  await using nexus = await startTestNexus();
  const node = nexus.node.id;
  for (const limits of [{ memoryBytes: 2 ** 28 }, { network: "none" }, { processes: 64 }] as const) {
    await assert.rejects(
      nexus.function("() => 1", { limits, node }),
      { code: "limit_not_enforced", message: /process/ },
      JSON.stringify(limits),
    );
  }
  // Limits that the node holds itself hold everywhere.
  await nexus.function("() => 1", { limits: { callTimeMs: 1_000, logBytesPerSecond: 10_000 } });
});
