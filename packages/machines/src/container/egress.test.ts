import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  both,
  inWorld,
  otherPort,
  places,
  port,
  prepareContainerLab,
  target,
  tcp,
  udp,
} from "@nexengine/testing/internal";

const { host, allowed, other, metadata } = places;
const { lab, unmetRequirement: unmet } = await prepareContainerLab(["ip", "nft", "perl"]);

suite("a machine with egress", { skip: unmet ?? false }, () => {
  lab.use();

  test("can't reach what only its host may reach", async () => {
    const attempts = [...inWorld, tcp(host), udp(host), tcp("127.0.0.1", otherPort)];
    for (const outcome of await lab.node.tell("reach", attempts)) assert.match(outcome, / sees /);
  });

  test("reaches listed targets by TCP and UDP, by address and name, with its host's source address", async () => {
    const hosts = [{ name: "allowed.example.com", address: allowed }];
    const check = async (machine: Parameters<typeof lab.reach>[0]): Promise<void> => {
      const attempts = [...both(allowed), ...both("allowed.example.com")];
      const seen = both(allowed).map(({ by }) => `${by}:${allowed}:${port} sees ${host}`);
      assert.deepEqual(await lab.reach(machine, attempts), [...seen, ...seen]);
    };
    await lab.with([target(allowed)], check, { hosts });
  });

  test("reaches no other port or address, no DNS, no host service and no metadata service", async () => {
    await lab.with([target(allowed)], async (machine) => {
      const hostEnd = machine.address.replace(/\d+$/, (last) => String(Number(last) - 1));
      const unlisted = inWorld.filter((attempt) => attempt.host !== allowed || attempt.port !== port);
      assert.equal(unlisted.length, inWorld.length - 2);
      const local = [host, hostEnd, "127.0.0.1", "255.255.255.255"].flatMap((address) => both(address));
      await lab.assertUnreached(machine, [...unlisted, ...local, tcp("127.0.0.1", otherPort)]);
      assert.match(String(await machine.ask("resolve example.com")), /EAI_AGAIN|ENOTFOUND/);
    });
  });

  test("reaches private, metadata and host addresses only if a target names them", async () => {
    await lab.with([target("0.0.0.0", 0)], async (machine) => {
      const reached = await lab.reach(machine, [...both(allowed), ...both(other)]);
      for (const outcome of reached) assert.match(outcome, / sees /);
      const kept = [places.private, metadata, host].flatMap((address) => both(address));
      await lab.assertUnreached(machine, kept);
    });
    await lab.with([target(metadata), target("10.0.0.0", 8)], async (machine) => {
      const reached = await lab.reach(machine, [...both(metadata), ...both(places.private)]);
      for (const outcome of reached) assert.match(outcome, / sees /);
    });
  });

  test("reaches neither other machines nor its host, even if they are listed", async () => {
    await lab.with([target(allowed)], async (neighbour) => {
      assert.equal(await neighbour.ask(`serve ${port}`), "serving");
      const hostEnd = neighbour.address.replace(/\d+$/, (last) => String(Number(last) - 1));
      const listed = [neighbour.address, hostEnd, host, "127.0.0.1"].map((address) => target(address));
      await lab.with(listed, async (machine) => {
        const attempts = listed.flatMap(({ address }) => both(address));
        await lab.assertUnreached(machine, attempts);
      });
    });
  });

  test("is still restricted by its host if its own rules are gone", async () => {
    const loopbackAddresses = ["203.0.113.99"];
    const opened = async (neighbour: { address: string }): Promise<void> => {
      await lab.with(
        [target(allowed)],
        async (machine) => {
          await lab.network.inside(machine.record, "nft", "flush", "ruleset");
          const spoofed = { ...udp(allowed), from: "203.0.113.99" };
          const kept = [...both(host), ...both(neighbour.address), ...both("127.0.0.1"), spoofed];
          await lab.assertUnreached(machine, kept);
          assert.match(String(await lab.reach(machine, [udp(other)])), / sees /);
        },
        { loopbackAddresses },
      );
    };
    await lab.with([target(allowed)], async (neighbour) => {
      assert.equal(await neighbour.ask(`serve ${port}`), "serving");
      await opened(neighbour);
    });
  });

  test("can't send from an address that is not its own", async () => {
    const spoofed = { ...udp(allowed), from: "203.0.113.99" };
    await lab.with([target(allowed)], (machine) => lab.assertUnreached(machine, [spoofed]), {
      loopbackAddresses: ["203.0.113.99"],
    });
  });

  test("can't change its routes, addresses, devices or rules, and opens no raw socket", async () => {
    const ip = (...args: string[]): string[] => ["/usr/sbin/ip", ...args];
    const tried = [
      ip("route", "add", "198.51.100.0/24", "dev", "eth0"),
      ip("address", "add", "203.0.113.99/32", "dev", "eth0"),
      ip("link", "set", "eth0", "down"),
      ip("link", "add", "type", "veth"),
      ["/usr/sbin/nft", "flush", "ruleset"],
      ["/usr/sbin/nft", "list", "ruleset"],
      ["/usr/bin/perl", "-e", "socket(S, 2, 3, 1) or die $!"],
      ["/usr/bin/perl", "-e", "socket(S, 17, 3, 768) or die $!"],
    ];
    await lab.with([target(allowed)], async (machine) => {
      const shown = await machine.ask(`run ${JSON.stringify(ip("-br", "address"))}`);
      assert.match(JSON.stringify(shown), new RegExp(`"status":0.*eth0@.*${machine.address}/31`));
      for (const command of tried) {
        const { status, output } = (await machine.ask(`run ${JSON.stringify(command)}`)) as {
          status: number | null;
          output: string;
        };
        assert.match(output, /not permitted|permission denied/i, command.join(" "));
        assert.notEqual(status, 0, command.join(" "));
      }
      await lab.assertUnreached(machine, both(other));
    });
  });

  test("has no IPv6 except loopback, and can't list IPv6 targets", async () => {
    await lab.with([target(allowed)], async (machine) => {
      const shown = JSON.stringify(await machine.ask('run ["/usr/sbin/ip","-6","-br","address"]'));
      assert.doesNotMatch(shown, /fe80|eth0/);
    });
    const order = await lab.network.order([{ address: "2001:db8::1", prefixBits: 128, port }]);
    const refusal = await lab.node.refusal("boot", order);
    assert.match(
      refusal,
      /^network_not_offered: .*"2001:db8::1" is an IPv6 address, but egress supports only IPv4/,
    );
  });

  test("is refused without targets", async () => {
    const refusal = await lab.node.refusal("boot", await lab.network.order([]));
    assert.match(
      refusal,
      /^boot_failed: .*no target is listed; list a target, or use the network "nats" or "none"/,
    );
  });

  test("does not fill its host's connection tracking table", async () => {
    await lab.with([target(allowed)], async (machine) => {
      const knocking = JSON.stringify({ host: allowed, port, count: 4_300 });
      const answered = Number(await machine.ask(`knock ${knocking}`));
      // The number of answers depends on speed. It must be below the total.
      assert.ok(answered <= 4_096 && answered > 0, `${answered} were answered`);
    });
  });

  test("reaches listed targets and its relays' loopback addresses", async () => {
    await lab.with(
      [target(allowed)],
      async (machine) => {
        assert.equal(await machine.ask("listen 10.20.30.40"), "own");
        assert.match(String(await lab.reach(machine, [tcp(allowed)])), / sees /);
      },
      { loopbackAddresses: ["10.20.30.40"] },
    );
  });
});
