/** §1.8 Events and §1.9 Logs. */
import assert from "node:assert/strict";
import { eventsOf, linesOf } from "./feed-readers.ts";
import { call, freshName, heard, runFunction, runService, triggerOf } from "./requests.ts";
import type { Row } from "./suite.ts";

const source = "(s, p) => 1";
const v8 = { type: "v8" } as const;
const native = { type: "native" } as const;

export function eventRows(row: Row): void {
  row(
    "1.8",
    "an event is a CloudEvent 1.0: data, datacontenttype, id, source, specversion, time and type",
    async (target) => {
      const { subject, body } = await heard(target, `$NEX.events.${target.namespace}.*`, async () => {
        await using _workload = await runFunction(target, source);
      });
      assert.equal(subject.split(".").length, 4);
      assert.deepEqual([body["specversion"], body["datacontenttype"]], ["1.0", "application/json"]);
      assert.match(
        String(body["id"]),
        /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
      assert.match(String(body["time"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/);
      assert.equal(body["type"], subject.split(".")[3]);
      assert.equal(typeof body["data"], "object");
    },
    v8,
  );
  row(
    "1.8",
    "heartbeat has version, node_id, nexus, uptime, tags and running_machines, and comes by itself",
    async (target) => {
      const { body } = await heard(
        target,
        "$NEX.events.system.heartbeat",
        async () => undefined,
        (message) => message.body["source"] === target.nodeId,
      );
      const data = body["data"] as Record<string, unknown>;
      const { version, node_id, uptime, tags, running_machines } = data;
      assert.equal(node_id, target.nodeId);
      assert.deepEqual(
        [version, uptime, tags, running_machines].map((value) => typeof value),
        ["string", "string", "object", "number"],
      );
    },
    { own: true },
  );
  row(
    "1.8",
    "workload_deployed is of node and workload, with workload_name and code 0",
    async (target) => {
      const name = freshName();
      const [event] = await eventsOf(target, "workload_deployed", async () => {
        await using workload = await runFunction(target, source, {}, name);
        return workload.id;
      });
      assert.equal(event?.source, `${target.nodeId}-${event?.id}`);
      assert.equal(event?.namespace, target.namespace);
      assert.deepEqual(event?.data, { workload_name: name, code: 0 });
    },
    v8,
  );
  row(
    "1.8",
    "workload_undeployed comes when a process ends, with its status and Go Nex's message",
    async (target) => {
      for (const [argv, code] of [
        [["exit", "0"], 0],
        [["exit", "3"], 3],
        [["signal", "9"], -1],
      ] as const) {
        let name = "";
        const [event] = await eventsOf(target, "workload_undeployed", async () => {
          const workload = await runService(target, argv);
          name = workload.name;
          return workload.id;
        });
        assert.equal(event?.source, `${target.nodeId}-${event?.id}`);
        assert.deepEqual([event?.data["workload_name"], event?.data["code"]], [name, code]);
        assert.ok(
          String(event?.data["message"]).startsWith(
            `Exited workload: ${name}; vm: ${event?.id}; status: ${code}`,
          ),
          String(event?.data["message"]),
        );
      }
    },
    native,
  );
  row(
    "1.8",
    "workload_undeployed comes on a STOP too, once, with name, reason and vmid (B6)",
    async (target) => {
      const name = freshName();
      const events = await eventsOf(target, "workload_undeployed", async () => {
        await using workload = await runFunction(target, source, {}, name);
        return workload.id;
      });
      assert.equal(events.length, 1);
      const [{ data, id } = { data: {} as Record<string, unknown>, id: "" }] = events;
      assert.deepEqual(
        [data["workload_name"], data["name"], data["reason"], data["vmid"]],
        [name, name, "Workload shutdown requested", id],
      );
    },
    { ...v8, ours: "it says nothing of a stop" },
  );
  row(
    "1.8",
    "function_exec_succeeded is of the node, with workload_name, trigger_subject as subscribed, elapsed_nanos and namespace",
    async (target) => {
      const trigger = `${target.namespace}.exec.*`;
      await using workload = await runFunction(target, source, { trigger_subjects: [trigger] });
      const { body } = await heard(target, `$NEX.events.${target.namespace}.function_exec_succeeded`, () =>
        call(target, trigger.replace("*", "x")),
      );
      const { elapsed_nanos, ...data } = body["data"] as Record<string, unknown>;
      assert.ok(Number.isInteger(elapsed_nanos) && Number(elapsed_nanos) > 0);
      const { name: workload_name, namespace } = workload;
      assert.deepEqual(data, { workload_name, trigger_subject: trigger, namespace });
      assert.equal(body["source"], target.nodeId);
    },
    v8,
  );
  row(
    "1.8",
    "function_exec_failed has workload_name, trigger_subject, namespace and error",
    async (target) => {
      await using workload = await runFunction(target, '(s, p) => { throw new Error("bad day"); }');
      const subject = triggerOf(target, workload.name);
      const { body } = await heard(
        target,
        `$NEX.events.${target.namespace}.function_exec_failed`,
        async () => {
          target.connection.publish(subject, "");
        },
      );
      const { workload_name, trigger_subject, namespace, error } = body["data"] as Record<string, unknown>;
      assert.deepEqual(
        [workload_name, trigger_subject, namespace],
        [workload.name, subject, workload.namespace],
      );
      assert.ok(typeof error === "string" && error !== "");
    },
    v8,
  );
}

export function logRows(row: Row): void {
  row(
    "1.9",
    "a line has text, level as a string and the workload's id, and nothing more",
    async (target) => {
      let id = "";
      const lines = await linesOf(target, async (shown) => {
        await using workload = await runService(target, ["out", "hello", "wait"]);
        id = workload.id;
        await shown(/^hello/m);
      });
      const { subject: _, ...line } = lines.find(({ text }) => /^hello/m.test(text)) ?? { subject: "" };
      assert.deepEqual(Object.keys(line).sort(), ["id", "level", "text"]);
      assert.match(String(Object(line).level), /^(DEBUG|INFO|WARN|ERROR)([+-]\d+)?$/);
      assert.equal(Object(line).id, id);
    },
    native,
  );
  row(
    "1.9",
    "a line stands at namespace, node, workload name and workload id, whoever wrote it (B8)",
    async (target) => {
      let place = "";
      const lines = await linesOf(target, async (shown) => {
        await using workload = await runService(target, ["out", "hello", "wait"]);
        place = `$NEX.logs.${target.namespace}.${target.nodeId}.${workload.name}.${workload.id}`;
        await shown(/^hello/m);
      });
      for (const { subject } of lines) assert.equal(subject, place);
    },
    { ...native, ours: "its agents' lines have id and name in the other order" },
  );
  row(
    "1.9",
    "standard output is INFO and standard error is ERROR (B8)",
    async (target) => {
      const lines = await linesOf(target, async (shown) => {
        await using _workload = await runService(target, ["out", "this way", "err", "that way", "wait"]);
        await shown(/^this way/m);
        await shown(/^that way/m);
      });
      const levelOf = (pattern: RegExp): string | undefined =>
        lines.find(({ text }) => pattern.test(text))?.level;
      assert.deepEqual([levelOf(/^this way/m), levelOf(/^that way/m)], ["INFO", "ERROR"]);
    },
    { ...native, ours: "it writes WARN and INFO+2" },
  );
  row(
    "1.9",
    "the node says of a workload that it was deployed, and of a function that a call failed",
    async (target) => {
      const name = freshName();
      const lines = await linesOf(target, async (shown) => {
        await using workload = await runFunction(target, '(s, p) => { throw new Error("x"); }', {}, name);
        target.connection.publish(triggerOf(target, workload.name), "");
        await shown(/^Function execution failed/);
      });
      assert.ok(lines.some(({ text }) => text === `Workload ${name} deployed`));
      assert.equal(lines.find(({ text }) => /^Function execution failed/.test(text))?.level, "ERROR");
    },
    { ...v8, ours: "a throwing function is found out after ten seconds" },
  );
}
