/** Mock machines in which an agent says hello, for tests of what boots them. */
import { type MockBoot, MockDriver, type MockGuest } from "@nexengine/machines/internal";
import { agentProtocolVersion, FrameConnection, FrameType, type Hello } from "@nexengine/protocol/internal";

const hello: Hello = { protocol: agentProtocolVersion, instance: "mock", lastEpoch: 0, providers: ["v8"] };

/** Answers the node's first word as an agent does. */
function greet(guest: MockGuest): void {
  const connection = new FrameConnection(guest.frames, {
    frame: (type) => {
      if (type === FrameType.attach) connection.sendJson(FrameType.hello, hello);
    },
    end: () => undefined,
  });
}

/** A driver whose machines are ready at once; `script` says what is different, by the number of the boot. */
export function greetingDriver(script: (index: number) => MockBoot = () => ({})): MockDriver {
  return new MockDriver({ script: (index) => ({ serves: greet, ...script(index) }) });
}
