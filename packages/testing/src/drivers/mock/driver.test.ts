import { driverContract } from "../contract/contract.ts";
import { ByteReader } from "../guest/byte-reader.ts";
import { obey } from "../guest/guest-commands.ts";
import { MockDriver } from "./driver.ts";
import type { MockGuest } from "./guest.ts";
import type { MockBoot } from "./script.ts";

driverContract("mock", makeDriver, {
  bootTimeoutMs: 5_000,
  reattach: true,
  recover: true,
  enforces: ["memoryBytes", "vcpus", "processes", "diskBytes"],
  exitStatus: true,
  realGuest: false,
  endsWithNode: "none",
  orphans: () => [],
});

/** Creates a mock driver whose guests obey the contract suite. */
function makeDriver(): MockDriver {
  return new MockDriver({ script: obedientBoot });
}

function obedientBoot(): MockBoot {
  const boot: MockBoot = {};
  boot.serves = (guest) => void serve(guest, boot);
  return boot;
}

async function serve(guest: MockGuest, boot: MockBoot): Promise<void> {
  const { frames, calls } = guest;
  const answers = new ByteReader(calls);
  await obey({
    frames,
    call: async (request, answerBytes) => {
      calls.write(request);
      return (await answers.bytes(answerBytes + 1)).subarray(0, answerBytes);
    },
    exit: (code) => guest.exit(code),
    actions: {
      hello: () => 1,
      exit: (code) => guest.exit(code),
      ignore: () => {
        boot.ignoresStop = true;
        return "ignoring";
      },
      console: (bytes) => {
        guest.print(`${"x".repeat(bytes)}\nthe last line\n`);
        return "filled";
      },
    },
  });
}
