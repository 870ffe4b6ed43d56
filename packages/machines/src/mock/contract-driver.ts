import { ByteReader } from "../contract/byte-reader.ts";
import { obey } from "../contract/guest-commands.ts";
import { MockDriver } from "./driver.ts";
import type { MockGuest } from "./guest.ts";
import type { MockBoot } from "./script.ts";

/** Creates a mock driver whose guests obey the contract suite. */
export function makeDriver(): MockDriver {
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
