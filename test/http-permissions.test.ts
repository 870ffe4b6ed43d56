/** HTTP triggers with just the permissions of the reference page: a node with functions, and one with the listener. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { connectNex, type NexClient } from "@nexengine/client";
import { type NatsRole, natsPermissions } from "@nexengine/protocol/nats";
import { httpSubject, routesSubject } from "@nexengine/protocol/subjects";
import { startTestNatsServer, startTestNode } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { anyPort, ask, askUntil, deployRoutes, route } from "./support/http.ts";

const namespace = "acme";
const scope = { namespace, subjects: ["acme.>"], inboxPrefix: "_INBOX" };
const roles: readonly NatsRole[] = ["node", "workloads", "listener", "issuer"];
const stack = new AsyncDisposableStack();
let url: string;
let client: NexClient;
/** The node with functions. */
let nodeId: string;
/** The node with the listener. */
let ingress: { httpAddress: string | undefined };
let violations: () => string[];

/** A user of the server's configuration, who is called as its role. */
function userLine(role: NatsRole): string {
  const { publish, subscribe, responses } = natsPermissions(role, scope);
  const answers = responses && `, allow_responses: { max: ${responses.max}, expires: "60s" }`;
  const permissions = `publish: ${JSON.stringify(publish)}, subscribe: ${JSON.stringify(subscribe)}${answers ?? ""}`;
  return `{ user: ${role}, password: ${role}, permissions: { ${permissions} } }`;
}

const login = (role: NatsRole) => ({ servers: [url], user: role, password: role });

before(async () => {
  const config = `authorization { users: [\n${roles.map(userLine).join("\n")}\n] }`;
  const server = stack.use(await startTestNatsServer({ config }));
  ({ url } = server);
  violations = () => readFileSync(server.logPath, "utf8").match(/[A-Z]+\/.*Violation.*/g) ?? [];
  const start = async (role: NatsRole, more: object = {}) => {
    const namespaces = { [namespace]: { connection: { url, user: role, password: role } } };
    return stack.use(
      await startTestNode({ server: url, login: login("node"), config: { namespaces, ...more } }),
    );
  };
  nodeId = (await start("workloads")).id;
  ingress = await start("listener", { http: anyPort });
  client = stack.use(await connectNex({ ...login("issuer"), namespace }));
});
after(() => stack.disposeAsync());

test("requests come and answers go with the permissions of the reference page", async () => {
  const source = "module.exports = (subject, payload, call) => call.trigger.params.id";
  const deployed = await deployRoutes(client, "f", source, [route("/a/:id")], { node: nodeId });
  assert.equal((await askUntil(ingress, "/a/7", 200)).body, '"7"');
  await assert.rejects(
    deployRoutes(client, "other", source, [route("/a/:x")], { node: nodeId }),
    /the workload "f" has the route/,
  );
  assert.equal((await ask(ingress, "/b")).status, 404);
  assert.deepEqual(violations(), []);
  assert.equal(deployed.name, "f");
});

test("somebody who only deploys can neither send requests to functions past the listener, nor announce routes", async () => {
  const source = "module.exports = () => 'called'";
  await deployRoutes(client, "g", source, [route("/g")], { node: nodeId });
  await askUntil(ingress, "/g", 200);
  const { connection } = client;
  for (const subject of [httpSubject(namespace, "g"), routesSubject(namespace, "g")])
    connection.publish(subject, "{}");
  await connection.flush();
  const refused = await eventually(async () => {
    const found = violations();
    return found.length >= 2 ? found.join("\n") : undefined;
  });
  assert.match(refused, /\$NEX\.HTTP\.acme\.g/);
  assert.match(refused, /\$NEX\.ROUTES\.acme\.g/);
});
