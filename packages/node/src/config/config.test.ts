import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { createKey } from "@nexengine/protocol";
import { completeConfig, readConfigFile } from "./config.ts";

const folder = mkdtempSync(join(tmpdir(), "nex-config-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const issuer = createKey("account").publicKey;

function read(content: string | object): ReturnType<typeof readConfigFile> {
  const path = join(folder, "config.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return readConfigFile(path);
}

describe("completeConfig", () => {
  test("fills in defaults, and takes null as absent", () => {
    const config = completeConfig({ tags: null, node_limits: { max_workloads: null, max_total_bytes: 9 } });
    assert.deepEqual(config.node_limits, {
      max_workloads: 0,
      max_machines: 0,
      max_total_bytes: 9,
      max_workload_bytes: 0,
    });
    assert.deepEqual([config.tags, config.valid_issuers, config.machine_pool_size], [{}, [], 1]);
    assert.equal(config.pid_filepath, undefined);
  });

  test("keeps history only where it is told to, with defaults for what is left out", () => {
    const logs = { max_age_hours: 168, max_bytes: 2 ** 30, replicas: 1, max_lines_per_workload: 10_000 };
    const events = { max_age_hours: 720, max_bytes: 2 ** 28, replicas: 1, max_per_type: 100_000 };
    assert.deepEqual(completeConfig({}).history, {});
    assert.deepEqual(completeConfig({ history: { logs: true, events: {} } }).history, { logs, events });
    const { history } = completeConfig({ history: { logs: { replicas: 3 }, events: false } });
    assert.deepEqual([history.logs, history.events], [{ ...logs, replicas: 3 }, undefined]);
    for (const bad of [
      ...[{ max_bytes: 0 }, { max_bytes: 1_048_575 }, { max_age_hours: 0.5 }, { max_lines_per_workload: 0 }],
      ...[{ replicas: 6 }, { replicas: "3" }, "yes", 1, []],
    ]) {
      assert.throws(
        () => completeConfig({ history: { logs: bad } }),
        { code: "config_invalid", message: /history\.logs/ },
        JSON.stringify(bad),
      );
    }
  });

  test("names an unknown key of the history", async () => {
    const { warnings } = await read({ history: { logs: { max_byte: 1 }, event: true } });
    assert.deepEqual(warnings, [
      'unknown configuration key "history.logs.max_byte"; did you mean "history.logs.max_bytes"?',
      'unknown configuration key "history.event"; did you mean "history.events"?',
    ]);
  });

  test("reads a whole configuration as the Go Nex writes it", () => {
    const config = completeConfig({
      agent_handshake_timeout_ms: 6_000,
      agent_ping_timeout_ms: 750,
      autostart: {
        workloads: [
          {
            name: "a",
            namespace: "default",
            type: "native",
            location: "nats://B/K",
            environment: { A: "b" },
          },
        ],
      },
      bin_path: ["/usr/local/bin"],
      cni: { network_name: "fcnet", subnet: "192.168.127.0/24", nameservers: [] },
      default_resource_dir: "/tmp/wd",
      host_services: { nats_url: "", services: { http: { enabled: true, config: null } } },
      internal_node_host: "192.168.127.1",
      internal_node_port: 9222,
      machine_template: { vcpu_count: 2, memsize_mib: 512 },
      otel_metrics: false,
      otel_metrics_port: 8085,
      otel_traces_exporter: "grpc",
      pid_filepath: "/tmp/nex.pid",
      preserve_network: true,
      public_nats_server: { port: 4333, jetstream: true },
      rate_limiters: { bandwidth: { one_time_burst: 0, refill_time: 100, size: 1000 } },
      require_bound_claims: false,
      operators: [],
      namespaces: { default: null, "*": {} },
    });
    assert.deepEqual(config.machine_template, { vcpu_count: 2, memsize_mib: 512 });
    assert.equal(config.pid_filepath, "/tmp/nex.pid");
    assert.equal(config.autostart?.workloads?.[0]?.name, "a");
  });

  const wrong: [key: string, value: unknown][] = [
    ["machine_pool_size", 0],
    ["machine_pool_size", 257],
    ["machine_pool_size", 1.5],
    ["workload_types", ["oci"]],
    ["workload_types", []],
    ["tags", { a: 1 }],
    ["node_limits", { max_workloads: -1 }],
    ["valid_issuers", ["AAA"]],
    ["deny_trigger_subjects", ["a..b"]],
    ["agent_handshake_timeout_ms", "5s"],
    ["agent_handshake_timeout_ms", 99],
    ["agent_ping_timeout_ms", 0],
    ["no_sandbox", "yes"],
    ["sandbox", "jail"],
    ["machine_template", { vcpu_count: 0 }],
    ["machine_template", { memsize_mib: 0.5 }],
    ["machine_template", { memsize_mib: 63 }],
    ["pid_filepath", ""],
    ["cni", { subnet: "192.168.127.0" }],
    ["internal_node_host", "here"],
    ["internal_node_port", 65_536],
    ["autostart", { workloads: [{ name: "a" }] }],
    ["host_services", { services: { http: { enabled: 1 } } }],
    ["rate_limiters", { iops: { size: 1 } }],
    ["otel_metrics_exporter", "grpc"],
    ["request_connections", "all"],
    ["require_bound_claims", 1],
    ["operators", ["me"]],
    ["namespaces", { a: { valid_issuers: ["x"] } }],
    ["namespaces", {}],
    ["namespaces", { a: null }],
    ["namespaces", { "a.b": {} }],
    ["namespaces", { System: {} }],
    ["namespaces", { a: { connection: {} } }],
    ["namespaces", { a: { connection: { user: "u", socks_proxy: "p" } } }],
    ["namespaces", { a: { connection: { user: "u", cert: "p" } } }],
    ["namespaces", { a: { limits: { default: { network: "egress" } } } }],
    ["limits", { max: { memory_bytes: "1G" } }],
    ["limits", { default: { publish: [{ machine_port: 80 }] } }],
    ["limits", { default: { network: "egress" } }],
    ["limits", { default: { egress_allow: ["192.0.2.1:80"] } }],
    ["limits", { max: { egress_allow: ["example.com"] } }],
    ["state_directory", ""],
  ];
  for (const [key, value] of wrong) {
    test(`refuses ${key}: ${JSON.stringify(value)}, and names the key`, () => {
      assert.throws(() => completeConfig({ [key]: value }), {
        code: "config_invalid",
        message: new RegExp(`^Cannot use the configuration: ${key}`),
      });
    });
  }

  test("refuses no_sandbox beside another sandbox", () => {
    for (const sandbox of ["auto", "container"]) {
      assert.throws(() => completeConfig({ no_sandbox: true, sandbox }), {
        message: /contradict each other/,
      });
    }
    assert.equal(completeConfig({ no_sandbox: true, sandbox: "process" }).no_sandbox, true);
    assert.equal(completeConfig({ no_sandbox: false, sandbox: "container" }).sandbox, "container");
  });
});

describe("readConfigFile", () => {
  test("warns once of each key that is unknown, with the nearest one, and of each that is not acted on", async () => {
    const { warnings } = await read({
      valid_issuer: [issuer],
      requester_public_keys: [],
      kernel_path: "/k",
      node_limits: { max_workload: 1 },
      machine_template: { vcpu_counts: 1 },
      cni: { subnett: "x" },
      autostart: {
        workloads: [{ name: "a", namespace: "b", type: "v8", location: "nats://B/K", trigger_subject: [] }],
      },
      host_services: { services: { kv: { enable: true } } },
      tags: { anything: "goes" },
      something_else_entirely: 1,
      pid_filepath: "/tmp/nex.pid",
      sandbox: "process",
      "bad\u001b[31m": 1,
    });
    assert.deepEqual(warnings, [
      'unknown configuration key "valid_issuer"; did you mean "valid_issuers"?',
      'unknown configuration key "requester_public_keys"; did you mean "valid_issuers"?',
      'unknown configuration key "kernel_path"; did you mean "kernel_filepath"?',
      'unknown configuration key "node_limits.max_workload"; did you mean "node_limits.max_workloads"?',
      'unknown configuration key "machine_template.vcpu_counts"; did you mean "machine_template.vcpu_count"?',
      'unknown configuration key "cni.subnett"; did you mean "cni.subnet"?',
      'unknown configuration key "autostart.workloads[0].trigger_subject"; did you mean "autostart.workloads[0].trigger_subjects"?',
      'unknown configuration key "host_services.services.kv.enable"; did you mean "host_services.services.kv.enabled"?',
      'unknown configuration key "something_else_entirely"',
      warnings[9],
      'this version does not act on the configuration key "cni"',
    ]);
    assert.ok(!warnings[9]?.includes("\u001b"));
  });

  test("warns of nothing where every key acts", async () => {
    const { config, warnings } = await read({
      machine_pool_size: 2,
      machine_template: { vcpu_count: 1, memsize_mib: 256 },
      limits: { default: { memory_bytes: 67_108_864 }, max: {} },
      container: { runtime: "crun" },
      state_directory: "/tmp/nex-state",
      require_bound_claims: false,
    });
    assert.deepEqual(warnings, []);
    assert.equal(config.container.runtime, "crun");
    assert.equal(config.limits.default.memory_bytes, 67_108_864);
  });

  test("says where the file is wrong, and quotes nothing of it", async () => {
    for (const content of ['{"host_services": {"nats_user_seed": hunter2}}', "hunter2", '{"a": "hunter2"']) {
      await assert.rejects(read(content), (error: Error) => {
        assert.match(error.message, /config\.json": it is not JSON/);
        return !error.message.includes("hunter2") && error.cause === undefined;
      });
    }
    await assert.rejects(readConfigFile(join(folder, "absent.json")), { code: "file_not_found" });
  });
});
