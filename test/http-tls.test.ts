/** The HTTP listener with TLS. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:https";
import { test } from "node:test";
import { NexError } from "@nexengine/protocol";
import { startTestNatsServer, startTestNexus, startTestNode } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { hasOpenssl, TestAuthority } from "./support/certificates.ts";
import { anyPort, deployRoutes, route } from "./support/http.ts";

const skip = hasOpenssl() ? {} : { skip: "there is no openssl here to make certificates" };

test("requests come over TLS, and the function knows", skip, async () => {
  using authority = new TestAuthority();
  const { cert, key } = authority.issue("listener", "DNS:localhost");
  await using nexus = await startTestNexus({ config: { http: { ...anyPort, tls: { cert, key } } } });
  const source = "module.exports = (subject, payload, call) => call.trigger.scheme";
  await deployRoutes(nexus.client, "f", source, [route("/")]);
  const { port } = new URL(`https://${nexus.node.httpAddress}`);
  const ca = authority.caText;
  const answer = await eventually(async () => {
    const sent = request({ host: "localhost", family: 4, port, ca, agent: false }).end();
    const [response] = await once(sent, "response");
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    return response.statusCode === 200 ? Buffer.concat(chunks).toString() : undefined;
  });
  assert.equal(answer, '"https"');
});

test("files that are no certificate and key are an error before the node listens", skip, async () => {
  using authority = new TestAuthority();
  const { cert, key } = authority.issue("listener", "DNS:localhost");
  await using server = await startTestNatsServer();
  const start = (tls: { cert: string; key: string }) =>
    startTestNode({ server: server.url, config: { http: { ...anyPort, tls } } });
  const coded = (code: string) => (error: unknown) => error instanceof NexError && error.code === code;
  await assert.rejects(start({ cert: key, key: cert }), coded("config_invalid"));
  await assert.rejects(start({ cert: `${cert}.absent`, key }), coded("file_not_found"));
});
