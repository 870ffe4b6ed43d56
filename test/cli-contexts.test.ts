/** How commands find and enter a server: flags, environment, contexts. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createUser } from "@nats-io/nkeys";
import { startTestNatsServer, startTestNode } from "@nexengine/testing";
import { NexHome } from "./support/nex.ts";

const home = new NexHome();
const user = createUser();
const seed = Buffer.from(user.getSeed()).toString();
const nowhere = "nats://127.0.0.1:1";
const stack = new AsyncDisposableStack();
let url = "";

before(async () => {
  const config = `authorization { users = [
    { user: u, password: "p@ss/word" }
    { nkey: ${user.getPublicKey()} }
    { user: boxed, password: p, permissions: { subscribe: ["_MINE.>"], publish: [">"] } }
  ] }`;
  const server = stack.use(await startTestNatsServer({ config }));
  url = server.url;
  stack.use(await startTestNode({ server: url, login: { user: "u", password: "p@ss/word" } }));
  context("right", { url, user: "u", password: "p@ss/word" });
});
after(async () => {
  await stack.disposeAsync();
  home[Symbol.dispose]();
});

function context(name: string, content: object | string): void {
  home.write(`.config/nats/context/${name}.json`, content);
}

/** Runs `node ls` and tells how many nodes it saw, or with which status it failed. */
async function nodes(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const ended = await home.run(["node", "ls", "--json", ...args], { env });
  if (ended.status !== 0) return `status ${ended.status}: ${ended.stderr}`;
  return `${JSON.parse(ended.stdout).length} nodes`;
}

describe("a login", () => {
  test("of user and password may stand in the URL, with its letters escaped", async () => {
    const host = url.slice("nats://".length);
    assert.equal(await nodes(["-s", `nats://u:p%40ss%2Fword@${host}`]), "1 nodes");
    assert.match(await nodes(["-s", `nats://u:wrong@${host}`]), /^status 3: .*Authorization Violation/);
  });

  test("that is refused names no secret", async () => {
    const refused = await nodes(["-s", url, "--user", "u", "--password", "hunter2"]);
    assert.match(refused, /^status 3/);
    assert.doesNotMatch(refused, /hunter2/);
  });

  test("by an nkey comes from a file, by flag or environment (B23)", async () => {
    const file = home.write("user.nk", `${seed}\n`);
    assert.equal(await nodes(["-s", url, "--nkey", file]), "1 nodes");
    assert.equal(await nodes([], { NATS_URL: url, NATS_NKEY: file }), "1 nodes");
    assert.match(
      await nodes(["-s", url, "--nkey", `${file}.gone`]),
      /^status 4: .*Cannot read the nkey file/,
    );
  });

  test("takes empty variables as absent", async () => {
    const env = { NATS_URL: url, NATS_USER: "", NATS_PASSWORD: "", NATS_CREDS: "", NATS_TIMEOUT: "" };
    assert.equal(await nodes(["--context", "right"], env), "1 nodes");
  });
});

describe("a context", () => {
  test("gives server and login, named by flag or environment", async () => {
    assert.equal(await nodes(["--context", "right"]), "1 nodes");
    assert.equal(await nodes([], { NATS_CONTEXT: "right" }), "1 nodes");
  });

  test("is found below XDG_CONFIG_HOME", async () => {
    home.write("xdg/nats/context/other.json", { url, user: "u", password: "p@ss/word" });
    assert.equal(await nodes(["--context", "other"], { XDG_CONFIG_HOME: `${home.path}/xdg` }), "1 nodes");
    assert.match(await nodes(["--context", "other"]), /^status 4: .*Cannot use the NATS context "other"/);
  });

  test("may have several URLs, and a seed file in the home", async () => {
    home.write("user.nk", seed);
    context("several", { url: `${nowhere},${url}`, nkey: "~/user.nk" });
    assert.equal(await nodes(["--context", "several"]), "1 nodes");
  });

  test("sets the prefix of inboxes", async () => {
    context("boxed", { url, user: "boxed", password: "p", inbox_prefix: "_MINE" });
    assert.equal(await nodes(["--context", "boxed"]), "1 nodes");
    context("boxless", { url, user: "boxed", password: "p" });
    assert.match(await nodes(["--context", "boxless"]), /^status 3/);
  });

  test("gives way to flags and environment, each login taken whole", async () => {
    context("elsewhere", { url: nowhere, user: "u", password: "p@ss/word" });
    assert.equal(await nodes(["--context", "elsewhere", "-s", url]), "1 nodes");
    assert.equal(await nodes(["--context", "elsewhere"], { NATS_URL: url }), "1 nodes");
    const ended = await home.run(["node", "ls", "--context", "elsewhere", "-s", url]);
    assert.match(ended.stderr, /The server is nats:\S+; context "elsewhere" gives the rest/);
    context("stranger", { url, user: "u", password: "wrong" });
    const file = home.write("user.nk", seed);
    assert.equal(await nodes(["--context", "stranger", "--nkey", file]), "1 nodes");
  });

  test("that is selected counts where nothing else is said", async () => {
    using own = new NexHome();
    const ls = (args: string[]) => own.run(["node", "ls", "--json", ...args]);
    own.write(".config/nats/context/chosen.json", { url, user: "u", password: "p@ss/word" });
    own.write(".config/nats/context.txt", "chosen\n");
    assert.equal(JSON.parse((await ls([])).stdout).length, 1);
    assert.equal((await ls(["-s", nowhere])).status, 3);
    assert.equal((await ls(["-s", url])).status, 3, "its login goes to no server that it does not name");
    own.write(".config/nats/context.txt", "gone");
    assert.match((await ls([])).stderr, /Cannot use the NATS context "gone": there is no file/);
  });

  test("by which nex up was started leads other terminals to its node", async () => {
    using own = new NexHome();
    own.write(".config/nats/context/right.json", { url, user: "u", password: "p@ss/word" });
    own.write(".config/nats/context/chosen.json", { url: nowhere });
    own.write(".config/nats/context.txt", "chosen");
    await using up = own.start(["up", "--context", "right", "--sandbox", "process"]);
    await up.shows(/Ctrl-C here/);
    const found = await own.run(["node", "ls", "--json"]);
    assert.equal(found.status, 0, found.stderr + up.stderr);
    assert.equal(JSON.parse(found.stdout).length, 2);
    assert.equal((await up.interrupt()).status, 0);
    assert.equal((await own.run(["node", "ls"])).status, 3, "the selected context counts again");
  });

  const refusals: [what: string, name: string, content: object | string, status: number, message: RegExp][] =
    [
      ["another folder's file", "../right", "", 2, /a name has no/],
      ["nsc", "nsc", { nsc: "nsc://o/a/u" }, 2, /does not support its "nsc"/],
      ["a proxy", "proxy", { socks_proxy: "socks5://x" }, 2, /does not support its "socks_proxy"/],
      ["what is not JSON", "bad", '{"password": hunter2}', 2, /it is not JSON/],
      ["a field of another type", "typed", { url: 1, password: "hunter2" }, 2, /"typed": url:/],
      ["a websocket", "web", { url: "wss://x" }, 2, /this version has no websockets/],
    ];
  for (const [what, name, content, status, message] of refusals) {
    test(`is refused by name for ${what}, and no secret is shown`, async () => {
      if (content !== "") context(name, content);
      const ended = await home.run(["ps", "--context", name]);
      assert.equal(ended.status, status, ended.stderr);
      assert.match(ended.stderr, message);
      assert.doesNotMatch(ended.stderr, /hunter2/);
    });
  }
});
