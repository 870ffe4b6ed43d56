/** TLS of commands and nodes, with certificates of this test's own. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { NatsServer } from "@nexengine/provision";
import { echoFunctionPath, startTestNatsServer } from "@nexengine/testing";
import { type Certificate, hasOpenssl, TestAuthority } from "./support/certificates.ts";
import { type Ended, NexHome } from "./support/nex.ts";

describe("TLS", { skip: hasOpenssl() ? false : "openssl is not here" }, () => {
  const home = new NexHome();
  const stack = new AsyncDisposableStack();
  let authority: TestAuthority;
  let client: Certificate;
  let server: NatsServer;
  let url = "";
  let host = "";

  before(async () => {
    stack.use(home);
    authority = stack.use(new TestAuthority());
    client = authority.issue("client", "DNS:client");
    server = stack.use(await serve(authority.issue("server", "IP:127.0.0.1"), "verify: true"));
    host = `127.0.0.1:${server.port}`;
    url = `tls://${host}`;
  });
  after(() => stack.disposeAsync());

  async function serve({ cert, key }: Certificate, more = ""): Promise<NatsServer> {
    const config = `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${authority.ca}", ${more} }`;
    return await startTestNatsServer({ config });
  }

  const ls = (...args: string[]): Promise<Ended> => home.run(["node", "ls", "--json", ...args]);
  const mine = (): string[] => ["--tlscert", client.cert, "--tlskey", client.key, "--tlsca", authority.ca];

  test("is spoken with --tlscert, --tlskey and --tlsca, also to a nats:// URL of such a server", async () => {
    for (const at of [url, `nats://${host}`]) {
      const ended = await ls("-s", at, ...mine());
      assert.equal(ended.status, 0, ended.stderr);
    }
  });

  test("takes its files from the environment", async () => {
    const env = {
      NATS_URL: url,
      NATS_CERT: client.cert,
      NATS_KEY: client.key,
      NATS_CA: authority.ca,
    };
    const ended = await home.run(["node", "ls", "--json"], { env });
    assert.equal(ended.status, 0, ended.stderr);
  });

  test("takes its files from a context, and a node and a deploy work through it", async () => {
    const { cert, key } = client;
    home.write(".config/nats/context/tls.json", { url, cert, key, ca: authority.ca });
    await using node = home.start(["node", "up", "--sandbox", "process", "--context", "tls"]);
    await node.shows(/node runs/);
    const run = await home.run(["devrun", echoFunctionPath, "--context", "tls"]);
    assert.equal(run.status, 0, run.stderr + node.stderr);
    assert.equal((await home.run(["request", "default.echo", "hi", "--context", "tls"])).stdout, "hi");
    assert.equal((await node.interrupt()).status, 0);
  });

  test("comes before the greeting with --tlsfirst, for servers that are set up so", async () => {
    await using first = await serve(authority.issue("first", "IP:127.0.0.1"), "handshake_first: true");
    const at = ["-s", `tls://127.0.0.1:${first.port}`, "--tlsca", authority.ca];
    const ended = await ls(...at, "--tlsfirst");
    assert.equal(ended.status, 0, ended.stderr);
    assert.equal((await ls(...at, "--no-tlsfirst")).status, 3);
  });

  test("refuses a server of an unknown authority, and says what to do", async () => {
    const ended = await ls("-s", url);
    assert.equal(ended.status, 3);
    assert.match(ended.stderr, /not signed by an authority that is trusted here[\s\S]*--tlsca/);
  });

  test("refuses a server whose certificate is for another address or name", async () => {
    for (const names of ["IP:127.0.0.9", "DNS:localhost"]) {
      await using other = await serve(authority.issue("other", names));
      const ended = await ls("-s", `tls://127.0.0.1:${other.port}`, "--tlsca", authority.ca);
      assert.equal(ended.status, 3);
      assert.match(ended.stderr, /its certificate is for .*, and not for 127\.0\.0\.1/);
    }
    await using byName = await serve(authority.issue("named", "DNS:localhost"));
    const ended = await ls("-s", `tls://localhost:${byName.port}`, "--tlsca", authority.ca);
    assert.equal(ended.status, 0, ended.stderr);
  });

  test("tells who has no certificate of their own that one is needed", async () => {
    const ended = await ls("-s", url, "--tlsca", authority.ca);
    assert.equal(ended.status, 3);
    assert.match(ended.stderr, /no answer in time[\s\S]*may require a client certificate[\s\S]*--tlscert/i);
  });

  test("is never given up silently: a tls:// URL of a server without TLS is refused", async () => {
    await using plain = await startTestNatsServer();
    const ended = await ls("-s", `tls://127.0.0.1:${plain.port}`);
    assert.equal(ended.status, 3);
    assert.match(ended.stderr, /it does not offer TLS/);
  });

  test("wants certificate and key together, and files that are there", async () => {
    assert.match(
      (await ls("-s", url, "--tlscert", client.cert)).stderr,
      /--tlscert and --tlskey go together/,
    );
    const gone = await ls("-s", url, "--tlsca", `${authority.ca}.gone`);
    assert.equal(gone.status, 4);
    assert.match(gone.stderr, /Cannot read the certificate authority/);
  });
});
