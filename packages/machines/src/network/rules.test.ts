import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hostRules, parseLinks } from "./host-rules.ts";
import { linkAt, linkName, linksIn, monitorEndCommands, readLinks } from "./link.ts";
import { machineRules, routerRules } from "./machine-rules.ts";
import { parseForwardDrops } from "./unmet-requirements.ts";

const network = { address: "100.127.0.0", prefixBits: 16 };

suite("links", () => {
  test("have names derived only from machine ids, within the kernel's limit", () => {
    const names = ["a", "b", "a".repeat(32)].map(linkName);
    assert.equal(new Set(names).size, 3);
    for (const name of names) assert.match(name, /^nex[0-9a-z]{12}$/);
    assert.equal(linkName("a"), names[0]);
  });

  test("fill their network, each with two addresses and its own index", () => {
    assert.equal(linksIn(network), 32_768);
    const { hostAddress, address, index } = linkAt(network, 0, "a");
    assert.deepEqual([hostAddress, address], ["100.127.0.0", "100.127.0.1"]);
    const last = linkAt(network, 32_767, "a");
    assert.deepEqual([last.address, last.index - index], ["100.127.255.255", 32_767]);
    assert.ok(linkAt({ address: "223.255.255.0", prefixBits: 24 }, 127, "a").index < 2 ** 31);
  });

  test("are read from the namespace of this process", { skip: process.platform !== "linux" }, () => {
    assert.ok(readLinks().has("lo"));
  });
});

suite("machineRules", () => {
  const rulesFor = (...targets: [address: string, prefixBits: number][]): string[] =>
    machineRules(
      "100.127.0.1",
      targets.map(([address, prefixBits]) => ({ address, prefixBits, port: 443 })),
      [{ address: "203.0.112.0", prefixBits: 22 }],
    )
      .split("\n")
      .map((line) => line.trim());

  test("accept a target within a guarded network before the network is refused, and a wide target after all of them", () => {
    const rules = rulesFor(["0.0.0.0", 0], ["169.254.0.0", 16], ["10.0.0.0", 8], ["203.0.113.1", 32]);
    const at = (start: string): number => {
      const index = rules.findIndex((rule) => rule.startsWith(start));
      assert.notEqual(index, -1, start);
      return index;
    };
    const inOrder = [
      "ip daddr 169.254.169.254/32 reject",
      "ip daddr 203.0.113.1/32 meta l4proto",
      "ip daddr 203.0.112.0/22 reject",
      "ip daddr 169.254.0.0/16 meta l4proto { tcp, udp } th dport 443 goto listed",
      "ip daddr 169.254.0.0/16 reject",
      "ip daddr 10.0.0.0/8 meta l4proto",
      "ip daddr 10.0.0.0/8 reject",
      "meta l4proto { tcp, udp } th dport 443 goto listed",
      "reject",
    ].map(at);
    assert.deepEqual(
      inOrder,
      [...inOrder].sort((a, b) => a - b),
    );
  });

  test("accept each target once", () => {
    const rules = rulesFor(["169.254.169.254", 32], ["100.100.100.200", 32], ["192.0.0.1", 32]);
    assert.equal(rules.filter((rule) => rule.endsWith("th dport 443 goto listed")).length, 3);
  });
});

suite("routerRules", () => {
  const rules = routerRules("100.127.0.1", [{ address: "203.0.113.1", prefixBits: 32, port: 443 }], []);
  const chain = (name: string): string[] => {
    const [, text = ""] =
      new RegExp(`chain ${name} \\{\n([^}]*(?:\\{[^}]*\\}[^}]*)*?)\n \\}`).exec(rules) ?? [];
    return text.split("\n").map((line) => line.trim());
  };

  test("forward a machine's outgoing packets by the same rules, and replies", () => {
    const outward = (text: string): string[] => {
      const lines = text.split("\n").map((line) => line.trim());
      return lines.slice(lines.indexOf("meta nfproto != ipv4 drop"));
    };
    const own = machineRules("100.127.0.1", [{ address: "203.0.113.1", prefixBits: 32, port: 443 }], []);
    assert.deepEqual(outward(rules), outward(own));
    assert.deepEqual(chain("forward").slice(0, 4), [
      "type filter hook forward priority 0; policy drop;",
      'iifname "eth0" oifname "tap0" ct state established,related accept',
      'iifname != "tap0" drop',
      'oifname != "eth0" drop',
    ]);
  });

  test("accept no input, and send only ICMP errors", () => {
    assert.deepEqual(chain("input"), ["type filter hook input priority 0; policy drop;"]);
    assert.deepEqual(chain("output"), [
      "type filter hook output priority 0; policy drop;",
      'oifname "tap0" ct state related accept',
    ]);
  });
});

suite("the network of a monitor", () => {
  test("has a tap device that only its user may open, with a route to the machine", () => {
    const link = linkAt(network, 0, "a");
    const commands = monitorEndCommands(link, 1_000_000);
    assert.ok(commands.includes("tuntap add dev tap0 mode tap user 1000000"));
    assert.ok(commands.includes("route add 100.127.0.1/32 dev tap0 src 192.0.0.8"));
    assert.ok(commands.includes("route add default via 100.127.0.0 dev eth0"));
    assert.ok(monitorEndCommands(link).includes("tuntap add dev tap0 mode tap"));
  });
});

suite("hostRules", () => {
  test("can be parsed back, and define no table without machines", () => {
    const links = new Map([
      ["nexaaaaaaaaaaaa", "100.127.0.1"],
      ["nexbbbbbbbbbbbb", "100.127.0.3"],
    ]);
    assert.deepEqual(parseLinks(hostRules("nex_t", links)), links);
    assert.equal(hostRules("nex_t", new Map()), "add table inet nex_t\ndelete table inet nex_t\n");
  });
});

test("parseForwardDrops names chains that drop forwarded packets", () => {
  const listed = `table inet mine {
	chain forward {
		type filter hook forward priority filter; policy accept;
	}
}
table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy drop;
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}`;
  assert.deepEqual(parseForwardDrops(listed), ["chain FORWARD of table ip filter"]);
});
